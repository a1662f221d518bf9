import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from edgewire.message import UPSTREAM, Delivery, Envelope, Message, identity, module_input
from gateway.app.control import QuestionError
from gateway.app.tapping import MAX_FILTER_CHARS, MAX_TAPPED_PER_SECOND, tap_of, wanted
from gateway.observe.tap import Routed, Tap
from gateway.observe.watching import MAX_FOLLOWERS, ROWS_PER_SECOND, Watching

PATIENCE_S = 10.0


def routed(device: str = "lab-1", body: str = '{"temperature": 31}', routes: tuple[str, ...] = ("hot",)) -> Routed:
    system = {"contentType": "application/json", "contentEncoding": "utf-8"}
    envelope = Envelope(sender=identity(device), properties={"kind": "climate"}, system=system)
    return Routed(
        Message(envelope, body.encode()), routes, (Delivery(UPSTREAM), Delivery(module_input("detector", "raw")))
    )


class Flow:
    def __init__(self) -> None:
        self.tap = Tap()
        self.received = 0
        self.watching = Watching(
            self.tap, received=lambda: self.received, clock=lambda: 1_800_000_000.0, sampler=lambda _: None
        )

    def send(self, each: Routed, count: int = 1) -> None:
        for _ in range(count):
            self.tap.show(each)
        self.received += count


@pytest.mark.parametrize(
    ("question", "fits"),
    [
        ({}, True),
        ({"device": "lab-*"}, True),
        ({"device": "lab-1"}, True),
        ({"device": "lab"}, False),
        ({"device": "LAB-*"}, False),
        ({"route": "h?t"}, True),
        ({"route": "cold"}, False),
        ({"endpoint": "DETECTOR"}, True),
        ({"endpoint": "$upstream"}, True),
        ({"endpoint": "lake"}, False),
        ({"where": "$body.temperature > 30 AND kind = 'climate'"}, True),
        ({"where": "$body.temperature > 31"}, False),
        ({"where": "missing = 'x'"}, False),
        ({"where": "kind"}, False),
        ({"device": "lab-*", "where": "false"}, False),
        ({"device": None, "where": None}, True),
    ],
)
def test_a_question_says_what_fits(question: Mapping[str, Any], fits: bool) -> None:  # noqa: FBT001 — a table
    assert wanted(question).wants(routed()) is fits


def test_how_many_are_wanted() -> None:
    found = wanted({})
    assert (found.per_second, found.each) == (ROWS_PER_SECOND, 1)
    found = wanted({"perSecond": 7, "each": 10})
    assert (found.per_second, found.each) == (7, 10)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"device": 5}, "device must be text"),
        ({"where": "x" * (MAX_FILTER_CHARS + 1)}, "are allowed"),
        ({"where": "lenght(kind) > 1"}, "the condition, column 1: unknown function 'lenght'"),
        ({"where": "kind = "}, "the condition, column"),
        ({"perSecond": 0}, "1 to"),
        ({"perSecond": MAX_TAPPED_PER_SECOND + 1}, "1 to"),
        ({"each": "2"}, "each must be a whole number"),
        ({"each": True}, "each must be a whole number"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(question: Mapping[str, Any], words: str) -> None:
    with pytest.raises(QuestionError, match=words) as refused:
        wanted(question)
    assert refused.value.status == 400


async def test_lines_come_as_messages_do_with_what_was_left_out() -> None:
    flow = Flow()
    lines = tap_of(flow.watching)({"perSecond": 2})
    assert await anext(lines) == b'{"following": true}\n'
    flow.send(routed(), 5)
    flow.watching.second()
    async with asyncio.timeout(PATIENCE_S):
        lot = [json.loads(line) for line in (await anext(lines)).splitlines()]
    assert [list(each) for each in lot] == [["message"], ["message"], ["leftOut"]]
    assert (lot[0]["message"]["device"], lot[2]["leftOut"]) == ("lab-1", 3)
    await lines.aclose()
    flow.watching.second()
    flow.send(routed(), 100)


async def test_there_is_room_again_once_one_has_gone() -> None:
    flow = Flow()
    many = [tap_of(flow.watching)({}) for _ in range(MAX_FOLLOWERS)]
    for each in many:
        await anext(each)
    late = tap_of(flow.watching)({})
    with pytest.raises(QuestionError, match="follow the flow already") as refused:
        await anext(late)
    assert refused.value.status == 429
    await many[0].aclose()
    again = tap_of(flow.watching)({})
    await anext(again)
    for each in (*many[1:], again):
        await each.aclose()
