import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvloop

from edgewire.transport.timer import LazyTimer


class FakeHandle:
    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self._when = when
        self.call = call
        self.cancelled = False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """A clock that the test sets, and every handle that was ever made."""

    def __init__(self) -> None:
        self.now = 0.0
        self.handles: list[FakeHandle] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> FakeHandle:
        self.handles.append(FakeHandle(when, call))
        return self.handles[-1]

    def advance(self, to: float) -> None:
        self.now = to
        for handle in self.handles:
            if not handle.cancelled and handle.when() <= to:
                handle.cancelled = True
                handle.call()


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def fired() -> list[float]:
    return []


@pytest.fixture
def timer(loop: FakeLoop, fired: list[float]) -> LazyTimer:
    return LazyTimer(cast("asyncio.AbstractEventLoop", cast("Any", loop)), fired.append)


def test_it_fires_at_its_deadline_once(loop: FakeLoop, timer: LazyTimer, fired: list[float]) -> None:
    timer.set(5.0)
    loop.advance(4.9)
    assert fired == []
    loop.advance(5.0)
    loop.advance(60.0)
    assert fired == [5.0]


def test_a_deadline_that_moves_back_makes_no_new_handle(loop: FakeLoop, timer: LazyTimer, fired: list[float]) -> None:
    for packet in range(1000):
        timer.set(10.0 + packet / 1000)
    assert len(loop.handles) == 1
    loop.advance(10.0)
    assert (fired, len(loop.handles)) == ([], 2)
    loop.advance(11.0)
    assert fired == [11.0]


def test_a_deadline_that_comes_closer_is_kept(loop: FakeLoop, timer: LazyTimer, fired: list[float]) -> None:
    timer.set(10.0)
    timer.set(2.0)
    loop.advance(2.0)
    assert fired == [2.0]


@pytest.mark.parametrize("deadline", [None, 30.0])
def test_a_deadline_withdrawn_does_not_fire(
    loop: FakeLoop, timer: LazyTimer, fired: list[float], deadline: float | None
) -> None:
    timer.set(5.0)
    timer.set(deadline)
    loop.advance(6.0)
    assert fired == []


def test_it_can_be_set_again_from_what_it_calls(loop: FakeLoop) -> None:
    fired: list[float] = []

    def due(now: float) -> None:
        fired.append(now)
        again.set(now + 1)

    again = LazyTimer(cast("asyncio.AbstractEventLoop", cast("Any", loop)), due)
    again.set(1.0)
    loop.advance(1.0)
    loop.advance(2.0)
    assert fired == [1.0, 2.0]


def test_a_stopped_timer_fires_no_more(loop: FakeLoop, timer: LazyTimer, fired: list[float]) -> None:
    timer.set(5.0)
    timer.stop()
    loop.advance(6.0)
    assert fired == []
    assert all(handle.cancelled for handle in loop.handles)


def test_under_uvloop_a_deadline_that_has_come_may_be_set_again_before_it_is_met() -> None:
    async def set_twice() -> list[float]:
        loop = asyncio.get_running_loop()
        met: list[float] = []
        timer = LazyTimer(loop, met.append)
        timer.set(loop.time())
        timer.set(loop.time() + 60)
        timer.set(loop.time())
        await asyncio.sleep(0.01)
        timer.stop()
        return met

    assert len(uvloop.run(set_twice())) == 1
