"""Cloud to device: who listens for messages, what is on its way to whom, and what became of it.

Nothing is stored here: a message stays in the hub's queue until its device has settled it. Whatever goes wrong on the
way gives it back there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from edgewire.message import Identity, Properties, SystemProperties
from gateway.observe.dispatch import CloudMessageExpired, CloudMessagesSettled, DeliveryOutcome
from gateway.observe.events import Event

MAX_WINDOW: Final = 10
"""Messages of one device that it may leave unsettled, whatever it takes. Each may have 64 KiB; the hub keeps the rest,
of which it holds 50 at most."""

EXPIRY_SKEW_S: Final = 300.0
"""A message counts as expired so long after its time: the hub has looked at its own clock just now, and ours may be
fast. As for tokens, edgeHub's allowance for clocks that differ."""


class Bagged(Protocol):
    """Application and system properties, as `edgewire.iothub.bag.Bag` has them."""

    @property
    def properties(self) -> Properties:
        """Application properties by their names."""
        ...

    @property
    def system(self) -> SystemProperties:
        """System properties by the names that routes use."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudMessage:
    """A message to a device or module, with what the hub notes on it; None for what it does not say.

    `lock_token` is the hub's own for this delivery, a uuid as text. `expires_at` is in seconds since 1970.
    """

    bag: Bagged
    body: bytes
    lock_token: str | None = None
    sequence_number: int | None = None
    enqueued_at_ms: int | None = None
    delivery_count: int | None = None
    expires_at: float | None = None


class Settlement(Enum):
    """What the device made of a message."""

    COMPLETED = "completed"
    """It has it."""
    REJECTED = "rejected"
    """It will never take it."""
    ABANDONED = "abandoned"
    """Not now: the hub keeps it, and sends it again."""


OUTCOMES: Final[Mapping[Settlement, DeliveryOutcome]] = {
    Settlement.COMPLETED: DeliveryOutcome.COMPLETED,
    Settlement.REJECTED: DeliveryOutcome.REJECTED,
    Settlement.ABANDONED: DeliveryOutcome.ABANDONED,
}

Settled = Callable[[Settlement], None]
"""Hears once what became of a message."""


class Parcel:
    """One message on its way to a device: whoever got it settles it."""

    __slots__ = ("_place", "_settled", "message")

    def __init__(self, message: CloudMessage, place: "_Place", settled: Settled) -> None:
        self.message = message
        self._place: _Place | None = place
        self._settled = settled

    @property
    def open(self) -> bool:
        """Whether it can still be settled."""
        return self._place is not None

    def settle(self, settlement: Settlement) -> bool:
        """Tell the hub. Only the first call counts; False: it is too late, the hub has the message back already."""
        place, self._place = self._place, None
        if place is None:
            return False
        place.let_go(self, OUTCOMES[settlement])
        self._settled(settlement)
        return True

    def void(self) -> None:
        """The way it came by is gone, and the message is the hub's again; nobody is told."""
        place, self._place = self._place, None
        if place is not None:
            place.let_go(self, DeliveryOutcome.VOID)


class Recipient(Protocol):
    """A head's side of one that listens."""

    def deliver(self, parcel: Parcel) -> None:
        """Bring it to the device, and settle it by what the device says of it."""


class Source(Protocol):
    """The upstream's side: brings messages by `Delivery.offer`."""

    def open(self, who: Identity, credit: int) -> None:
        """Somebody listens: fetch what waits for `who`. At most `credit` of it may be unsettled at a time."""

    def grant(self, who: Identity, credit: int) -> None:
        """From now on `credit` of them, in all, those that are unsettled now included."""

    def close(self, who: Identity) -> None:
        """Nobody listens any more; what was unsettled has been abandoned."""


