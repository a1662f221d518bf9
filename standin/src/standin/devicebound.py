"""Messages from the cloud: checked, queued for each device, and what becomes of them (iothub_wire.md §4.3)."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import orjson

from edgewire.iothub.amqp.addresses import Purpose, format_address
from edgewire.iothub.amqp.values import parse_time
from edgewire.iothub.bag import Bag
from edgewire.iothub.limits import MAX_C2D_MESSAGE_BYTES, MAX_PROPERTIES
from edgewire.message import Identity, Properties, SystemProperties, identity
from standin.errors import HubError
from standin.feedback import BATCH_S, Feedback, FeedbackRecord
from standin.locked import End, LockedQueue, LockedStore, LockLimits, Settlement, Waiting

MAX_LIFE_S: Final = 172_800.0
"""48 hours."""
MAX_DELIVERIES: Final = 100
ACK: Final = "iothub-ack"
"""The property by which the sender asks for feedback; the device gets it with the message."""
_EXPIRY: Final = "absolute-expiry-time"
_QUEUE: Final = "to/"


class Ack(Enum):
    """What the sender wants to hear about."""

    NONE = "none"
    POSITIVE = "positive"
    NEGATIVE = "negative"
    FULL = "full"

    def wants(self, end: End) -> bool:
        """Whether it wants to hear of this end."""
        return self is Ack.FULL or self is (Ack.POSITIVE if end is End.SUCCESS else Ack.NEGATIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class C2dSettings:
    """What an operator may set of the cloud-to-device messages of a hub."""

    max_deliveries: int = 10
    life_s: float = 3_600.0
    """Of a message that names no end itself."""
    lock_s: float = 60.0
    feedback_s: float = BATCH_S
    """How long the first record of a batch of feedback waits for more."""


DEFAULTS: Final = C2dSettings()


@dataclass(frozen=True, slots=True)
class C2dMessage:
    """A message as the service side sends it: `bag.properties` may hold `iothub-ack`, `bag.system` the expiry."""

    bag: Bag
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A message that a device has taken; whoever settles it names `lock_token`. Times in seconds since 1970."""

    lock_token: uuid.UUID
    sequence_number: int
    enqueued_at: float
    expires_at: float
    delivery_count: int
    """How often it was delivered before, in vain."""
    properties: Properties
    system: SystemProperties
    body: bytes


