from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from edgewire.message import Identity, identity
from gateway.dispatch.delivery import Delivery, Parcel, Settlement
from gateway.head import http_mailbox
from gateway.head.http_mailbox import Mailboxes, Poll, PollRefusedError
from gateway.observe.events import Event
from support.http_site import until
from support.way_back import QueueSource, RecordedRecipient, cloud_message

D1 = identity("d1")


@dataclass
class Polled:
    """What polls were told."""

    answers: list[tuple[bytes | None, str]] = field(default_factory=list)

    def __call__(self, parcel: Parcel | None, lock_token: str) -> None:
        self.answers.append((None if parcel is None else parcel.message.body, lock_token))


class House:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.delivery = Delivery(self.events.append, lambda: 0.0)
        self.source = QueueSource(self.delivery)
        self.delivery.use(self.source)
        self.mailboxes = Mailboxes(self.delivery)
        self.polled = Polled()

    def poll(self, who: Identity = D1) -> Poll:
        poll = Poll(self.polled)
        self.mailboxes.poll(who, poll)
        return poll

    def listens(self, who: Identity = D1) -> bool:
        return self.delivery.recipient(who) is not None


@pytest.fixture
async def house() -> AsyncIterator[House]:
    ours = House()
    yield ours
    ours.mailboxes.close()
    assert not len(ours.mailboxes)
    assert not ours.listens()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that a test can wait for; their order is what they have."""
    monkeypatch.setattr(http_mailbox, "PATIENCE_S", 0.02)
    monkeypatch.setattr(http_mailbox, "LINGER_S", 0.06)
    monkeypatch.setattr(http_mailbox, "HOLD_S", 0.12)


async def test_a_message_that_waits_in_the_cloud_answers_the_first_poll(house: House) -> None:
    house.source.send(D1, cloud_message(b"on", lock_token="t-1"))
    house.poll()
    assert house.polled.answers == [(b"on", "t-1")]
    assert house.mailboxes.settle(D1, "t-1", Settlement.COMPLETED)
    assert [how for _, how in house.source.settled] == [Settlement.COMPLETED]


async def test_a_message_without_a_token_gets_one(house: House) -> None:
    house.source.send(D1, cloud_message())
    house.poll()
    [(_, token)] = house.polled.answers
    assert len(token) == 36


async def test_the_first_poll_waits_for_what_is_on_its_way(house: House) -> None:
    house.poll()
    assert house.polled.answers == []
    house.source.send(D1, cloud_message(b"on", lock_token="t-1"))
    assert house.polled.answers == [(b"on", "t-1")]


async def test_a_poll_is_answered_in_bounded_time_and_the_next_ones_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_mailbox, "PATIENCE_S", 0.02)
    house.poll()
    await until(lambda: house.polled.answers == [(None, "")])
    house.poll()
    assert house.polled.answers == [(None, "")] * 2
    assert house.listens()


async def test_what_comes_between_two_polls_waits_for_the_second(house: House) -> None:
    house.poll().cancel()
    house.source.send(D1, cloud_message(b"on", lock_token="t-1"))
    assert house.polled.answers == []
    house.poll()
    assert house.polled.answers == [(b"on", "t-1")]


async def test_one_message_at_a_time_and_the_next_one_after_it_is_settled(house: House) -> None:
    for number in range(2):
        house.source.send(D1, cloud_message(b"%d" % number, lock_token=f"t-{number}"))
    house.poll()
    house.poll()
    assert house.polled.answers == [(b"0", "t-0"), (None, "")]
    assert not house.mailboxes.settle(D1, "t-1", Settlement.COMPLETED)
    assert house.mailboxes.settle(D1, "t-0", Settlement.REJECTED)
    assert not house.mailboxes.settle(D1, "t-0", Settlement.COMPLETED)
    house.poll()
    assert house.polled.answers[-1] == (b"1", "t-1")
    assert house.mailboxes.settle(D1, "t-1", Settlement.ABANDONED)
    house.poll()
    assert house.polled.answers[-1] == (b"1", "t-1")


async def test_a_poll_after_a_settlement_waits_again(house: House) -> None:
    house.source.send(D1, cloud_message(b"0", lock_token="t-0"))
    house.poll()
    house.mailboxes.settle(D1, "t-0", Settlement.COMPLETED)
    house.poll()
    assert len(house.polled.answers) == 1
    house.source.send(D1, cloud_message(b"1", lock_token="t-1"))
    assert house.polled.answers[-1] == (b"1", "t-1")


@pytest.mark.usefixtures("short")
async def test_what_is_never_settled_goes_back_when_its_lock_is_over(house: House) -> None:
    house.source.send(D1, cloud_message(lock_token="t-1"))
    house.poll()
    await until(lambda: not house.listens())
    assert [how for _, how in house.source.settled][:1] == [Settlement.ABANDONED]
    assert not house.mailboxes.settle(D1, "t-1", Settlement.COMPLETED)
    assert not len(house.mailboxes)


@pytest.mark.usefixtures("short")
async def test_a_mailbox_that_nobody_asks_any_more_closes_and_gives_back_what_it_holds(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_mailbox, "PATIENCE_S", 0.0)  # all up to the last wait is one turn of the loop
    house.poll()
    assert house.polled.answers == [(None, "")]
    house.source.send(D1, cloud_message(b"late"))
    assert house.source.waiting(D1) == []
    await until(lambda: not house.listens())
    assert len(house.source.waiting(D1)) == 1
    assert not len(house.mailboxes)


async def test_who_listens_by_a_connection_is_not_pushed_aside(house: House) -> None:
    house.delivery.subscribe(D1, RecordedRecipient(), 10)
    with pytest.raises(PollRefusedError) as refused:
        house.poll()
    assert refused.value.is_conflict
    house.delivery.unsubscribe(D1, house.delivery.recipient(D1))  # type: ignore[arg-type] # it is there


async def test_a_connection_takes_over_from_polls_and_what_they_had_goes_back(house: House) -> None:
    house.source.send(D1, cloud_message(b"on", lock_token="t-1"))
    house.poll()
    connection = RecordedRecipient()
    house.delivery.subscribe(D1, connection, 10)
    assert [parcel.message.body for parcel in connection.parcels] == [b"on"]
    assert not house.mailboxes.settle(D1, "t-1", Settlement.COMPLETED)
    with pytest.raises(PollRefusedError):
        house.poll()
    house.delivery.unsubscribe(D1, connection)
    house.poll()
    assert house.polled.answers[-1] == (b"on", "t-1")


async def test_a_link_that_is_lost_makes_the_lock_void(house: House) -> None:
    house.source.send(D1, cloud_message(b"on", lock_token="t-1"))
    house.poll()
    house.delivery.lost(D1)
    assert not house.mailboxes.settle(D1, "t-1", Settlement.COMPLETED)
    house.poll()
    assert len(house.polled.answers) == 1  # it waits for what comes by the next link


async def test_so_many_polls_wait_at_once_and_no_more(house: House) -> None:
    polls = [house.poll() for _ in range(http_mailbox.MAX_POLLS)]
    assert house.polled.answers == []
    house.poll()
    assert house.polled.answers == [(None, "")]
    polls[0].cancel()
    house.poll()
    assert len(house.polled.answers) == 1


async def test_so_many_devices_poll_at_once_and_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_mailbox, "MAX_MAILBOXES", 1)
    house.poll()
    with pytest.raises(PollRefusedError) as refused:
        house.poll(identity("d2"))
    assert not refused.value.is_conflict


async def test_a_gateway_that_stops_gives_everything_back(house: House) -> None:
    house.source.send(D1, cloud_message(b"on", lock_token="t-1"))
    house.poll()
    house.poll(identity("d2"))
    house.mailboxes.close()
    assert len(house.source.waiting(D1)) == 1
    assert house.polled.answers == [(b"on", "t-1"), (None, "")]
