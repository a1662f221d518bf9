from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edgewire.message import Identity, identity
from gateway.dispatch.delivery import EXPIRY_SKEW_S, Delivery, Parcel, Settlement
from gateway.observe.dispatch import CloudMessageExpired, CloudMessagesSettled, DeliveryOutcome
from gateway.observe.events import Event
from support.way_back import QueueSource, RecordedRecipient, RecordedSource, cloud_message

DEVICE = identity("d1")
OTHER = identity("d2")
NOW = 1_000_000.0


class Site:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.delivery = Delivery(self.events.append, lambda: NOW)
        self.source = RecordedSource()
        self.delivery.use(self.source)
        self.recipient = RecordedRecipient()
        self.settled: list[Settlement] = []

    def listen(self, window: int = 5) -> None:
        self.delivery.subscribe(DEVICE, self.recipient, window)
        self.source.told.clear()

    def offer(self, expires_at: float | None = None) -> bool:
        return self.delivery.offer(DEVICE, cloud_message(expires_at=expires_at), self.settled.append)


@pytest.mark.parametrize("settlement", Settlement)
def test_a_message_goes_to_who_listens_and_its_settlement_back_once(settlement: Settlement) -> None:
    site = Site()
    site.listen()
    assert site.offer()
    (parcel,) = site.recipient.parcels
    assert parcel.message == cloud_message()
    assert parcel.settle(settlement)
    assert not parcel.settle(Settlement.COMPLETED)
    assert not parcel.open
    assert site.settled == [settlement]


def test_a_message_for_nobody_is_not_taken() -> None:
    site = Site()
    assert not site.offer()
    assert site.settled == []


def test_the_source_hears_who_listens_and_how_much_it_takes() -> None:
    site = Site()
    site.delivery.subscribe(DEVICE, site.recipient, 5)
    site.delivery.subscribe(DEVICE, site.recipient, 5)
    site.delivery.subscribe(DEVICE, site.recipient, 2)
    site.delivery.unsubscribe(DEVICE, site.recipient)
    assert site.source.told == [("open", DEVICE, 5), ("grant", DEVICE, 2), ("close", DEVICE, 0)]


def test_a_source_that_comes_later_hears_who_listens_already() -> None:
    site = Site()
    site.delivery.use(None)
    site.listen(7)
    assert site.delivery.listeners() == {DEVICE: 7}
    later = RecordedSource()
    site.delivery.use(later)
    assert later.told == [("open", DEVICE, 7)]


def test_no_more_is_taken_than_the_window_holds() -> None:
    site = Site()
    site.listen(2)
    assert [site.offer(), site.offer(), site.offer()] == [True, True, False]
    site.recipient.parcels[0].settle(Settlement.COMPLETED)
    assert site.offer()


def test_who_stops_listening_gives_back_what_it_has_not_settled() -> None:
    site = Site()
    site.listen()
    site.offer()
    site.delivery.unsubscribe(DEVICE, site.recipient)
    assert site.settled == [Settlement.ABANDONED]
    assert not site.recipient.parcels[0].settle(Settlement.COMPLETED)
    assert not site.offer()


def test_who_subscribes_again_keeps_what_it_has_and_has_another_window() -> None:
    site = Site()
    site.listen(1)
    site.offer()
    site.delivery.subscribe(DEVICE, site.recipient, 2)
    assert (site.offer(), site.offer()) == (True, False)
    assert site.recipient.parcels[0].settle(Settlement.COMPLETED)


def test_the_newest_recipient_wins_and_the_older_one_cannot_unsubscribe_it() -> None:
    site, newer = Site(), RecordedRecipient()
    site.listen()
    site.offer()
    site.delivery.subscribe(DEVICE, newer, 5)
    assert site.settled == [Settlement.ABANDONED]
    site.delivery.unsubscribe(DEVICE, site.recipient)
    assert site.offer()
    assert (len(site.recipient.parcels), len(newer.parcels)) == (1, 1)
    assert site.source.told == []


@pytest.mark.parametrize("lose", [lambda delivery: delivery.lost(DEVICE), Delivery.lost_all], ids=["one", "all"])
def test_what_came_by_a_lost_link_is_void_and_who_listens_stays(lose: Callable[[Delivery], None]) -> None:
    site = Site()
    site.listen(1)
    site.offer()
    lose(site.delivery)
    assert not site.recipient.parcels[0].settle(Settlement.COMPLETED)
    assert site.settled == []
    assert site.offer()
    assert site.delivery.listeners() == {DEVICE: 1}


def test_a_lost_link_of_one_leaves_what_others_have() -> None:
    site = Site()
    site.listen()
    site.offer()
    site.delivery.lost(OTHER)
    assert site.recipient.parcels[0].settle(Settlement.COMPLETED)


@pytest.mark.parametrize("late_s", [-1.0, EXPIRY_SKEW_S - 1])
def test_a_message_is_delivered_until_no_clock_in_doubt_would(late_s: float) -> None:
    site = Site()
    site.listen()
    assert site.offer(expires_at=NOW - late_s)
    assert len(site.recipient.parcels) == 1


