"""Frames keep their order; dispositions that follow each other become one."""

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.frames import EMPTY_FRAME, FrameReader
from edgewire.codec.amqp.performatives import (
    ACCEPTED,
    RECEIVER,
    RELEASED,
    SENDER,
    Disposition,
    End,
    Error,
    Open,
    Rejected,
)
from edgewire.session.amqp.outbox import Outbox
from edgewire.session.amqp.serial import MASK


def frames(outbox: Outbox) -> list[tuple[int, object]]:
    reader = FrameReader(65_536)
    reader.push(outbox.take())
    found: list[tuple[int, object]] = []
    while (frame := reader.next()) is not None:
        found.append((frame.channel, frame.performative))
    return found


def accept(outbox: Outbox, first: int, last: int, channel: int = 0) -> None:
    outbox.disposition(channel, receiver=True, first=first, last=last, settled=True, state=ACCEPTED)


def test_output_is_given_once() -> None:
    outbox = Outbox(65_536)
    outbox.put(EMPTY_FRAME)
    assert outbox.take() == EMPTY_FRAME
    assert outbox.take() == b""


def test_dispositions_that_follow_each_other_become_one_range() -> None:
    outbox = Outbox(65_536)
    for one in (MASK - 1, MASK, 0, 1):
        accept(outbox, one, one)
    assert frames(outbox) == [(0, Disposition(RECEIVER, MASK - 1, 1, True, ACCEPTED))]


def test_what_differs_stays_apart_and_a_single_one_has_no_last() -> None:
    outbox = Outbox(65_536)
    accept(outbox, 0, 4)
    accept(outbox, 6, 6)
    accept(outbox, 7, 7, channel=1)
    outbox.disposition(1, receiver=True, first=8, last=8, settled=True, state=RELEASED)
    outbox.disposition(1, receiver=True, first=9, last=9, settled=False, state=RELEASED)
    outbox.disposition(1, receiver=False, first=10, last=10, settled=False, state=RELEASED)
    outbox.disposition(1, receiver=False, first=11, last=12, settled=True, state=Rejected())
    assert frames(outbox) == [
        (0, Disposition(RECEIVER, 0, 4, True, ACCEPTED)),
        (0, Disposition(RECEIVER, 6, None, True, ACCEPTED)),
        (1, Disposition(RECEIVER, 7, None, True, ACCEPTED)),
        (1, Disposition(RECEIVER, 8, None, True, RELEASED)),
        (1, Disposition(RECEIVER, 9, None, False, RELEASED)),
        (1, Disposition(SENDER, 10, None, False, RELEASED)),
        (1, Disposition(SENDER, 11, 12, True, Rejected())),
    ]


def test_a_frame_is_not_overtaken_by_a_disposition_before_it() -> None:
    outbox = Outbox(65_536)
    accept(outbox, 0, 0)
    outbox.frame(0, End())
    accept(outbox, 1, 1)
    assert [type(performative).__name__ for _, performative in frames(outbox)] == ["Disposition", "End", "Disposition"]


def test_an_error_that_the_peer_has_no_room_for_loses_its_description() -> None:
    outbox = Outbox(512)
    assert outbox.frame(0, End(Error(condition=conditions.ERRANT_LINK, description="x" * 600)))
    assert frames(outbox) == [(0, End(Error(condition=conditions.ERRANT_LINK)))]


def test_what_cannot_be_made_smaller_is_not_sent() -> None:
    outbox = Outbox(512)
    assert not outbox.frame(0, Open(container_id="x" * 600))
    assert outbox.take() == b""
