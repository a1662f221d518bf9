from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.allowances import Allowances


def test_so_many_are_allowed_at_once_and_then_one_at_a_time() -> None:
    bucket = Allowances(3, 2.0, 10)
    for _ in range(3):
        assert bucket.wait_s("a", 100.0) == 0
        bucket.spend("a", 100.0)
    assert bucket.wait_s("a", 100.0) == 2
    assert bucket.wait_s("a", 101.5) == 1
    assert bucket.wait_s("a", 102.0) == 0
    bucket.spend("a", 102.0)
    assert bucket.wait_s("a", 102.0) == 2
    assert bucket.wait_s("a", 1_000.0) == 0


def test_keys_do_not_know_of_each_other() -> None:
    bucket = Allowances(1, 60.0, 10)
    bucket.spend("a", 0.0)
    assert (bucket.wait_s("a", 0.0), bucket.wait_s("b", 0.0)) == (60, 0)


def test_more_than_is_allowed_is_no_longer_wait() -> None:
    bucket = Allowances(2, 5.0, 10)
    for _ in range(100):
        bucket.spend("a", 0.0)
    assert bucket.wait_s("a", 0.0) == 5


def test_the_one_that_was_here_longest_ago_is_forgotten() -> None:
    bucket = Allowances(1, 60.0, 2)
    for key in ("a", "b", "a", "c"):
        bucket.spend(key, 0.0)
    assert [bucket.wait_s(key, 0.0) for key in "abc"] == [60, 0, 60]


@given(st.integers(1, 5), st.floats(0.01, 100), st.lists(st.floats(0, 50), max_size=40))
def test_who_waits_as_told_is_let_in(burst: int, recovery_s: float, steps: list[float]) -> None:
    bucket, now = Allowances(burst, recovery_s, 4), 0.0
    for step in steps:
        now += step
        now += bucket.wait_s("a", now)
        assert bucket.wait_s("a", now) == 0
        bucket.spend("a", now)
