import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import UsageError
from edgewire.session.mqtt.inflight import InFlight


def test_identifiers_begin_at_one_and_come_round() -> None:
    flight = InFlight(3)
    assert [flight.take() for _ in range(4)] == [1, 2, 3, None]
    assert flight.release(2)
    assert flight.take() == 4
    assert flight.free == 0


def test_after_the_last_identifier_comes_the_first_free_one() -> None:
    flight = InFlight(10)
    assert flight.take() == 1
    assert flight.take_again(65_535) == 65_535
    assert flight.take() == 2


def test_one_that_is_not_in_flight_is_not_released() -> None:
    assert not InFlight(3).release(1)


def test_an_identifier_in_use_cannot_be_taken_again() -> None:
    flight = InFlight(3)
    flight.take()
    for packet_id in (0, 1, 65_536):
        with pytest.raises(UsageError):
            flight.take_again(packet_id)


def test_a_used_up_window_takes_nothing_again_either() -> None:
    flight = InFlight(1)
    flight.take()
    assert flight.take_again(7) is None


@given(st.lists(st.booleans(), max_size=60))
def test_no_identifier_is_in_use_twice(steps: list[bool]) -> None:
    flight = InFlight(5)
    used: list[int] = []
    for send in steps:
        if send:
            packet_id = flight.take()
            assert (packet_id is None) == (len(used) == 5)
            if packet_id is not None:
                assert packet_id not in used
                used.append(packet_id)
        elif used:
            assert flight.release(used.pop(0))
