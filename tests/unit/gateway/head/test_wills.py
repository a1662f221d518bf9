import asyncio

import pytest

from edgewire.message import Envelope, Identity, Message, identity
from gateway.head import wills
from gateway.head.wills import Wills

DEVICE = identity("d1")


def message(body: bytes) -> Message:
    return Message(Envelope(sender=DEVICE, properties={}, system={}), body)


async def test_a_will_without_delay_is_published_at_once() -> None:
    published: list[Message] = []
    left: Wills[Identity, Message] = Wills(published.append)
    left.leave(DEVICE, message(b"a"), 0, 1)
    assert [each.body for each in published] == [b"a"]


async def test_a_delayed_will_is_published_when_its_time_comes() -> None:
    done = asyncio.Event()
    left: Wills[Identity, Message] = Wills(lambda _: done.set())
    left.leave(DEVICE, message(b"a"), 0.01, 1)
    assert not done.is_set()
    await asyncio.wait_for(done.wait(), 45)


async def test_who_comes_back_in_time_takes_the_will_back() -> None:
    published: list[Message] = []
    left: Wills[Identity, Message] = Wills(published.append)
    left.leave(DEVICE, message(b"a"), 60, 1)
    left.take_back(DEVICE)
    left.publish_all()
    assert published == []


async def test_at_the_end_all_that_wait_are_published() -> None:
    published: list[Message] = []
    left: Wills[Identity, Message] = Wills(published.append)
    left.leave(DEVICE, message(b"a"), 60, 1)
    left.leave(identity("d2"), message(b"b"), 60, 1)
    left.publish_all()
    assert [each.body for each in published] == [b"a", b"b"]


async def test_with_too_many_waiting_the_next_is_published_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wills, "MAX_WAITING", 1)
    published: list[Message] = []
    left: Wills[Identity, Message] = Wills(published.append)
    left.leave(DEVICE, message(b"a"), 60, 1)
    left.leave(identity("d2"), message(b"b"), 60, 1)
    assert [each.body for each in published] == [b"b"]
    left.take_back(DEVICE)


async def test_wills_that_wait_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wills, "MAX_WAITING_BYTES", 100)
    published: list[Message] = []
    left: Wills[Identity, Message] = Wills(published.append)
    left.leave(DEVICE, message(b"a"), 60, 60)
    left.leave(identity("d2"), message(b"b"), 60, 60)
    assert [each.body for each in published] == [b"b"]
    left.take_back(DEVICE)
    left.leave(identity("d2"), message(b"c"), 60, 60)
    assert len(left) == 1
    left.take_back(identity("d2"))
