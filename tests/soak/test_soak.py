"""What the eyes of `make soak` can see; the soak itself takes minutes and is run on demand."""

from soak.soak import Samples


def test_memory_that_grows_is_seen_and_memory_that_fills_once_is_not() -> None:
    seconds = [float(second) for second in range(100)]
    leaking = Samples(at_s=seconds, rss_kb=[60_000 + 300 * second for second in range(100)])
    filling = Samples(at_s=seconds, rss_kb=[60_000 + 300 * min(second, 20) for second in range(100)])
    assert leaking.growth_kb() == 15_000
    assert round(leaking.slope_mb_per_h()) == round(300 * 3600 / 1024)
    assert filling.growth_kb() < 100
    assert filling.slope_mb_per_h() == 0
