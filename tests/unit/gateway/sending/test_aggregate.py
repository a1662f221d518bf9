import math
from collections import defaultdict
from statistics import fmean
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.message import identity
from gateway.sending import aggregate as room
from gateway.sending.aggregate import Aggregator
from gateway.sending.how import Aggregate, Measure
from gateway.sending.made import shown_time
from support.staged import NOON_MS, entry, read, told

MINUTE = Aggregate(window_s=60, values={"t": "$body.t"})


def fed(own: Aggregator, *values: Any, at_s: float = 0, first: int = 1, sender: str = "d1") -> None:
    for number, value in enumerate(values):
        own.add(entry(told({"t": value}, sender), first + number, at_ms=NOON_MS + int(at_s * 1000)))


def closed(own: Aggregator, after_s: float, *, caught_up: bool = True) -> list[Any]:
    return [read(own.message(each)) for each in own.close(NOON_MS + int(after_s * 1000), caught_up=caught_up)]


def test_a_window_tells_its_numbers() -> None:
    own = Aggregator("r", MINUTE)
    fed(own, 20, 23.5, 21)
    (tally,) = own.close(NOON_MS + 62_000, caught_up=True)
    message = own.message(tally)
    assert read(message) == {
        "deviceId": "d1",
        "windowStart": "2027-01-15T12:00:00.000Z",
        "windowEnd": "2027-01-15T12:01:00.000Z",
        "count": 3,
        "values": {"t": {"count": 3, "min": 20, "max": 23.5, "mean": 21.5, "sum": 64.5, "last": 21}},
    }
    assert message.envelope.sender == identity("d1")
    assert message.envelope.system["messageId"] == f"s-1:4ea9c1da:{NOON_MS // 1000}"
    assert message.envelope.properties == {"sendKind": "aggregate", "sendRoute": "r", "sendCount": "3"}


def test_only_the_measures_that_are_asked_for() -> None:
    own = Aggregator("r", Aggregate(window_s=60, values={"t": "$body.t"}, measures=(Measure.MAX, Measure.LAST)))
    fed(own, 2, 1)
    assert closed(own, 62)[0]["values"] == {"t": {"max": 2, "last": 1}}


def test_what_is_no_number_counts_as_a_message_only() -> None:
    own = Aggregator("r", MINUTE)
    fed(own, "20", None, True, [1])
    (found,) = closed(own, 62)
    assert found["count"] == 4
    assert found["values"]["t"] == {"count": 0, "min": None, "max": None, "mean": None, "sum": None, "last": None}


def test_a_module_is_a_sender_of_its_own() -> None:
    own = Aggregator("r", MINUTE)
    message = told({"t": 1})
    of_module = type(message.envelope)(
        sender=identity("d1", "m"), properties={}, system=message.envelope.system, source=message.envelope.source
    )
    own.add(entry(type(message)(of_module, message.body), 1))
    assert closed(own, 62)[0]["moduleId"] == "m"


def test_windows_are_aligned_to_the_clock_and_close_by_it_once_nothing_waits_to_be_read() -> None:
    own = Aggregator("r", MINUTE)
    fed(own, 1, at_s=59.9)
    assert closed(own, 60) == []
    assert closed(own, 61.9) == []
    assert closed(own, 1000, caught_up=False) == []
    assert [found["windowStart"] for found in closed(own, 62)] == ["2027-01-15T12:00:00.000Z"]
    assert not own.waits


def test_a_later_message_closes_the_windows_before_it() -> None:
    own = Aggregator("r", MINUTE)
    fed(own, 1)
    fed(own, 2, at_s=60, first=2, sender="d2")
    assert [found["deviceId"] for found in closed(own, 60, caught_up=False)] == ["d1"]
    assert own.waits


def test_a_clock_that_is_set_back_closes_the_windows_that_lie_ahead() -> None:
    own = Aggregator("r", MINUTE)
    fed(own, 1, at_s=36_000)
    fed(own, 2, at_s=10, first=2)
    (ahead,) = closed(own, 10, caught_up=False)
    assert (ahead["windowStart"], ahead["partial"]) == ("2027-01-15T22:00:00.000Z", True)
    (here,) = closed(own, 62)
    assert "partial" not in here


