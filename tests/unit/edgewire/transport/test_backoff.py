from hypothesis import given
from hypothesis import strategies as st

from edgewire.transport.backoff import Backoff


def test_delays_double_up_to_the_cap() -> None:
    backoff = Backoff(1.0, 10.0, draw=lambda: 1.0)

    assert [backoff.next_delay_s() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_success_starts_again_at_the_first_delay() -> None:
    backoff = Backoff(1.0, 10.0, draw=lambda: 1.0)
    backoff.next_delay_s()
    backoff.next_delay_s()

    backoff.reset()

    assert backoff.failures == 0
    assert backoff.next_delay_s() == 1.0


@given(draw=st.floats(0, 1, exclude_max=True), failures=st.integers(0, 2000))
def test_jitter_takes_at_most_half_and_never_adds(draw: float, failures: int) -> None:
    backoff = Backoff(0.5, 30.0, draw=lambda: draw)
    backoff.failures = failures

    delay_s = backoff.next_delay_s()

    full_s = min(30.0, 0.5 * 2.0 ** min(failures, 30))
    assert full_s / 2 <= delay_s <= full_s
