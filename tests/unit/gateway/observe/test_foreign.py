"""What a person reads of the client of a broker."""

import pytest

from gateway.observe.events import Event
from gateway.observe.foreign import (
    BrokerConnected,
    BrokerFault,
    BrokerHeardNothingWanted,
    BrokerLoopCut,
    BrokerLost,
    BrokerMessagesKnown,
    BrokerMessagesReceived,
    BrokerNotesNotKept,
    BrokerSessionLost,
    BrokerSubscribed,
    BrokerSubscriptionRefused,
    BrokerTryFailed,
    KnownMessage,
)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (BrokerConnected("b:1883", 0.25, session_present=True), "it has kept the session"),
        (BrokerConnected("b:1883", 0.25, session_present=False), "a new session begins"),
        (BrokerSessionLost("b:1883", "gw"), "has forgotten the session of 'gw'"),
        (BrokerLost(BrokerFault.DROPPED, "it closed", 3), "3 messages are not acknowledged yet"),
        (BrokerTryFailed(BrokerFault.UNREACHABLE, "nobody there", 2, 1.5), "Try 2 failed; the next comes in 1.5 s"),
        (BrokerSubscribed(2, "a, b"), "subscribed at the broker to a, b"),
        (BrokerSubscriptionRefused("a/#", "not authorised"), "'a/#' (not authorised)"),
        (BrokerHeardNothingWanted(), 'listener "broker"'),
        (BrokerMessagesReceived(5), "5 messages came"),
        (BrokerMessagesKnown(KnownMessage.ECHO, 5), "5 messages of the broker were not taken again: echo"),
        (BrokerLoopCut("a/b"), "'a/b'"),
        (BrokerNotesNotKept("no room"), "no room"),
    ],
)
def test_a_sentence_says_what_matters(event: Event, words: str) -> None:
    assert words in event.sentence()
