import pytest

from gateway.observe import broker as events
from gateway.observe.broker import (
    DroppedLocal,
    LocalMessagesDropped,
    PlainLoginRefused,
    PlainRefusal,
    PlainSubscriptionRefused,
    RefusedPlainFilter,
)
from gateway.observe.head import Leaving


@pytest.mark.parametrize("reason", DroppedLocal)
def test_what_was_dropped_says_why(reason: DroppedLocal) -> None:
    assert LocalMessagesDropped(reason, 3).sentence().startswith("3 messages did not reach a local subscriber: ")


@pytest.mark.parametrize("reason", PlainRefusal)
def test_each_refused_login_says_what_to_look_at(reason: PlainRefusal) -> None:
    said = PlainLoginRefused("c" * 300, "ann", "10.0.0.1", reason).sentence()
    assert "was not let in as user 'ann': " in said
    assert "c" * 201 not in said


@pytest.mark.parametrize("reason", RefusedPlainFilter)
def test_each_refused_filter_says_why(reason: RefusedPlainFilter) -> None:
    assert "to 'a/#' was refused: it" in PlainSubscriptionRefused("c", "ann", reason, "a/#").sentence()


def test_an_open_listener_says_in_words_what_that_means() -> None:
    said = events.PlainListenerOpen("0.0.0.0", 1883).sentence()
    assert "on every interface of this machine" in said
    assert "nothing there is encrypted" in said
    assert "gateway users allow" in events.PlainListenerOpen("10.0.0.1", 1883).sentence()


def test_the_rest_says_what_happened_and_what_to_do() -> None:
    assert "2 messages were published locally" in events.LocalMessagesPublished(2).sentence()
    assert "2 messages were given" in events.LocalMessagesDelivered(2).sentence()
    assert "Publish an empty retained message" in events.RetainedNotKept("t", 1, 2).sentence()
    assert "clean session" in events.LocalSessionsForgotten(2).sentence()
    assert "Check the space" in events.BrokerNotStored(2, "full").sentence()
    assert "broker.db.damaged" in events.BrokerFileSetAside("broker.db.damaged", "x").sentence()
    assert "Set GATEWAY_PLAIN_PORT" in events.TopicRouteWaits('Topic("a")').sentence()
    assert "plain bridge 'c'" in events.PlainClientConnected("c", "ann", "10.0.0.1", True).sentence()
    assert "(lost): x" in events.PlainClientDisconnected("c", "ann", Leaving.LOST, "x").sentence()
    refused = events.PlainMessageRefused("c", "ann", events.RefusedPlain.FORBIDDEN, "why")
    assert refused.sentence().endswith("was refused: why")
    assert "came back" in events.PlainEchoesDropped("c", 1).sentence()
    assert "2 of them changed" in events.UsersReloaded("users.json", 3, 2).sentence()
    assert "as they were: x" in events.UsersUnreadable("x").sentence()
