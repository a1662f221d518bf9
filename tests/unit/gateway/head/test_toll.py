import asyncio
import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edgewire.session.mqtt.events import PublishReceived
from gateway.dispatch.allowance import Allowance, Allowances, Limits, WhenOver
from gateway.head.toll import Toll
from support.mqtt_site import Site

PATIENCE_S = 45.0


class Payer:
    """A connection that remembers what became of it."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.refused: list[int] = []
        self.steps: list[str] = []
        self.free = asyncio.Event()

    def take_paid(self, paid: Sequence[int], over: Sequence[int]) -> None:
        self.taken += paid
        self.refused += over

    def hold(self) -> None:
        self.steps.append("hold")

    def release(self) -> None:
        self.steps.append("release")
        self.free.set()

    def excuse(self, now: float) -> None:
        if self.steps[-1] != "excuse":
            self.steps.append("excuse")


class Clock:
    """Stands until it is let run: however long a test is held up meanwhile, no device earns anything."""

    def __init__(self) -> None:
        self._time = asyncio.get_running_loop().time
        self._stood_at = self._time()
        self.runs = False

    def __call__(self) -> float:
        return self._time() if self.runs else self._stood_at


def toll(payer: Payer, allowance: Allowance) -> tuple[Toll[int], Allowances, Clock]:
    clock = Clock()
    allowances = Allowances(lambda _: None, clock, lambda: 0.0)
    allowances.use(Limits(per_device=allowance))
    return Toll(allowances.account("d1"), payer, lambda _: 1), allowances, clock


async def test_what_may_not_be_sent_yet_waits_and_comes_in_order() -> None:
    payer = Payer()
    made, _, clock = toll(payer, Allowance(messages_per_s=100, burst=3))
    made.come(range(10))
    assert payer.taken == [0, 1, 2]
    assert made.holds
    clock.runs = True
    await asyncio.wait_for(payer.free.wait(), PATIENCE_S)
    assert payer.taken == list(range(10))
    assert payer.steps == ["hold", "excuse", "release"]
    assert not made.holds


async def test_a_debt_from_before_holds_from_the_start() -> None:
    payer = Payer()
    made, allowances, clock = toll(payer, Allowance(messages_per_s=100, burst=3))
    allowances.account("d1").charge(5, 0)
    made.look()
    assert payer.steps == ["hold"]
    clock.runs = True
    await asyncio.wait_for(payer.free.wait(), PATIENCE_S)


async def test_who_sends_just_what_it_may_is_not_held() -> None:
    payer = Payer()
    made, allowances, _ = toll(payer, Allowance(messages_per_s=0.01, burst=3))
    made.come(range(3))
    assert (payer.taken, payer.steps, made.holds) == ([0, 1, 2], [], False)
    assert allowances.limited() == ()


async def test_who_refuses_holds_nothing() -> None:
    payer = Payer()
    made, _, _ = toll(payer, Allowance(messages_per_s=0.01, burst=3, when_over=WhenOver.REFUSE))
    made.come(range(5))
    made.look()
    assert (payer.taken, payer.refused, payer.steps) == ([0, 1, 2], [3, 4], [])
    assert "messages per second" in made.why


async def test_settings_without_limits_free_what_waits() -> None:
    payer = Payer()
    made, allowances, _ = toll(payer, Allowance(messages_per_s=0.01, burst=3))
    made.come(range(5))
    allowances.use(None)
    await asyncio.wait_for(payer.free.wait(), PATIENCE_S)
    assert payer.taken == list(range(5))


async def test_what_waits_at_the_end_is_taken_and_paid_by_the_next_connection() -> None:
    payer = Payer()
    made, allowances, _ = toll(payer, Allowance(messages_per_s=1, burst=3))
    made.come(range(10))
    made.close()
    made.close()
    assert payer.taken == list(range(10))
    assert allowances.account("d1").wait_s() > 6


@pytest.mark.plain
async def test_where_nobody_is_limited_a_message_costs_one_call_more(tmp_path: Path) -> None:
    """Calls of Python and C are counted: by the clock it is 60 ns compiled, less than a loaded machine lets see."""
    async with Site.open(tmp_path) as site:
        device = site.login("d1")
        topic = "devices/d1/messages/events/"
        publish = PublishReceived(topic=topic, payload=b"{}", qos=0, retain=False, dup=False, packet_id=0)
        for _ in range(2):
            device.owner._take([publish])  # what is remembered of a topic is made
        assert calls(lambda: device.owner._take([publish])) == calls(lambda: device.owner._take_all([publish])) + 1


def calls(work: Callable[[], object]) -> int:
    """How many calls `work` makes."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()  # what it would end meanwhile of other tests may make calls
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count
