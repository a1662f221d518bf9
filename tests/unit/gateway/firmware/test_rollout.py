import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.firmware import rollout as tables
from gateway.firmware.boards import Board, BoardState
from gateway.firmware.rollout import (
    GOING,
    ORDERS,
    STEPS,
    Amount,
    AmountError,
    Happening,
    Order,
    Progress,
    Rollout,
    Stage,
    Terms,
)

OLD = Board(model="m", version="1.0", serial=1, state=BoardState.RUNNING)
NEW = Board(model="m", version="2.0", serial=2, state=BoardState.RUNNING)
TRIAL = Board(model="m", version="2.0", serial=2, state=BoardState.TRIAL)
UPDATING = Board(model="m", version="1.0", serial=1, state=BoardState.UPDATING)
BACK = Board(model="m", version="1.0", serial=1, state=BoardState.ROLLED_BACK, failed="2.0")
NEWER = Board(model="m", version="3.0", serial=3, state=BoardState.RUNNING)


def rollout(boards: int = 10, **terms: object) -> Rollout:
    new = Rollout(model="m", version="2.0", serial=2, terms=Terms(**terms))  # type: ignore[arg-type] # by name
    for number in range(boards):
        new.admit(f"m-{number}", OLD)
    return new


def names(new: Rollout) -> set[str]:
    return set(new.boards)


def step(new: Rollout, now: float = 0.0, *, fail: frozenset[str] = frozenset()) -> list[str]:
    """Ask whoever is due, and let each get there, or fail."""
    asked = new.due(names(new), now)
    for device in asked:
        new.happen(device, Happening.ASKED, now)
        new.happen(device, Happening.ACCEPTED, now)
        new.hear(device, BACK if device in fail else NEW, now)
    order = new.judge()
    if order is not None:
        new.obey(order)
    return asked


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("10%", 1, 1), ("0", 0, 0), ("3", 3, 3), ("15%", 2, 1), ("100%", 10, 10), ("0%", 0, 0), ("99999", 99999, 99999)],
)
def test_amounts_are_numbers_or_shares(text: str, least: int, most: int) -> None:
    amount = Amount.parse(text)
    assert (amount.least(10), amount.most(10), str(amount)) == (least, most, text)


@pytest.mark.parametrize("text", ["", "-1", "101%", "10 %", "1.5", "ten", "%", "１", "999999"])  # noqa: RUF001
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(AmountError, match="neither a number"):
        Amount.parse(text)


def test_the_canary_share_goes_first_and_the_rest_follows_so_many_at_once() -> None:
    new = rollout(20, canary=Amount(10, True), at_once=5)
    assert new.canary_size == 2
    assert len(step(new)) == 2
    assert new.stage is Stage.ALL
    assert [len(step(new)) for _ in range(4)] == [5, 5, 5, 3]
    assert new.completes()
    assert not new.completes()
    assert new.counts()["done"] == 20


def test_no_more_are_under_way_than_allowed() -> None:
    new = rollout(10, canary=Amount(100, True), at_once=3)
    for device in new.due(names(new), 0):
        new.happen(device, Happening.ASKED, 0)
    assert new.due(names(new), 0) == []
    new.happen("m-0", Happening.ACCEPTED, 0)
    assert new.due(names(new), 0) == []
    new.hear("m-0", TRIAL, 0)
    assert new.due(names(new), 0) == []
    new.hear("m-0", NEW, 0)
    assert new.due(names(new), 0) == ["m-3"]


def test_only_who_is_connected_is_asked_and_canaries_are_found_among_them() -> None:
    new = rollout(10, canary=Amount(1, False))
    assert new.due({"m-7", "m-8", "stranger"}, 0) == ["m-7"]
    assert new.due(set(), 0) == []


def test_failures_beyond_the_share_stop_it_and_resuming_forgives_them() -> None:
    new = rollout(10, canary=Amount(1, False), max_failures=Amount(10, True), at_once=1)
    bad = frozenset({"m-3", "m-5"})
    while new.stage in GOING:
        step(new, fail=bad)
    assert new.stage is Stage.STOPPED
    assert new.failures == 2
    assert new.due(names(new), 0) == []
    assert new.obey(Order.RESUME)
    while step(new):
        pass
    assert (new.stage, new.failures, new.count(Progress.DONE)) == (Stage.ALL, 2, 8)
    assert new.completes()


def test_one_failure_among_few_canaries_stops_it() -> None:
    new = rollout(10, canary=Amount(2, False))
    step(new, fail=frozenset({"m-0"}))
    assert new.stage is Stage.STOPPED
    assert new.count(Progress.WAITING) == 8


def test_whoever_is_silent_for_too_long_has_failed_and_may_still_come() -> None:
    new = rollout(1, silent_s=100.0)
    new.happen("m-0", Happening.ASKED, 0)
    assert new.deadline() is None
    new.happen("m-0", Happening.ACCEPTED, 10)
    assert new.deadline() == 110
    assert new.overdue(109) == []
    assert new.overdue(110) == ["m-0"]
    assert new.happen("m-0", Happening.OVERDUE, 110) is Progress.SILENT
    assert new.judge() is Order.STOP
    assert new.hear("m-0", NEW, 120) is Progress.DONE
    assert new.failures == 0


