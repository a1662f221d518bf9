"""The rules for all event classes stand in test_events.py; here, what the sentences of this room must not leave out."""

from gateway.observe.dispatch import MessagesUnrouted


def test_an_unrouted_message_is_said_to_end_here() -> None:
    assert MessagesUnrouted(5).sentence() == "5 messages matched no route and end here"
