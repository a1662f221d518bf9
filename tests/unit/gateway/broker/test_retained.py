from gateway.broker.limits import MESSAGE_OVERHEAD, BrokerLimits
from gateway.broker.messages import LocalMessage
from gateway.broker.retained import LOOK_BYTES, RetainedMessages


def message(topic: str, payload: bytes = b"x", expires_at: float | None = None) -> LocalMessage:
    return LocalMessage(topic=topic, payload=payload, retain=True, expires_at=expires_at)


def test_the_last_message_of_a_topic_is_kept() -> None:
    kept = RetainedMessages(BrokerLimits())
    assert kept.keep(message("a", b"1"))
    assert kept.keep(message("a", b"22"))
    assert [each.payload for each in kept] == [b"22"]
    assert kept.size == 3 + MESSAGE_OVERHEAD
    assert kept.drop("a")
    assert not kept.drop("a")
    assert (len(kept), kept.size) == (0, 0)


def test_a_new_topic_needs_room_and_a_known_one_its_own() -> None:
    kept = RetainedMessages(BrokerLimits(max_retained=1, max_retained_bytes=MESSAGE_OVERHEAD + 10))
    assert kept.keep(message("a", b"1"))
    assert not kept.keep(message("b"))
    assert kept.keep(message("a", bytes(9)))
    assert not kept.keep(message("a", bytes(10)))
    (left,) = kept
    assert left.payload == bytes(9)


def test_a_look_goes_on_where_it_stopped_and_ends_where_it_began() -> None:
    kept = RetainedMessages(BrokerLimits(retained_per_turn=3))
    for number in range(8):
        kept.keep(message(f"t/{number}"))
    until = kept.last
    kept.keep(message("t/0", b"changed while looking"))
    found: list[LocalMessage] = []
    after: int | None = 0
    rounds = 0
    while after is not None:
        some, after = kept.look("t/+", after, until)
        found += some
        rounds += 1
        assert len(some) <= 3
    assert [each.topic for each in found] == [f"t/{number}" for number in range(1, 8)]
    assert rounds == 3


def test_a_look_without_wildcards_is_one_step() -> None:
    kept = RetainedMessages(BrokerLimits())
    kept.keep(message("a"))
    assert kept.look("a", 0, 1) == ([message("a")], None)
    assert kept.look("a", 1, 1) == ([], None)
    assert kept.look("b", 0, 1) == ([], None)


def test_a_look_gives_no_more_than_some_bytes() -> None:
    kept = RetainedMessages(BrokerLimits())
    for number in range(4):
        kept.keep(message(f"t/{number}", bytes(LOOK_BYTES // 2)))
    found, after = kept.look("#", 0, kept.last)
    assert len(found) == 2
    assert after == 2


def test_expired_messages_are_named() -> None:
    kept = RetainedMessages(BrokerLimits())
    kept.keep(message("a", expires_at=5))
    kept.keep(message("b"))
    assert kept.expired(4) == []
    assert kept.expired(5) == ["a"]
