import asyncio
import json
from itertools import count

import pytest

from standin.app import StandIn
from support.standin_commands import event, run


async def test_events_are_listed_for_people_and_for_programs(
    standin: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    await event(standin, b"one")
    await event(standin, b"\xff")
    said = await run(standin, capsys, "events")
    assert [line.split(" ", 1)[1] for line in said.out.splitlines()] == [
        "#1 edge-1/m1 output=o1 [p=v] one",
        "#2 edge-1/m1 output=o1 [p=v] (1 bytes, no text)",
    ]
    said = await run(standin, capsys, "events", "--json", "--after", "1")
    (line,) = said.out.splitlines()
    assert json.loads(line)["bodyBase64"] == "/w=="
    assert said.code == 0


async def test_only_those_of_one_device_are_listed_if_asked_for(
    standin: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    for body, device in ((b"one", "d1"), (b"two", "d2"), (b"three", "d1")):
        await event(standin, body, device, None)
    said = await run(standin, capsys, "events", "--device-id", "d1")
    assert [line.rsplit(" ", 1)[1] for line in said.out.splitlines()] == ["one", "three"]


async def test_monitoring_shows_what_arrives_from_now_on_and_ends_after_so_many(
    standin: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    await event(standin, b"before")
    monitor = asyncio.ensure_future(run(standin, capsys, "monitor-events", "--count", "2", "--device-id", "d1"))
    for number in count():  # it begins when it begins: what comes before that is not shown
        await event(standin, b"%d" % number, "d1" if number % 2 else "d2", None)
        if monitor.done():
            break
        await asyncio.wait([monitor], timeout=0.05)
    said = await monitor
    assert said.code == 0
    shown = [int(line.rsplit(" ", 1)[1]) for line in said.out.splitlines()]
    assert len(shown) == 2
    assert all(number % 2 for number in shown)
    assert shown[1] == shown[0] + 2


async def test_monitoring_may_begin_with_what_has_arrived(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    for body in (b"one", b"two", b"three"):
        await event(standin, body)
    said = await run(standin, capsys, "monitor-events", "--after", "1", "--count", "2", "--json")
    assert [json.loads(line)["body"] for line in said.out.splitlines()] == ["two", "three"]