def test_a_bound_sends_the_oldest_early_and_says_so() -> None:
    own = Aggregator("r", MINUTE)
    with patch.object(room, "MAX_TALLIES", 2):
        for number, sender in enumerate(("d1", "d2", "d3", "d1"), 1):
            fed(own, number, first=number, sender=sender)
        overfull = own.overfull
        early = closed(own, 1)
    assert [(found["deviceId"], found["partial"]) for found in early] == [("d1", True), ("d2", True)]
    assert (overfull, own.overfull) == (True, False)
    assert [(found["deviceId"], found["values"]["t"]["sum"]) for found in closed(own, 62)] == [("d3", 3), ("d1", 4)]


def restored(own: Aggregator) -> Aggregator:
    other = Aggregator("r", MINUTE)
    other.restore(orjson.loads(orjson.dumps(own.state())))
    return other


def test_what_is_counted_is_not_counted_again_after_a_restart() -> None:
    own = Aggregator("r", MINUTE)
    fed(own, 1, 2)
    own = restored(own)
    fed(own, 1, 2, 4)  # read again, and one more
    (found,) = closed(own, 62)
    assert (found["count"], found["values"]["t"]["sum"]) == (3, 7)


def test_another_store_begins_anew() -> None:
    own = Aggregator("r", MINUTE)
    fed(own, 1, 2)
    own.add(entry(told({"t": 4}), 1, store_id="other"))
    assert closed(own, 62)[0]["values"]["t"]["sum"] == 7


def test_what_went_early_and_began_again_is_kept_apart() -> None:
    own = Aggregator("r", MINUTE)
    with patch.object(room, "MAX_TALLIES", 1):
        fed(own, 1)
        fed(own, 2, first=2, sender="d2")
        fed(own, 4, first=3)
        own = restored(own)
    sums = [(found["deviceId"], found["values"]["t"]["sum"]) for found in closed(own, 62)]
    assert sorted(sums) == [("d1", 1), ("d1", 4), ("d2", 2)]


def test_a_sum_beyond_the_largest_double_is_null() -> None:
    own = Aggregator("r", MINUTE)
    fed(own, 1e308, 1e308)
    own = restored(own)
    assert closed(own, 62)[0]["values"]["t"]["sum"] is None


@pytest.mark.parametrize("state", [{}, {"format": 2}, {"format": 1, "tallies": [[1]]}, {"format": 1, "tallies": 3}])
def test_what_is_no_state_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError, TypeError)):
        Aggregator("r", MINUTE).restore(state)


def test_an_expression_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        Aggregator("r", Aggregate(window_s=1, values={"t": "nothing("}))


READING = st.tuples(
    st.sampled_from(["d1", "d2"]),
    st.one_of(st.floats(-1e6, 1e6), st.integers(-1000, 1000), st.text(max_size=3), st.none()),
    st.floats(0, 45),
    st.sampled_from(["", "close", "restart"]),
)


@given(st.lists(READING, max_size=60))
def test_each_window_is_what_a_plain_sum_says(readings: list[tuple[str, Any, float, str]]) -> None:
    own = Aggregator("r", MINUTE)
    wanted: dict[tuple[str, int], list[float]] = defaultdict(list)
    counts: dict[tuple[str, int], int] = defaultdict(int)
    found: list[Any] = []
    at_ms = NOON_MS
    for number, (device, value, pause_s, then) in enumerate(readings):
        at_ms += int(pause_s * 1000)
        own.add(entry(told({"t": value}, device), number, at_ms=at_ms))
        key = device, at_ms // 60_000 * 60_000
        counts[key] += 1
        if isinstance(value, int | float):
            wanted[key].append(float(value))
        if then == "close":
            found += [read(own.message(each)) for each in own.close(at_ms, caught_up=False)]
        elif then == "restart":
            own = restored(own)
            own.add(entry(told({"t": 1e9}, device), number, at_ms=at_ms))  # counted before
    found += [read(own.message(each)) for each in own.close(at_ms + 600_000, caught_up=True)]
    assert len(found) == len(counts)
    for each in found:
        key = each["deviceId"], next(k[1] for k in counts if shown_time(k[1]) == each["windowStart"])
        numbers, told_of = wanted[key], each["values"]["t"]
        assert (each["count"], told_of["count"]) == (counts[key], len(numbers))
        if numbers:
            assert (told_of["min"], told_of["max"], told_of["last"]) == (min(numbers), max(numbers), numbers[-1])
            assert math.isclose(told_of["sum"], math.fsum(numbers), abs_tol=1e-6)
            assert math.isclose(told_of["mean"], fmean(numbers), abs_tol=1e-6)
