"""Queue, clock and MQTT client of the board, each by itself, on the boards' interpreter."""

import random
from typing import Any

import pytest

from support.leaf_board import FIRMWARE
from support.on_micropython import run

NOW = 1_795_000_000
SINCE_2000 = 946_684_800


def publish(topic: str, payload: bytes, packet_id: int | None = None) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic.encode()
    body += b"" if packet_id is None else packet_id.to_bytes(2, "big")
    body += payload
    first = b"\x30" if packet_id is None else b"\x32"
    size = bytes((len(body),)) if len(body) < 128 else bytes((len(body) & 127 | 128, len(body) >> 7))
    return first + size + body


def test_a_queue_keeps_the_newest_in_order_and_counts_what_it_drops() -> None:
    chance = random.Random(6)
    size = 100
    steps = [
        ["put", str(number) + "x" * chance.randrange(40)] if chance.random() < 0.6 else ["pop"] for number in range(400)
    ]
    model: list[str] = []
    dropped = gone = 0
    expected = []
    for step in steps:
        if step[0] == "put":
            while sum(len(text) + 1 for text in model) + len(step[1]) + 1 > size:
                model.pop(0)
                dropped += 1
                gone += 1
            model.append(step[1])
        elif model:
            model.pop(0)
            gone += 1
        expected.append([len(model), dropped, gone, model[0] if model else None])
    seen, restored = run("pieces", {"queue": [{"size": size, "steps": steps}]})["queue"][0]
    assert seen == expected
    assert restored


@pytest.mark.parametrize(
    ("what", "case", "expected"),
    [
        ("never set, one host", {"now": 0, "answers": {"c": NOW}}, [True, True, NOW]),
        ("never set, nobody answers", {"now": 0, "answers": {}}, [False, False, 0]),
        ("never set, a host of the past", {"now": 0, "answers": {"a": 1_500_000_000}}, [False, False, 0]),
        ("a host of the far future", {"now": 0, "answers": {"a": 4_200_000_000, "b": NOW}}, [True, True, NOW]),
        ("a little wrong", {"now": NOW - 900, "answers": {"a": NOW}}, [True, True, NOW]),
        ("a jump that one host asks for", {"now": NOW - 9000, "answers": {"a": NOW}}, [False, True, NOW - 9000]),
        (
            "a jump that two hosts ask for",
            {"now": NOW - 9000, "answers": {"a": NOW, "c": NOW + 1}},
            [True, True, NOW + 1],
        ),
        (
            "one wrong host and a right one",
            {"now": NOW - 9, "answers": {"a": NOW - 90_000, "b": NOW}},
            [True, True, NOW],
        ),
        ("before what was known once", {"now": 0, "answers": {"a": NOW - 1}, "earliest": NOW}, [False, False, 0]),
    ],
)
@pytest.mark.parametrize("epoch", [0, SINCE_2000])
def test_the_clock_believes_nobody_blindly(what: str, case: dict[str, Any], expected: list[Any], epoch: int) -> None:
    shifted = {
        **case,
        "epoch": epoch,
        "now": case["now"] - epoch if case["now"] else 0,
        "answers": {host: at - epoch for host, at in case["answers"].items()},
    }
    if not expected[1]:
        expected = [*expected[:2], epoch]
    assert run("pieces", {"clock": [shifted]})["clock"][0] == expected, what


@pytest.mark.parametrize(
    ("kind", "now", "expected"),
    [
        ("good", NOW, "set"),
        ("good", NOW - 1, "bounds"),  # before what was known once
        ("good", 4_102_444_800, "bounds"),  # 2100
        ("key", NOW, "time"),  # by one who does not know the device's key
        ("nonce", NOW, "time"),  # an answer from before, said again
        ("body", NOW, "time"),
        ("no mac", NOW, "time"),
        ("no hex", NOW, "time"),
        ("no json", NOW, "time"),
        ("status", NOW, "time"),
    ],
)
def test_a_gateways_time_is_believed_for_the_key_and_the_nonce(kind: str, now: int, expected: str) -> None:
    assert run("hours", [{"kind": kind, "now": now, "earliest": NOW}]) == [expected]


def test_packets_are_heard_however_they_are_cut() -> None:
    wire = publish("a/b", b"one") + b"\xd0\x00" + publish("a/b", b"two" * 60, 7) + publish("c", b"", 8)
    steps = [1, 2, 3, 5, 64, 1000]
    found = run("pieces", {"mqtt": [{"wire": wire.hex(), "step": step, "room": 300} for step in steps]})["mqtt"]
    for messages, said, skipped, trouble in found:
        assert messages == [["a/b", "one"], ["a/b", "two" * 60], ["c", ""]]
        assert said == "40020007" + "40020008"
        assert (skipped, trouble) == (0, None)


def test_a_packet_larger_than_the_buffer_is_skipped_and_counted() -> None:
    wire = publish("a", b"x" * 500) + publish("a", b"y")
    found = run("pieces", {"mqtt": [{"wire": wire.hex(), "step": step, "room": 64} for step in (1, 50, 700)]})["mqtt"]
    assert all((messages, skipped, trouble) == ([["a", "y"]], 1, None) for messages, _, skipped, trouble in found)


@pytest.mark.parametrize(
    "wire",
    [
        "30ffffffff7f",  # a length of five bytes: MQTT 3.1.1 §2.2.3
        "3400000000",  # QoS 2 was never granted
        "300100",  # a topic without a length
        "3003000a61",  # a topic longer than its packet
        "10020000",  # a CONNECT from the server
    ],
)
def test_what_no_server_says_ends_the_session(wire: str) -> None:
    assert run("pieces", {"mqtt": [{"wire": wire, "step": 99, "room": 300}]})["mqtt"][0][3] == "packet"


def test_a_refusal_is_heard_with_its_code() -> None:
    assert run("pieces", {"mqtt": [{"wire": "20020005", "step": 99, "room": 300}]})["mqtt"][0][3] == 5


def test_a_program_that_stops_turning_is_ended_by_its_boards_watchdog() -> None:
    found = run("watchdog", {"boards": str(FIRMWARE / "boards")})
    assert found == [["nodemcu", 0, 1], ["esp32", 0, 1]]
