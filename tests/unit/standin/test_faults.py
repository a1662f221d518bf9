from typing import Any

import pytest

from standin.faults import DESCRIPTIONS, MAX_DELAY_S, FaultError, Faults, Refusal


def test_at_first_nothing_is_wrong() -> None:
    faults = Faults()
    assert faults.refusal is None
    assert not faults.drops_with(1)
    assert not faults.loses_acknowledgement()


def test_each_fault_says_what_it_does() -> None:
    assert all(DESCRIPTIONS.values())
    assert set(DESCRIPTIONS) == {
        *("stalled", "refusing", "refusing_tokens", "late", "throttling", "over_quota"),
        *("drop_after", "lose_acknowledgements", "acknowledgement_delay_s", "clock_skew_s"),
    }


def test_messages_are_refused_as_throttled_first() -> None:
    assert Faults(over_quota=True).refusal is Refusal.OVER_QUOTA
    assert Faults(over_quota=True, throttling=True).refusal is Refusal.THROTTLED


@pytest.mark.parametrize(("batches", "cut"), [([1, 1, 1], 2), ([2, 2], 1), ([5], 0)])
def test_connections_are_cut_once_with_the_batch_that_holds_the_nth_message(batches: list[int], cut: int) -> None:
    faults = Faults(drop_after=3)
    assert [faults.drops_with(batch) for batch in batches].index(True) == cut
    assert not faults.drops_with(100)


def test_so_many_acknowledgements_are_lost() -> None:
    faults = Faults(lose_acknowledgements=2)
    assert [faults.loses_acknowledgement() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stalling": True}, "there are stalled, refusing"),
        ({"stalled": 1}, "on or off"),
        ({"drop_after": "soon"}, "a number"),
        ({"drop_after": True}, "a number"),
        ({"drop_after": 1.5}, "whole number"),
        ({"drop_after": -1}, "from 0 to"),
        ({"acknowledgement_delay_s": MAX_DELAY_S + 1}, "from 0 to 3600"),
        ({"acknowledgement_delay_s": float("nan")}, "a number"),
        ({"clock_skew_s": 1e12}, "from -3.1536e+08"),
        ({"throttling": True, "stalled": None}, "on or off"),
    ],
)
def test_what_is_no_fault_changes_nothing_and_is_said(change: dict[str, Any], words: str) -> None:
    faults = Faults(drop_after=7)
    with pytest.raises(FaultError, match=words.replace("+", r"\+")):
        faults.change(change)
    assert faults == Faults(drop_after=7)


def test_all_faults_end_together() -> None:
    faults = Faults()
    faults.change({"stalled": True, "drop_after": 3, "clock_skew_s": -60, "acknowledgement_delay_s": 0.5})
    assert faults == Faults(stalled=True, drop_after=3, clock_skew_s=-60.0, acknowledgement_delay_s=0.5)
    faults.clear()
    assert faults == Faults()
