"""The rules for all event classes stand in test_events.py; here, what the sentences of this room must not leave out."""

from gateway.observe.dispatch import MessagesNotKept, NotKept


def test_a_message_that_was_not_kept_says_why_what_follows_and_where_to_look() -> None:
    sentence = MessagesNotKept(NotKept.STORE_FULL, 5).sentence()
    for part in ("5 messages", "store full", "send again", "gateway store status"):
        assert part in sentence
