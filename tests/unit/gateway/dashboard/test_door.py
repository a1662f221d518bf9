import pytest

from edgepage.guard import Refusal
from gateway.dashboard.door import HOUSE, Reporter
from gateway.observe.events import Event
from gateway.observe.page import PageEntered, PageRefusal, PageRefused


def test_a_login_is_an_event() -> None:
    events: list[Event] = []
    Reporter(events.append).entered("127.0.0.1")
    assert events == [PageEntered("127.0.0.1")]


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_of_the_door_is_an_event_with_its_advice(refusal: Refusal) -> None:
    events: list[Event] = []
    Reporter(events.append).refused("127.0.0.1", refusal)
    (event,) = events
    assert event == PageRefused("127.0.0.1", PageRefusal(refusal.value))
    assert "127.0.0.1" in event.sentence()


def test_a_visitor_who_is_not_let_in_reads_which_command_shows_the_address() -> None:
    assert "gateway page" in HOUSE.ending
    assert "GATEWAY_METRICS_ADDRESS" in HOUSE.names
