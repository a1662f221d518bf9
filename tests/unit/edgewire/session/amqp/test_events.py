"""Events show no secret and are made fast where there are many."""

import dataclasses
from typing import get_args

from edgewire.session.amqp import events
from edgewire.session.amqp.events import AmqpEvent, SaslInitReceived


def test_what_a_client_shows_is_not_shown() -> None:
    event = SaslInitReceived(mechanism="PLAIN", response=b"\0dev\0secret", hostname="h")
    assert "secret" not in repr(event)


def test_every_event_is_one_of_the_union() -> None:
    classes = {
        one for one in vars(events).values() if dataclasses.is_dataclass(one) and one.__module__ == events.__name__
    }
    assert classes == set(get_args(AmqpEvent))
