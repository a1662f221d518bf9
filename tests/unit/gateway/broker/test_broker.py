"""What the conversations of tests/conversation do not reach: bounds of the broker, and what it tells of itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.broker.broker import Grant, LocalBroker
from gateway.broker.disk import BROKER_FILE, BrokerDisk
from gateway.broker.limits import BrokerLimits
from gateway.broker.messages import LocalMessage, Parcel, Subscription
from gateway.broker.sessions import LocalSession
from gateway.observe.broker import LocalMessagesDelivered, LocalMessagesPublished, LocalSessionsForgotten
from gateway.observe.events import Event

LIMITS = BrokerLimits(
    max_sessions=2, max_subscriptions=3, max_all_subscriptions=4, max_levels=3, max_known_matches=4, max_all_levels=6
)


class Line:
    """A connection that takes everything."""

    def __init__(self) -> None:
        self.sent: list[Parcel] = []

    def send(self, parcel: Parcel, _packet_id: int | None) -> int | None:
        self.sent.append(parcel)
        return 0


@pytest.fixture
async def events() -> list[Event]:
    return []


@pytest.fixture
async def broker(tmp_path: Path, events: list[Event]) -> AsyncIterator[LocalBroker]:
    made = LocalBroker(
        BrokerDisk(tmp_path / BROKER_FILE, events.append),
        emit=events.append,
        clock=lambda: 0.0,
        later=asyncio.get_running_loop().call_soon,
        limits=LIMITS,
    )
    yield made
    made.close()


def enter(broker: LocalBroker, client: str, line: Line | None = None, expiry_s: float | None = 0) -> LocalSession:
    return broker.enter(("u", client), line or Line(), clean=False, expiry_s=expiry_s, bridge=False)[0]


def grants(broker: LocalBroker, session: LocalSession, *filters: str) -> list[Grant]:
    found: list[Grant] = []
    broker.subscribe(session, [(each, Subscription(qos=1)) for each in filters], found.extend)
    return found


async def test_filters_are_bounded_for_one_for_all_and_in_depth(broker: LocalBroker) -> None:
    one, other = enter(broker, "a"), enter(broker, "b")
    assert grants(broker, one, "a", "b", "c", "d", "1/2/3/4") == [
        *[Grant.GRANTED] * 3,
        Grant.TOO_MANY,
        Grant.TOO_DEEP,
    ]
    assert grants(broker, one, "a") == [Grant.GRANTED], "it has that one"
    assert grants(broker, other, "x", "y") == [Grant.GRANTED, Grant.TOO_MANY]
    broker.leave(one)
    assert grants(broker, other, "y") == [Grant.GRANTED]


async def test_levels_of_all_filters_are_bounded(broker: LocalBroker) -> None:
    """Thousands of filters of 32 levels each would take hundreds of megabytes."""
    one, other = enter(broker, "a"), enter(broker, "b")
    assert grants(broker, one, "1/2/3", "4/5/6") == [Grant.GRANTED] * 2
    assert grants(broker, other, "7") == [Grant.TOO_MANY]
    assert grants(broker, one, "1/2/3") == [Grant.GRANTED], "it has that one"
    broker.leave(one)
    assert grants(broker, other, "7") == [Grant.GRANTED]


async def test_long_topics_are_not_remembered(broker: LocalBroker) -> None:
    line = Line()
    grants(broker, enter(broker, "a", line), "#")
    for _ in range(2):
        broker.publish(LocalMessage(topic="x" * (LIMITS.max_known_topic_chars + 1), payload=b"x"))
    assert len(line.sent) == 2
    assert not broker._matches


async def test_all_subscriptions_that_a_topic_matches_count_where_it_is_remembered(broker: LocalBroker) -> None:
    grants(broker, enter(broker, "a"), "t", "+", "#")
    broker.publish(LocalMessage(topic="t", payload=b"x"))
    assert broker._matches_held == 4


async def test_who_has_been_away_for_longest_is_forgotten_first(broker: LocalBroker, events: list[Event]) -> None:
    for client in ("a", "b", "c"):
        broker.leave(enter(broker, client, expiry_s=None))
    assert broker.sessions == 2
    assert LocalSessionsForgotten(1) in events
    assert broker.enter(("u", "a"), Line(), clean=False, expiry_s=0, bridge=False)[1] is False


async def test_remembered_matches_are_bounded_and_follow_what_is_subscribed(broker: LocalBroker) -> None:
    line = Line()
    session = enter(broker, "a", line)
    grants(broker, session, "+")
    for number in range(10):
        broker.publish(LocalMessage(topic=f"t{number}", payload=b"x"))
        assert broker._matches_held <= LIMITS.max_known_matches
    grants(broker, session, "t9")
    broker.publish(LocalMessage(topic="t9", payload=b"x", qos=1))
    broker.unsubscribe(session, ["+"], lambda _: None)
    broker.publish(LocalMessage(topic="t1", payload=b"x"))
    assert [parcel.qos for parcel in line.sent] == [0] * 10 + [1]


async def test_a_filter_that_is_subscribed_again_and_again_is_looked_for_once(broker: LocalBroker) -> None:
    class Slow(Line):
        def send(self, _parcel: Parcel, _packet_id: int | None) -> int | None:
            return None

    broker.publish(LocalMessage(topic="a", payload=b"x", retain=True))
    session = enter(broker, "a", Slow())
    grants(broker, session, "+")
    broker.publish(LocalMessage(topic="b", payload=b"x"))
    for _ in range(5):
        grants(broker, session, "#")
    assert list(session.looks) == ["#"]
    broker.unsubscribe(session, ["#"], lambda _: None)
    assert not session.looks


async def test_what_was_done_is_counted(broker: LocalBroker, events: list[Event]) -> None:
    grants(broker, enter(broker, "a"), "#")
    grants(broker, enter(broker, "b"), "a")
    broker.publish(LocalMessage(topic="a", payload=b""))
    broker.publish(LocalMessage(topic="b", payload=b""))
    broker.report()
    broker.report()
    assert events == [LocalMessagesPublished(2), LocalMessagesDelivered(3)]


async def test_a_user_that_is_gone_leaves_nothing(broker: LocalBroker) -> None:
    session = enter(broker, "a", expiry_s=None)
    grants(broker, session, "a")
    broker.leave(session)
    broker.forget_user("other")
    assert broker.sessions == 1
    broker.forget_user("u")
    assert (broker.sessions, broker.subscriptions) == (0, 0)


async def test_a_retained_message_ends_with_its_time(tmp_path: Path) -> None:
    now = [0.0]
    broker = LocalBroker(
        BrokerDisk(tmp_path / "one", lambda _: None),
        emit=lambda _: None,
        clock=lambda: now[0],
        later=asyncio.get_running_loop().call_soon,
    )
    broker.publish(LocalMessage(topic="a", payload=b"x", retain=True, expires_at=5))
    broker.sweep()
    assert broker.retained == 1
    now[0] = 5
    broker.sweep()
    assert broker.retained == 0
    broker.close()


async def test_only_what_the_disk_keeps_is_said_to_be_saved(broker: LocalBroker) -> None:
    saved = asyncio.Event()
    assert broker.publish(LocalMessage(topic="a", payload=b"x", retain=True), None, saved.set)
    await asyncio.wait_for(saved.wait(), 10)
    assert not broker.publish(LocalMessage(topic="a", payload=b"x"), None, saved.set)
    assert not broker.publish(LocalMessage(topic="never", payload=b"", retain=True), None, saved.set)
    assert broker.publish(LocalMessage(topic="a", payload=b"", retain=True), None, saved.set)