def test_who_does_not_answer_is_asked_again_later_or_when_it_has_spoken() -> None:
    new = rollout(1)
    new.happen("m-0", Happening.ASKED, 0)
    assert new.happen("m-0", Happening.UNREACHED, 0) is Progress.WAITING
    assert new.due({"m-0"}, tables.ASK_AGAIN_S - 1) == []
    assert new.due({"m-0"}, tables.ASK_AGAIN_S) == ["m-0"]
    new.come_back("m-0", 100)
    assert new.due({"m-0"}, 100) == []
    assert new.deadline() == 100 + tables.REPORT_S
    new.hear("m-0", OLD, 100)
    assert new.due({"m-0"}, 100) == ["m-0"]
    new.come_back("stranger", 100)
    assert new.due({"stranger"}, 200) == []


@pytest.mark.parametrize(
    ("board", "progress"),
    [(OLD, Progress.WAITING), (NEW, Progress.DONE), (NEWER, Progress.NEWER), (BACK, Progress.WAITING)],
)
def test_a_board_is_taken_in_as_it_is(board: Board, progress: Progress) -> None:
    new = rollout(0)
    new.admit("m-0", board)
    assert new.boards == {"m-0": progress}


@pytest.mark.parametrize(
    ("board", "progress"),
    [(OLD, None), (UPDATING, None), (TRIAL, None), (NEW, Progress.DONE), (BACK, Progress.FAILED)],
)
def test_what_a_board_says_while_it_updates(board: Board, progress: Progress | None) -> None:
    new = rollout(1)
    new.happen("m-0", Happening.ASKED, 0)
    new.happen("m-0", Happening.ACCEPTED, 0)
    assert new.hear("m-0", board, 1) is progress


def test_newer_boards_count_for_nothing() -> None:
    new = rollout(0, canary=Amount(50, True))
    for number in range(10):
        new.admit(f"m-{number}", NEWER if number < 8 else OLD)
    assert new.canary_size == 1
    assert new.due(names(new), 0) == ["m-8"]


def test_without_a_board_nothing_happens_and_the_first_to_come_is_the_canary() -> None:
    new = rollout(0)
    assert (new.judge(), new.completes(), new.due(set(), 0)) == (None, False, [])
    new.admit("m-0", OLD)
    assert step(new) == ["m-0"]
    assert new.completes()
    new.admit("m-1", OLD)
    assert step(new) == ["m-1"]


def test_paused_nobody_is_asked_and_it_goes_back_to_where_it_was() -> None:
    new = rollout()
    assert new.obey(Order.PAUSE)
    assert step(new) == []
    assert not new.obey(Order.PAUSE)
    assert new.obey(Order.RESUME)
    stages = [new.stage]
    step(new)
    new.obey(Order.PAUSE)
    new.obey(Order.RESUME)
    stages.append(new.stage)
    assert stages == [Stage.CANARY, Stage.ALL]


def test_aborted_it_is_over() -> None:
    new = rollout()
    step(new)
    assert new.obey(Order.ABORT)
    assert not any(new.obey(order) for order in Order)
    assert step(new) == []
    assert not new.is_meant_for("m-0")


def test_a_board_that_asks_by_itself_gets_it_when_it_is_its_turn() -> None:
    new = rollout(2, canary=Amount(1, False), at_once=1)
    assert not new.is_meant_for("m-0")
    new.happen("m-0", Happening.ASKED, 0)
    assert (new.is_meant_for("m-0"), new.is_meant_for("m-1"), new.is_meant_for("m-2")) == (True, False, False)
    new.hear("m-0", NEW, 0)
    new.obey(Order.SPREAD)
    assert new.is_meant_for("m-2")
    new.obey(Order.PAUSE)
    assert (new.is_meant_for("m-0"), new.is_meant_for("m-2")) == (True, False)


def test_after_a_start_who_was_asked_is_asked_again_and_who_updates_has_its_time_anew() -> None:
    new = rollout(2, silent_s=100.0)
    new.happen("m-0", Happening.ASKED, 0)
    new.happen("m-1", Happening.ASKED, 0)
    new.happen("m-1", Happening.ACCEPTED, 0)
    new.begin_again(1_000)
    assert new.boards == {"m-0": Progress.WAITING, "m-1": Progress.UPDATING}
    assert new.deadline() == 1_100


def test_a_board_that_was_dropped_is_none_of_it() -> None:
    new = rollout(2)
    new.drop("m-0")
    new.drop("stranger")
    assert names(new) == {"m-1"}
    assert new.happen("m-0", Happening.ARRIVED, 0) is None


def test_every_pair_that_is_in_no_table_changes_nothing() -> None:
    for progress, happening in itertools.product(Progress, Happening):
        new = rollout(0)
        new.boards["x"] = progress
        after = new.happen("x", happening, 0)
        assert (after or progress) is STEPS.get((progress, happening), progress)
    for stage, order in itertools.product(Stage, Order):
        new = rollout(0)
        new.stage = stage
        assert new.obey(order) is ((stage, order) in ORDERS)


@given(
    st.lists(st.tuples(st.integers(0, 7), st.sampled_from(Happening)), max_size=60),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_whatever_happens_bounds_hold(happenings: list[tuple[int, Happening]], at_once: int, canary: int) -> None:
    new = rollout(8, at_once=at_once, canary=Amount(canary, False))
    for number, happening in happenings:
        if happening is Happening.ASKED:
            before = new.count(*tables.UNDER_WAY)
            asked = new.due(names(new), 0)
            assert before + len(asked) <= max(before, at_once)
            if new.stage is Stage.CANARY and asked:
                assert new.count(*tables.UNDER_WAY, *tables.SETTLED) + len(asked) <= canary
            for device in asked:
                new.happen(device, Happening.ASKED, 0)
        else:
            new.happen(f"m-{number}", happening, 0)
        if (order := new.judge()) is not None:
            assert new.obey(order)
    assert sum(new.counts().values()) == 8
    assert set(new.named(Progress)) == names(new)
