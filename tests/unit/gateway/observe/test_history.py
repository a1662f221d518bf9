import pytest

from edgewire.message import Envelope, Message, identity
from gateway.observe.history import MAX_HISTORY_BYTES, MAX_MESSAGES, History
from gateway.observe.seen import Seen
from gateway.observe.tap import Routed


def seen(number: int, body: bytes = b"") -> Seen:
    envelope = Envelope(sender=identity("d1"), properties={}, system={})
    return Seen(number, 0.0, Routed(Message(envelope, body), (), ()))


def test_the_latest_are_kept_and_found() -> None:
    history = History()
    for number in range(MAX_MESSAGES + 5):
        history.keep(seen(number))
    kept = history.last()
    assert (len(kept), kept[0].number, kept[-1].number) == (MAX_MESSAGES, 5, MAX_MESSAGES + 4)
    assert [each.number for each in history.last(2)] == [MAX_MESSAGES + 3, MAX_MESSAGES + 4]
    assert history.last(0) == []
    assert history.find(4) is None
    assert history.find(5) is kept[0]
    assert history.kept == MAX_MESSAGES + 5


@pytest.mark.parametrize("size", [10_000, 262_144, MAX_HISTORY_BYTES * 2])
def test_large_messages_push_others_out_and_the_last_stays(size: int) -> None:
    history = History()
    for number in range(300):
        history.keep(seen(number, b"x" * size))
    assert history.last()[-1].number == 299
    assert history.bytes <= max(MAX_HISTORY_BYTES, seen(0, b"x" * size).size)