class Devicebound:
    """The queues of all devices. `ready` is called with a device whose queue may have something to take again."""

    def __init__(
        self,
        path: Path,
        settings: C2dSettings,
        *,
        clock: Callable[[], float],
        generation: Callable[[Identity], str],
        ready: Callable[[Identity], None],
    ) -> None:
        if not 1 <= settings.max_deliveries <= MAX_DELIVERIES or not 0 < settings.life_s <= MAX_LIFE_S:
            raise ValueError(f"deliveries 1 to {MAX_DELIVERIES}, a life of at most {MAX_LIFE_S:g} s")
        self._settings = settings
        self._clock = clock
        self._generation = generation
        self._ready = ready
        self._store = LockedStore(path, clock)
        self.feedback = Feedback(self._store, batch_s=settings.feedback_s)
        self._queues: dict[Identity, LockedQueue] = {}
        for name in self._store.names():
            if name.startswith(_QUEUE):
                self._queue(identity(name.removeprefix(_QUEUE)))

    def send(self, who: Identity, message: C2dMessage) -> int:
        """Queue a message. Returns its sequence number; raises HubError for what the hub does not take."""
        if who.module is not None:
            raise HubError(400004, f"{who} is a module; messages from the cloud go to devices")
        system = {**message.bag.system, "to": format_address(who, Purpose.DEVICEBOUND)}
        head = {"properties": dict(message.bag.properties), "system": system, "ack": _ack_of(message.bag).value}
        _check_size(message)
        expires_at = self._expiry_of(message.bag.system)
        return self._queue(who).put(orjson.dumps(head), message.body, expires_at).sequence

    def lock(self, who: Identity, holder: object = None) -> Locked | None:
        """Take the oldest message that nobody has taken; None if there is none."""
        queue = self._queues.get(who)
        message = None if queue is None else queue.lock(holder)
        return None if message is None else _locked(message)

    def settle(self, who: Identity, lock_token: uuid.UUID, settlement: Settlement) -> None:
        """Say what became of a message. Raises HubError if its lock is lost."""
        queue = self._queues.get(who)
        if queue is None:
            raise HubError(412002, f"no message of {who} is locked")
        queue.settle(lock_token, settlement)

    def put_back(self, who: Identity, lock_token: uuid.UUID) -> None:
        """It could not be sent now, and was not delivered in vain."""
        queue = self._queues.get(who)
        if queue is not None:
            queue.put_back(lock_token)

    def release(self, who: Identity, holder: object) -> None:
        """Who had taken messages is gone: their locks are lost."""
        queue = self._queues.get(who)
        if queue is not None:
            queue.release(holder)

    def purge(self, who: Identity) -> int:
        """Remove what waits. Returns how many there were."""
        queue = self._queues.get(who)
        return 0 if queue is None else queue.purge()

    def drop(self, who: Identity) -> None:
        """The device is no more, and nobody hears of what waited for it."""
        queue = self._queues.pop(who, None)
        if queue is not None:
            queue.close()
            self._store.drop(_QUEUE + str(who))

    def waiting(self, who: Identity) -> int:
        """How many messages are not settled."""
        queue = self._queues.get(who)
        return 0 if queue is None else len(queue)

    def close(self) -> None:
        """No more timers; close the file. Whoever leaves after this has no locks to lose."""
        queues, self._queues = self._queues, {}
        for queue in queues.values():
            queue.close()
        self.feedback.close()
        self._store.close()

    def _queue(self, who: Identity) -> LockedQueue:
        queue = self._queues.get(who)
        if queue is None:
            limits = LockLimits(lock_s=self._settings.lock_s, max_deliveries=self._settings.max_deliveries)
            queue = self._queues[who] = LockedQueue(
                _QUEUE + str(who),
                self._store,
                limits,
                left=lambda message, end: self._left(who, message, end),
                back=lambda: self._ready(who),
            )
        return queue

    def _expiry_of(self, system: SystemProperties) -> float:
        now = self._clock()
        text = system.get(_EXPIRY)
        if not text:
            return now + self._settings.life_s
        time_ms = parse_time(text)
        if time_ms is None:
            raise HubError(400004, f"the expiry {text[:40]!r} is no time")
        if time_ms / 1000 > now + MAX_LIFE_S:
            raise HubError(400004, f"the message would expire at {text}, more than 48 hours from now")
        return time_ms / 1000

    def _left(self, who: Identity, message: Waiting, end: End) -> None:
        head = orjson.loads(message.head)
        if Ack(head["ack"]).wants(end):
            record = FeedbackRecord(
                message_id=head["system"].get("messageId", ""),
                ended_at=self._clock(),
                end=end,
                device=who.device,
                generation=self._generation(who),
            )
            self.feedback.add(record)


def _ack_of(bag: Bag) -> Ack:
    text = bag.properties.get(ACK) or Ack.NONE.value
    try:
        return Ack(text.lower())
    except ValueError:
        known = ", ".join(each.value for each in Ack)
        raise HubError(400004, f"{ACK} is {text[:40]!r}; it is one of {known}") from None


def _check_size(message: C2dMessage) -> None:
    texts: list[Mapping[str, str | None]] = [message.bag.properties, message.bag.system]
    if sum(map(len, texts)) > MAX_PROPERTIES:
        raise HubError(400004, f"the message has more than {MAX_PROPERTIES} properties")
    size = len(message.body) + sum(len(name) + len(value or "") for each in texts for name, value in each.items())
    if size > MAX_C2D_MESSAGE_BYTES:
        raise HubError(413001, f"the message counts {size} bytes; the limit is {MAX_C2D_MESSAGE_BYTES}")


def _locked(message: Waiting) -> Locked:
    assert message.lock_token is not None
    head = orjson.loads(message.head)
    return Locked(
        lock_token=message.lock_token,
        sequence_number=message.sequence,
        enqueued_at=message.enqueued_at,
        expires_at=message.expires_at,
        delivery_count=message.delivery_count,
        properties=head["properties"],
        system=head["system"],
        body=message.body,
    )