class Delivery:
    """From the cloud to whoever listens, one recipient per identity. `clock` gives seconds since 1970."""

    def __init__(self, emit: Callable[[Event], None], clock: Callable[[], float]) -> None:
        self._emit = emit
        self._clock = clock
        self._source: Source | None = None
        self._places: dict[Identity, _Place] = {}
        self._counts: dict[DeliveryOutcome, int] = {}

    # What the upstream calls.

    def use(self, source: Source | None) -> None:
        """Fetch messages by `source` from now on, None for no way to the cloud; what came by another is void."""
        self.lost_all()
        self._source = source
        if source is not None:
            for who, place in tuple(self._places.items()):
                source.open(who, place.window)

    def listeners(self) -> Mapping[Identity, int]:
        """Who listens, and how many of its messages may be unsettled at a time."""
        return {who: place.window for who, place in self._places.items()}

    def offer(self, who: Identity, message: CloudMessage, settled: Settled) -> bool:
        """Bring a message to `who`; `settled` is called once, unless the source is lost before.

        Returns False if nobody takes it, since nobody listens or too many are unsettled: `settled` is not called then.
        """
        place = self._places.get(who)
        if place is None or len(place.parcels) >= place.window:
            return False
        if message.expires_at is not None and self._clock() >= message.expires_at + EXPIRY_SKEW_S:
            self._emit(CloudMessageExpired(str(who), message.bag.system.get("messageId", "")))
            self._count(DeliveryOutcome.EXPIRED)
            settled(Settlement.REJECTED)
            return True
        parcel = Parcel(message, place, settled)
        place.parcels[parcel] = None
        place.recipient.deliver(parcel)
        return True

    def lost(self, who: Identity) -> None:
        """The link that brought the messages of `who` is gone: those that are unsettled are the hub's again."""
        place = self._places.get(who)
        if place is not None:
            for parcel in tuple(place.parcels):
                parcel.void()

    def lost_all(self) -> None:
        """The same for everybody."""
        for who in tuple(self._places):
            self.lost(who)

    # What the heads call.

    def recipient(self, who: Identity) -> Recipient | None:
        """Who takes what comes for `who` now."""
        place = self._places.get(who)
        return None if place is None else place.recipient

    def subscribe(self, who: Identity, recipient: Recipient, window: int) -> None:
        """From now on `recipient` takes what comes for `who`, `window` at a time.

        A recipient that was there before is not asked any more, and what it has not settled goes back to the hub. One
        that subscribes again has another window from then on.
        """
        before = self._places.get(who)
        if before is None:
            self._places[who] = _Place(recipient, window, self._count)
            if self._source is not None:
                self._source.open(who, window)
            return
        if before.recipient is recipient:
            self._change_window(who, before, window)
            return
        place = self._places[who] = _Place(recipient, before.window, self._count)
        # First the window: what is abandoned may be offered again before `abandon_all` returns.
        self._change_window(who, place, window)
        before.abandon_all()

    def unsubscribe(self, who: Identity, recipient: Recipient) -> None:
        """`recipient` takes no more, and what it has not settled goes back to the hub; a successor stays."""
        place = self._places.get(who)
        if place is None or place.recipient is not recipient:
            return
        del self._places[who]
        place.abandon_all()
        if self._source is not None and who not in self._places:
            self._source.close(who)

    # What the app calls.

    def report(self) -> None:
        """Emit what was counted since the last call."""
        counts, self._counts = self._counts, {}
        for outcome, count in counts.items():
            self._emit(CloudMessagesSettled(outcome, count))

    def _change_window(self, who: Identity, place: "_Place", window: int) -> None:
        if place.window != window:
            place.window = window
            if self._source is not None:
                self._source.grant(who, window)

    def _count(self, outcome: DeliveryOutcome) -> None:
        self._counts[outcome] = self._counts.get(outcome, 0) + 1


class _Place:
    """One recipient, and what is on its way to it, in the order it came."""

    __slots__ = ("_count", "parcels", "recipient", "window")

    def __init__(self, recipient: Recipient, window: int, count: Callable[[DeliveryOutcome], None]) -> None:
        self.recipient = recipient
        self.window = window
        self.parcels: dict[Parcel, None] = {}
        self._count = count

    def let_go(self, parcel: Parcel, outcome: DeliveryOutcome) -> None:
        self.parcels.pop(parcel, None)
        self._count(outcome)

    def abandon_all(self) -> None:
        for parcel in tuple(self.parcels):
            parcel.settle(Settlement.ABANDONED)
