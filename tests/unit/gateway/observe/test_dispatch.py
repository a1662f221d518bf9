"""The rules for all event classes stand in test_events.py; here, what the sentences of this room must not leave out."""

from gateway.observe.dispatch import (
    CloudMessageExpired,
    CloudMessagesSettled,
    DeliveryOutcome,
    IgnoredAnswer,
    MessagesUnrouted,
    MethodAnswerIgnored,
    MethodCalls,
    MethodOutcome,
)


def test_an_unrouted_message_is_said_to_end_here() -> None:
    assert MessagesUnrouted(5).sentence() == "5 messages matched no route and end here"


def test_an_expired_message_is_named_and_the_clock_is_in_doubt() -> None:
    said = CloudMessageExpired("d1", "m1").sentence()
    assert said.startswith("message 'm1' to 'd1' came when its time was over, and was rejected.")
    assert "clock" in said


def test_what_was_counted_is_said_in_words() -> None:
    assert CloudMessagesSettled(DeliveryOutcome.VOID, 2).sentence() == "2 messages to devices: void"
    assert MethodCalls(MethodOutcome.TIMED_OUT, 3).sentence() == "3 calls of methods of devices: timed out"
    ignored = MethodAnswerIgnored("d1", IgnoredAnswer.FOREIGN_DEVICE).sentence()
    assert ignored == "an answer of 'd1' to a method was ignored: foreign device"
