from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgewire.codec.mqtt.packets import Connack, Disconnect, Puback, Will
from edgewire.message import identity
from standin.registry import symmetric_entry
from support.hub_line import HUB_NAME, House, house

LEAF = identity("leaf")
EVENTS = "devices/leaf/messages/events/"


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    hall = house(tmp_path, edge_device="edge-1")
    hall.hub.add(symmetric_entry(LEAF))
    hall.hub.add(symmetric_entry(identity("other")))
    yield hall
    await hall.close()


def will(topic: str, *, retain: bool = False) -> Will:
    return Will(topic=topic, payload=b"gone", qos=1, retain=retain)


async def test_a_good_token_is_let_in(hall: House) -> None:
    assert await hall.line().login(LEAF) == Connack(session_present=False, code=0)
    assert hall.hub.connected() == (LEAF,)
    assert hall.hub.counters["connections accepted"] == 1


@pytest.mark.parametrize(
    "query",
    [
        "?api-version=2019-10-01&DeviceClientType=py%2F1",
        "?api-version=2021-04-12&model-id=dtmi:a:b;1&DeviceClientType=x",
        "api-version=2016-11-14",
        "DeviceClientType=old",
    ],
)
async def test_the_forms_of_the_user_name_are_taken(hall: House, query: str) -> None:
    line = hall.line()
    line.send(replace(hall.connect(LEAF), username=f"{HUB_NAME}/leaf/{query}"))
    assert await line.receive() == Connack(session_present=False, code=0)


@pytest.mark.parametrize(
    ("change", "code", "counted"),
    [
        ({"level": 5}, 1, None),
        ({"level": 3}, 1, None),
        ({"level": 4, "bridge": True}, 1, None),
        ({"client_id": "other"}, 2, "refused: client id"),
        ({"client_id": "LEAF"}, 2, "refused: client id"),
        ({"client_id": ""}, 2, "refused: client id"),
        ({"username": None, "password": None}, 4, "refused: malformed user name"),
        ({"username": f"{HUB_NAME}/leaf"}, 4, "refused: malformed user name"),
        ({"username": "elsewhere.test/leaf/?api-version=1"}, 5, "refused: foreign hub"),
        ({"username": f"{HUB_NAME}/x/?api-version=1", "client_id": "x"}, 5, "refused: unknown identity"),
        (
            {"username": f"{HUB_NAME}/other/?api-version=1", "client_id": "other"},
            5,
            "refused: token for another audience",
        ),
        ({"password": None}, 5, "refused: no credentials"),
        ({"password": b"nonsense"}, 5, "refused: malformed token"),
        ({"will": will("devices/other/messages/events/")}, 5, "refused: foreign will"),
        ({"will": will("some/topic")}, 5, "refused: foreign will"),
        ({"will": will(EVENTS + "a=1=2")}, 5, "refused: foreign will"),
    ],
)
async def test_who_does_not_belong_here_gets_the_code_and_is_closed(
    hall: House, change: dict[str, Any], code: int, counted: str | None
) -> None:
    line = hall.line()
    line.send(replace(hall.connect(LEAF), **change))
    assert await line.receive() == Connack(session_present=False, code=code)
    await line.until_closed()
    assert hall.hub.counters[counted or "closed: protocol error"] == 1
    assert hall.hub.connected() == ()


async def test_refusing_on_purpose_says_come_back_later(hall: House) -> None:
    staying = hall.line()
    await staying.login(LEAF)
    hall.hub.faults.refusing = True
    line = hall.line()
    assert (await line.login(identity("other"))).code == 3
    await line.until_closed()
    assert hall.hub.connected() == (LEAF,)


async def test_a_newer_connection_closes_the_older_and_stays(hall: House) -> None:
    older, newer = hall.line(), hall.line()
    await older.login(LEAF)
    await newer.login(LEAF)
    await older.until_closed()
    newer.publish(EVENTS, packet_id=1)
    assert await newer.receive() == Puback(packet_id=1)


