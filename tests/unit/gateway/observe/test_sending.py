from gateway.observe.dispatch import HeldBack, MessagesHeldBack
from gateway.observe.sending import BatchesWithoutSender, MadeOf, MessagesMade, SendingNotKept, SendingNotRead


def test_what_was_made_and_held_back_is_said_in_words() -> None:
    assert MessagesMade(MadeOf.BATCH, 3).sentence() == "3 messages made: batch"
    held = MessagesHeldBack(HeldBack.TOO_SOON, 5).sentence()
    assert held == "5 messages were held back, as their routes say: too soon"


def test_a_disk_that_does_not_take_it_loses_nothing_and_says_so() -> None:
    said = SendingNotKept("mean", "no space").sentence()
    assert "route 'mean'" in said
    assert "wait in the store" in said


def test_a_file_that_is_of_no_use_is_named_with_what_is_missing() -> None:
    said = SendingNotRead("a.json", "ValueError").sentence()
    assert said.startswith("a.json cannot be read (ValueError)")
    assert ".damaged" in said


def test_batches_without_a_sender_are_told_with_both_ways_out() -> None:
    said = BatchesWithoutSender("all", "edge-1/gateway").sentence()
    assert "route 'all'" in said
    assert '"per": "device"' in said
    assert "GATEWAY_UPSTREAM to edgehub" in said
