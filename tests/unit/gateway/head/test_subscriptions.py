import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.iothub.topics import Subscription
from edgewire.message import identity
from edgewire.session.mqtt.events import ConnectReceived, SubscribeFilter
from gateway.head.sessions import SessionStore
from gateway.head.subscriptions import NO_SUBSCRIPTION_EXISTED, NOT_AUTHORIZED, SUCCESS, Subscriptions
from gateway.observe.events import Event
from gateway.observe.head import RefusedFilter, SubscriptionRefused

DEVICE = identity("d1")
C2D = "devices/d1/messages/devicebound/#"
PATIENCE_S = 45.0
"""With a disk that others use, too."""


def no_event(event: Event) -> None:
    raise AssertionError(event)


@pytest.fixture
async def sessions(tmp_path: Path) -> AsyncIterator[SessionStore]:
    store = SessionStore(tmp_path / "sessions.db", no_event)
    yield store
    store.close()


def connect(*, level: int = 4, clean_start: bool = False, expiry_s: int | None = None) -> ConnectReceived:
    return ConnectReceived(
        client_id="d1",
        username="",
        password=None,
        level=level,
        bridge=False,
        clean_start=clean_start,
        keep_alive_s=60,
        will=None,
        session_expiry_s=expiry_s,
    )


async def subscribed(subscriptions: Subscriptions, *filters: str) -> list[int]:
    answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
    subscriptions.subscribe([SubscribeFilter(filter=each, qos=2) for each in filters], 0, answer.set_result)
    return await asyncio.wait_for(answer, PATIENCE_S)


async def test_a_filter_of_ones_own_is_granted_with_qos_1_at_most_and_others_are_not(sessions: SessionStore) -> None:
    events: list[Event] = []
    subscriptions = Subscriptions(DEVICE, sessions, connect(), 0, emit=events.append)
    assert await subscribed(subscriptions, C2D, "#", "devices/d2/messages/devicebound/#") == [
        1,
        NOT_AUTHORIZED,
        NOT_AUTHORIZED,
    ]
    assert sessions.find(DEVICE, 0) == {C2D: 1}
    assert events == [
        SubscriptionRefused("d1", RefusedFilter.UNKNOWN_FILTER, "#"),
        SubscriptionRefused("d1", RefusedFilter.FOREIGN_DEVICE, "devices/d2/messages/devicebound/#"),
    ]


async def test_unsubscribing_what_was_never_there_is_no_error(sessions: SessionStore) -> None:
    subscriptions = Subscriptions(DEVICE, sessions, connect(), 0, emit=no_event)
    await subscribed(subscriptions, C2D)
    answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
    subscriptions.unsubscribe([C2D, "never"], 0, answer.set_result)
    assert await asyncio.wait_for(answer, PATIENCE_S) == [SUCCESS, NO_SUBSCRIPTION_EXISTED]
    assert sessions.find(DEVICE, 0) == {}


@pytest.mark.parametrize(
    ("first", "present"),
    [
        (connect(level=4, clean_start=False), True),
        (connect(level=4, clean_start=True), False),
        (connect(level=5, expiry_s=100), True),
        (connect(level=5, expiry_s=0), False),
        (connect(level=5, expiry_s=None), False),
    ],
)
async def test_whether_a_session_outlives_its_connection(
    *, sessions: SessionStore, first: ConnectReceived, present: bool
) -> None:
    Subscriptions(DEVICE, sessions, first, now=0, emit=no_event).leave(now=50)
    assert Subscriptions(DEVICE, sessions, connect(level=5, expiry_s=1), now=100, emit=no_event).present is present


async def test_a_goodbye_can_end_the_session(sessions: SessionStore) -> None:
    subscriptions = Subscriptions(DEVICE, sessions, connect(level=5, expiry_s=100), now=0, emit=no_event)
    subscriptions.change_expiry(0)
    subscriptions.leave(now=1)
    assert sessions.find(DEVICE, 1) is None


async def test_a_clean_start_drops_what_was_there(sessions: SessionStore) -> None:
    await subscribed(Subscriptions(DEVICE, sessions, connect(), 0, emit=no_event), C2D)
    assert not Subscriptions(DEVICE, sessions, connect(clean_start=True), 0, emit=no_event).present
    assert sessions.find(DEVICE, 0) is None


async def test_what_is_subscribed_is_known_by_its_kind_over_connections(sessions: SessionStore) -> None:
    first = Subscriptions(DEVICE, sessions, connect(), 0, emit=lambda _: None)
    assert first.kinds == {}
    await subscribed(first, C2D, "$iothub/methods/POST/#", "#", "devices/d2/messages/devicebound/#")
    kinds = {Subscription.DEVICEBOUND: 1, Subscription.METHODS: 1}
    assert first.kinds == kinds
    second = Subscriptions(DEVICE, sessions, connect(), 0, no_event)
    assert second.kinds == kinds
    gone: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
    second.unsubscribe([C2D], 0, gone.set_result)
    assert second.kinds == {Subscription.METHODS: 1}
    await asyncio.wait_for(gone, PATIENCE_S)
