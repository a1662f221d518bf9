import asyncio
import time

from gateway.app.pulse import Pulse
from gateway.observe.metrics import Histogram
from support.gateway_site import until


async def beats(pulse: Pulse, count: int) -> None:
    await until(lambda: pulse.beats >= count)


async def test_it_beats_until_it_is_stopped() -> None:
    lags = Histogram()
    pulse = Pulse(lags, 0.01)
    assert pulse.worst_s == 0
    pulse.start()
    await beats(pulse, 3)
    pulse.stop()
    pulse.stop()
    then = pulse.beats
    await asyncio.sleep(0.05)
    assert pulse.beats == then == sum(lags.counts)


async def test_a_loop_that_was_kept_busy_is_late_by_that() -> None:
    pulse = Pulse(Histogram(), 0.01)
    pulse.start()
    time.sleep(0.2)  # noqa: ASYNC251 — the fault that is measured
    await beats(pulse, 1)
    pulse.stop()
    assert pulse.worst_s > 0.15
