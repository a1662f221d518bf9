import pytest

from gateway.app.clock import STEP_S, ClockWatch


class Clocks:
    """Both clocks, moved by the test."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.steady = 50.0

    def watch(self) -> ClockWatch:
        return ClockWatch(lambda: self.wall, lambda: self.steady)

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_a_clock_that_goes_on_has_not_jumped_however_long_nobody_looked() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    for seconds in (1.0, 0.0, 86_400.0):
        clocks.run(seconds)
        assert watch.jump_s() == 0.0


@pytest.mark.parametrize("step", [3600.0, -3600.0, 315_360_000.0, STEP_S, -STEP_S])
def test_a_clock_that_was_set_is_noticed_once(step: float) -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.run(1.0)
    clocks.wall += step
    assert watch.jump_s() == step
    clocks.run(1.0)
    assert watch.jump_s() == 0.0


def test_small_corrections_are_none_even_if_they_add_up() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    for _ in range(100):
        clocks.run(1.0)
        clocks.wall += 0.5
        assert watch.jump_s() == 0.0
