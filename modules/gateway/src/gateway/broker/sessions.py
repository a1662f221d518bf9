"""What the broker knows of one client: its filters, what waits for it, what it has not acknowledged yet."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.broker.limits import BrokerLimits
from gateway.broker.messages import LocalMessage, Parcel, Subscription
from gateway.observe.broker import DroppedLocal

Owner = tuple[str, str]
"""User and client id: the same id of two users are two clients, so that none can push out another's."""


class TooLargeError(Exception):
    """The client takes no message of this size, now or later."""


class Outlet(Protocol):
    """The connection of a client, as the broker sees it."""

    def send(self, parcel: Parcel, packet_id: int | None) -> int | None:
        """Send a message; with `packet_id` it is one that was sent before.

        Returns its packet identifier, 0 for quality 0; None if it cannot be sent now: the connection calls
        `LocalSession.drain` when it can. Raises TooLargeError.
        """
        ...


@dataclass(slots=True)
class Waiting:
    """Bytes that wait for all clients; one counter that their sessions share."""

    bytes: int = 0


@dataclass(slots=True, kw_only=True)
class RetainedLook:
    """Retained messages that a subscription still has to be given: those behind `after`, up to `until`."""

    filter: str
    subscription: Subscription
    after: int
    until: int


Count = Callable[[DroppedLocal], None]


class LocalSession:
    """One client, here or away. The quality of what waits is already the one that the client gets.

    `expiry_s`: how long it stays when the client is away; 0 for not at all, None for as long as there is room.
    """

    __slots__ = (
        "_again",
        "_clock",
        "_dropped",
        "_in_flight",
        "_in_flight_bytes",
        "_limits",
        "_outlet",
        "_queue",
        "_queued_bytes",
        "_waiting",
        "away_at",
        "expiry_s",
        "filters",
        "is_bridge",
        "looks",
        "owner",
    )

    def __init__(
        self, owner: Owner, *, limits: BrokerLimits, waiting: Waiting, dropped: Count, clock: Callable[[], float]
    ) -> None:
        self.owner = owner
        self.filters: dict[str, Subscription] = {}
        self.looks: dict[str, RetainedLook] = {}
        """By filter, in the order in which they are served."""
        self.expiry_s: float | None = 0
        self.is_bridge = False
        self.away_at: float | None = None
        self._limits = limits
        self._waiting = waiting
        self._dropped = dropped
        self._clock = clock
        self._outlet: Outlet | None = None
        self._queue: deque[Parcel] = deque()
        self._queued_bytes = 0
        self._in_flight: dict[int, Parcel] = {}
        self._in_flight_bytes = 0
        self._again: deque[int] = deque()
        """Packet identifiers of messages that an older connection did not see acknowledged; sent first, with DUP."""

    @property
    def is_here(self) -> bool:
        """Whether the client is connected."""
        return self._outlet is not None

    @property
    def queued(self) -> int:
        """Messages that wait, those on their way not counted."""
        return len(self._queue)

    @property
    def unsettled(self) -> tuple[LocalMessage, ...]:
        """All that the client has yet to acknowledge, in order: what must be kept if the gateway stops."""
        return tuple(parcel.message for parcel in (*self._in_flight.values(), *self._queue) if parcel.qos)

    # The client comes and goes.

    def attach(self, outlet: Outlet) -> None:
        """The client is here; what waits is sent by `drain`, once it has been told so."""
        self._outlet = outlet
        self.away_at = None
        self._again = deque(self._in_flight)

    def detach(self) -> None:
        """The client is away: what it gets by quality 0 is not kept (MQTT 3.1.1 §4.1)."""
        self._outlet = None
        self.away_at = self._clock()
        self.looks.clear()
        kept = [parcel for parcel in self._queue if parcel.qos]
        self._forget_queue()
        for parcel in kept:
            self._put(parcel)

    def end(self) -> None:
        """The session is over: what waits is dropped."""
        self._outlet = None
        self._forget_queue()
        for packet_id in tuple(self._in_flight):
            self.acknowledged(packet_id)
        self._again.clear()
        self.looks.clear()

    # Messages.

    def offer(self, parcel: Parcel) -> None:
        """Send it, or let it wait; beyond a bound the oldest that waits is dropped."""
        if self._outlet is None and not parcel.qos:
            return
        if self._queue or self._again or not self._try(parcel):
            self._put(parcel)
            self._make_room()

    def drain(self) -> bool:
        """Send what waits as far as the connection takes it. Returns whether nothing waits any more."""
        outlet = self._outlet
        if outlet is None:
            return False
        while self._again:
            packet_id = self._again[0]
            parcel = self._in_flight.get(packet_id)
            if parcel is not None and self._send_again(outlet, parcel, packet_id) is None:
                return False
            self._again.popleft()
        while self._queue:
            if not self._try(self._queue[0]):
                return False
            self._take_first()
        return True

    def acknowledged(self, packet_id: int) -> None:
        """The client has it."""
        parcel = self._in_flight.pop(packet_id, None)
        if parcel is not None:
            self._in_flight_bytes -= parcel.message.size
            self._waiting.bytes -= parcel.message.size

    def _try(self, parcel: Parcel) -> bool:
        """Whether it is done with: sent, or of no use any more."""
        if self._outlet is None:
            return False
        if parcel.message.has_expired(self._clock()):
            self._dropped(DroppedLocal.EXPIRED)
            return True
        if parcel.qos and self._in_flight and self._is_heavy(parcel.message.size):
            return False
        try:
            packet_id = self._outlet.send(parcel, None)
        except TooLargeError:
            self._dropped(DroppedLocal.TOO_LARGE)
            return True
        if packet_id:
            self._in_flight[packet_id] = parcel
            self._in_flight_bytes += parcel.message.size
            self._waiting.bytes += parcel.message.size
        return packet_id is not None

    def _is_heavy(self, size: int) -> bool:
        """Whether so much is unacknowledged that this one must wait; what is on its way stays in memory, too."""
        limits = self._limits
        is_full = self._in_flight_bytes + size > limits.max_queued_bytes
        return is_full or self._waiting.bytes + size > limits.max_all_queued_bytes

    def _send_again(self, outlet: Outlet, parcel: Parcel, packet_id: int) -> int | None:
        try:
            return outlet.send(parcel, packet_id)
        except TooLargeError:
            self._dropped(DroppedLocal.TOO_LARGE)
            self.acknowledged(packet_id)
            return packet_id

    # What waits.

    def _put(self, parcel: Parcel) -> None:
        self._queue.append(parcel)
        self._queued_bytes += parcel.message.size
        self._waiting.bytes += parcel.message.size

    def _take_first(self) -> None:
        size = self._queue.popleft().message.size
        self._queued_bytes -= size
        self._waiting.bytes -= size

    def _forget_queue(self) -> None:
        self._waiting.bytes -= self._queued_bytes
        self._queue.clear()
        self._queued_bytes = 0

    def _make_room(self) -> None:
        limits = self._limits
        while self._queue and (len(self._queue) > limits.max_queued or self._queued_bytes > limits.max_queued_bytes):
            self._take_first()
            self._dropped(DroppedLocal.QUEUE_FULL)
        while self._queue and self._waiting.bytes > limits.max_all_queued_bytes:
            self._take_first()
            self._dropped(DroppedLocal.MEMORY_FULL)

    # After a restart.

    def restore(self, message: LocalMessage) -> None:
        """A message that waited when the gateway stopped."""
        self._put(Parcel(message, 1))
        self._make_room()
