"""Some seconds of what `make soak` does for minutes, and what its eyes can see."""

from soak.soak import Load, Result, Samples, soak
from support.gateway_site import GatewaySite


def silent(line: str) -> None:
    """Nobody watches."""


async def run(site: GatewaySite) -> Result:
    load = Load(devices=100, interval_s=0.5, minutes=5 / 60, flap_s=1.0, idle_s=2.0)
    return await soak(site, load, silent)


async def test_some_seconds_with_a_flapping_upstream_and_changing_settings_leave_nothing_behind(
    site: GatewaySite,
) -> None:
    result = await run(site)
    # Seconds are too few to judge memory and idle CPU by: a cache fills, a neighbour takes the core. `make soak` does.
    lasting = [each for each in result.problems() if not each.startswith(("idle", "memory"))]
    assert lasting == []
    assert result.counts.acknowledged > 200
    assert min(result.flaps, result.settings_changes) >= 3


def test_memory_that_grows_is_seen_and_memory_that_fills_once_is_not() -> None:
    seconds = [float(second) for second in range(100)]
    leaking = Samples(at_s=seconds, rss_kb=[60_000 + 300 * second for second in range(100)])
    filling = Samples(at_s=seconds, rss_kb=[60_000 + 300 * min(second, 20) for second in range(100)])
    assert leaking.growth_kb() == 15_000
    assert round(leaking.slope_mb_per_h()) == round(300 * 3600 / 1024)
    assert filling.growth_kb() < 100
    assert filling.slope_mb_per_h() == 0