async def test_a_session_is_present_only_if_one_was_kept(hall: House) -> None:
    present = []
    for clean in (False, False, True, False):
        line = hall.line()
        present.append((await line.login(LEAF, clean=clean)).session_present)
        line.send(Disconnect())
        await line.until_closed()
    assert present == [False, True, False, False]


async def test_a_kept_session_keeps_its_subscriptions(hall: House) -> None:
    line = hall.line()
    await line.login(LEAF, clean=False)
    await line.subscribe("$iothub/twin/PATCH/properties/desired/#")
    line.send(Disconnect())
    await line.until_closed()
    again = hall.line()
    await again.login(LEAF, clean=False)
    hall.hub.patch_desired(LEAF, {"a": 1})
    answer = await again.receive()
    assert getattr(answer, "topic", None) == "$iothub/twin/PATCH/properties/desired/?$version=2"


async def test_the_connection_ends_with_its_token(hall: House) -> None:
    hall.wall_clock.now = 1_800_000_000.0
    line = hall.line()
    # The timer runs in real time: the token's life is what the two clocks differ by.
    await line.login(LEAF, life_s=1)
    hall.wall_clock.now += 2
    await line.until_closed()
    assert hall.hub.counters["closed: token expired"] == 1


async def test_a_client_that_goes_without_a_word_leaves_its_will(hall: House) -> None:
    line = hall.line()
    await line.login(LEAF, will=will(EVENTS + "%24.ct=text%2Fplain&a=1", retain=True))
    line.abort()
    (event,) = await hall.hub.events.wait(0, timeout_s=30)
    assert event.body == b"gone"
    assert event.properties == {"a": "1", "iothub-MessageType": "Will", "mqtt-retain": "true"}
    assert event.system["contentType"] == "text/plain"
    assert hall.hub.connected() == ()


async def test_a_client_that_falls_silent_is_closed_and_leaves_its_will(hall: House) -> None:
    line = hall.line()
    await line.login(LEAF, will=will(EVENTS))
    hall.clock.now = 90.0
    line.pump.wake(89.9)
    assert not line.closed.is_set()
    line.pump.wake(90.0)
    await line.until_closed()
    assert len(await hall.hub.events.wait(0, timeout_s=30)) == 1
    assert hall.hub.counters["closed: silent"] == 1


async def test_a_client_that_says_goodbye_leaves_no_will(hall: House) -> None:
    line = hall.line()
    await line.login(LEAF, will=will(EVENTS))
    line.send(Disconnect())
    await line.until_closed()
    assert hall.hub.events.count() == 0


async def test_who_breaks_the_protocol_is_closed_and_leaves_its_will(hall: House) -> None:
    line = hall.line()
    await line.login(LEAF, will=will(EVENTS))
    line.pump.receive(b"\x00\x00")
    await line.until_closed()
    assert len(await hall.hub.events.wait(0, timeout_s=30)) == 1
    assert hall.hub.counters["closed: protocol error"] == 1


async def test_nothing_counts_after_a_refusal(hall: House) -> None:
    line = hall.line()
    line.send(replace(hall.connect(LEAF), client_id="other"))
    line.publish(EVENTS, packet_id=1)
    await line.until_closed()
    assert hall.hub.events.count() == 0


async def test_notes_tell_who_came_and_who_was_refused_without_secrets(tmp_path: Path) -> None:
    lines: list[str] = []
    hall = house(tmp_path, edge_device="edge-1", show=lines.append)
    hall.hub.add(symmetric_entry(LEAF))
    await hall.line().login(LEAF)
    refused = hall.line()
    refused.send(
        replace(
            hall.connect(LEAF),
            password=b"SharedAccessSignature sr=hub.test%2Fdevices%2Fleaf&sig=c2VjcmV0&se=1900000000",
        )
    )
    await refused.until_closed()
    await hall.close()
    assert lines[:2] == ["connected leaf", "refused leaf: the token is not signed with one of its keys"]
    assert not any("c2VjcmV0" in line for line in lines)
