from typing import Any

import pytest

from gateway.cli.top_screen import Order, screen
from support.top_state import device, route, state

AS_FIRST = Order()


def shown(width: int = 100, height: int | None = None, order: Order = AS_FIRST, **more: Any) -> list[str]:
    return screen(state(**more), width, height, order)


def test_everything_is_there() -> None:
    text = "\n".join(shown())
    for told in (
        "edge-1  gateway 1.2  up 25 h  memory 55.3 MiB",
        "12 connected, 40 known; 1.5 refusals a minute",
        "in 123.4 a second, out 121.7",
        "▁▅█",
        "3 routes from twin version 7, good",
        "$upstream (as the module): connected for 99 s",
        "11.8 MiB of 1.0 GiB (1 %), ready",
        "12 for $upstream priority 0, 2.9 KiB, the oldest for 4 s",
        "9 for $upstream priority last, 1 B",
        "now → $upstream",
        "16:34:57 info    last",
    ):
        assert told in text, told


def test_tables_are_sorted_as_the_keys_say() -> None:
    def order_of(*names: str, order: Order) -> list[str]:
        lines = [line.split("→")[0].split() for line in shown(order=order)]
        return [words[-1] for words in lines if words and words[-1] in names]

    devices = ("slow", "fast", "silent")
    assert order_of(*devices, order=Order()) == ["fast", "slow", "silent"]
    assert order_of(*devices, order=Order().other_devices()) == ["slow", "fast", "silent"]
    assert order_of("often", "now", order=Order()) == ["now", "often"]
    assert order_of("often", "now", order=Order().other_routes()) == ["often", "now"]
    assert Order().other_routes().other_routes().other_devices().other_devices() == Order()


@pytest.mark.parametrize(("width", "height"), [(80, 23), (40, 10), (20, 5), (200, 60), (80, 0)])
def test_it_fits_any_terminal(width: int, height: int) -> None:
    devices = [device("d" * 200, number) for number in range(20)]
    lines = shown(width, height, devices=devices, routes=[route("r", 1, 1)] * 20)
    assert len(lines) <= height
    assert all(len(line) < max(40, width) for line in lines)


def test_tables_share_the_lines_there_are() -> None:
    lines = shown(80, 23, devices=[device("d", 1)] * 20, routes=[route("r", 1, 1)] * 20)
    assert len(lines) == 23
    assert sum(line.endswith(" d") for line in lines) >= 2
    assert sum(line.endswith("r → $upstream") for line in lines) >= 2
    assert any("last" in line for line in lines)


def test_what_a_device_is_called_cannot_move_the_cursor() -> None:
    text = "\n".join(shown(devices=[device("\x1b[2Jevil\r\nline", 1)]))
    assert "\x1b" not in text
    assert r"\x1b[2Jevil\r\nline" in text


def test_what_needs_somebody_is_said_and_what_is_missing_is_left_out() -> None:
    certificate = {"name": "server", "daysLeft": 6.4, "state": "7 days", "advice": "Renew it"}
    text = "\n".join(
        shown(
            certificates=[certificate, {**certificate, "state": "good", "name": "fine"}],
            settings={"source": "file", "version": None, "good": False},
            upstream=[],
            devices=[],
            events=[],
            rates=[0] * 60,
            gateway={"hostName": "", "version": "1", "uptimeSecs": 5, "rssBytes": 5},
            store={"state": None, "bytes": 5, "maxBytes": None, "queues": []},
        )
    )
    assert "certificate server: 6.4 days left. Renew it" in text
    assert "fine" not in text
    assert "from file, the last were refused" in text
    assert "upstream  none" in text
    assert "5 B of 0 B, unknown" in text
    assert "DEVICE" not in text
    assert "EVENTS" not in text
