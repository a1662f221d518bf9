from edgewire.codec.mqtt.packets import PacketType
from edgewire.session.mqtt.states import CALLED, RECEIVED, Call, State, taken_in


def test_connect_comes_first_and_once() -> None:
    assert taken_in(State.CONNECT_AWAITED) == {PacketType.CONNECT}
    assert PacketType.CONNECT not in taken_in(State.CONNECTED)


def test_nothing_is_taken_while_connect_waits_or_after_the_end() -> None:
    assert not taken_in(State.CONNECT_RECEIVED)
    assert not taken_in(State.DISCONNECTED)


def test_quality_of_service_2_has_no_place() -> None:
    taken = {kind for _, kind in RECEIVED}
    assert not taken & {PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP, PacketType.AUTH}


def test_a_dead_session_takes_every_call_and_stays_dead() -> None:
    assert all(CALLED[State.DISCONNECTED, call] is State.DISCONNECTED for call in Call)


def test_every_state_but_the_end_has_a_way_out() -> None:
    for state in set(State) - {State.DISCONNECTED}:
        ways = {after for (where, _), after in [*RECEIVED.items(), *CALLED.items()] if where is state}
        assert ways - {state}
