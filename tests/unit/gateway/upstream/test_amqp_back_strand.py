from gateway.upstream.amqp_back_strand import HAS_TURN, NEXT, Step, StrandState

# What strands say to a hub is tried with their keeper, in test_amqp_back, and kind by kind.


def test_from_every_state_it_can_be_given_up_and_lose_its_connection_but_from_the_last() -> None:
    for state in StrandState:
        over = state is StrandState.OVER
        assert NEXT.get((state, Step.UNWANTED)) is (None if over else StrandState.OVER)
        assert NEXT.get((state, Step.DOWN)) is (None if over else StrandState.AWAY)


def test_whatever_comes_after_the_end_has_no_effect() -> None:
    assert [step for step in Step if (StrandState.OVER, step) in NEXT] == []


def test_every_state_can_be_reached_and_left() -> None:
    assert set(NEXT.values()) == set(StrandState)
    assert {state for state, _ in NEXT} == set(StrandState) - {StrandState.OVER}


def test_a_turn_begins_with_the_seat_and_ends_open_resting_or_without_a_place() -> None:
    outside = set(StrandState) - set(HAS_TURN)
    into = {(state, after) for (state, _), after in NEXT.items() if state in outside and after in HAS_TURN}
    assert into == {(StrandState.QUEUED, StrandState.SEATING)}
    out = {after for (state, _), after in NEXT.items() if state in HAS_TURN and after in outside}
    assert out == {
        StrandState.OPEN,
        StrandState.RESTING,
        StrandState.UNPLACED,
        StrandState.AWAY,
        StrandState.OVER,
    }