def test_a_message_whose_time_is_over_is_rejected_and_said() -> None:
    site = Site()
    site.listen()
    assert site.offer(expires_at=NOW - EXPIRY_SKEW_S)
    assert site.recipient.parcels == []
    assert site.settled == [Settlement.REJECTED]
    assert site.events == [CloudMessageExpired("d1", "")]


def test_outcomes_are_counted_and_reported_once() -> None:
    site = Site()
    site.listen()
    for settlement in (Settlement.COMPLETED, Settlement.COMPLETED, Settlement.REJECTED):
        site.offer()
        site.recipient.parcels[-1].settle(settlement)
    site.offer()
    site.delivery.lost_all()
    site.delivery.report()
    site.delivery.report()
    assert site.events == [
        CloudMessagesSettled(DeliveryOutcome.COMPLETED, 2),
        CloudMessagesSettled(DeliveryOutcome.REJECTED, 1),
        CloudMessagesSettled(DeliveryOutcome.VOID, 1),
    ]


def test_what_a_source_offers_again_at_once_goes_to_the_successor() -> None:
    delivery = Delivery(lambda _: None, lambda: NOW)
    source = QueueSource(delivery)
    delivery.use(source)
    old, new = RecordedRecipient(), RecordedRecipient()
    delivery.subscribe(DEVICE, old, 5)
    source.send(DEVICE, cloud_message())
    delivery.subscribe(DEVICE, new, 5)
    assert len(new.parcels) == 1
    delivery.unsubscribe(DEVICE, new)
    assert source.waiting(DEVICE) == [cloud_message()]


class Model(RuleBasedStateMachine):
    """Any order of coming, going, losing and settling: each message ends once, as the device said or in the queue."""

    def __init__(self) -> None:
        super().__init__()
        self.delivery = Delivery(lambda _: None, lambda: NOW)
        self.delivery.use(RecordedSource())
        self.recipients = [RecordedRecipient(), RecordedRecipient()]
        self.offered = 0
        self.taken: dict[int, list[Settlement]] = {}
        """Number of each message that was taken, with what its source heard."""
        self.said: dict[int, Settlement] = {}
        """What a recipient said first, in time."""
        self.void: set[int] = set()
        self.owners: dict[int, Identity] = {}

    @rule(who=st.sampled_from([DEVICE, OTHER]), which=st.integers(0, 1), window=st.integers(1, 3))
    def subscribe(self, who: Identity, which: int, window: int) -> None:
        self.delivery.subscribe(who, self.recipients[which], window)

    @rule(who=st.sampled_from([DEVICE, OTHER]), which=st.integers(0, 1))
    def unsubscribe(self, who: Identity, which: int) -> None:
        self.delivery.unsubscribe(who, self.recipients[which])

    @rule(who=st.sampled_from([DEVICE, OTHER]))
    def offer(self, who: Identity) -> None:
        self.offered += 1
        number = self.offered
        heard: list[Settlement] = []
        before = self.open_of(who)
        if self.delivery.offer(who, cloud_message(str(number).encode()), heard.append):
            self.taken[number] = heard
            self.owners[number] = who
            assert len(before) < self.delivery.listeners()[who]

    @rule(at=st.integers(0, 50), how=st.sampled_from(Settlement))
    def settle(self, at: int, how: Settlement) -> None:
        if parcels := self.parcels():
            parcel = parcels[at % len(parcels)]
            if parcel.settle(how):
                self.said[int(parcel.message.body)] = how

    @rule(who=st.sampled_from([DEVICE, OTHER]))
    def lose(self, who: Identity) -> None:
        self.void |= self.open_of(who)
        self.delivery.lost(who)

    @rule()
    def lose_all(self) -> None:
        self.void |= self.open_numbers()
        self.delivery.lost_all()

    @rule()
    def use_another_source(self) -> None:
        self.void |= self.open_numbers()
        self.delivery.use(RecordedSource())

    def parcels(self) -> list[Parcel]:
        return [parcel for recipient in self.recipients for parcel in recipient.parcels]

    def open_of(self, who: Identity) -> set[int]:
        return {number for number in self.open_numbers() if self.owners[number] == who}

    def open_numbers(self) -> set[int]:
        return {int(parcel.message.body) for parcel in self.parcels() if parcel.open}

    @invariant()
    def every_message_taken_is_open_or_void_or_settled_once(self) -> None:
        still_open = self.open_numbers()
        for number, heard in self.taken.items():
            expected = 0 if number in still_open or number in self.void else 1
            assert len(heard) == expected, f"message {number}"

    @invariant()
    def what_no_recipient_said_is_abandoned(self) -> None:
        for number, heard in self.taken.items():
            assert not heard or heard == [self.said.get(number, Settlement.ABANDONED)]

    @invariant()
    def each_recipient_got_the_messages_of_a_device_in_their_order(self) -> None:
        for recipient in self.recipients:
            for who in (DEVICE, OTHER):
                numbers = [int(parcel.message.body) for parcel in recipient.parcels]
                of_one = [number for number in numbers if self.owners.get(number) == who]
                assert of_one == sorted(of_one)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
