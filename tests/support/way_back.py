"""A hub's side and a head's side of what comes down, in memory: what they were told, in its order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from edgewire.iothub.bag import Bag
from edgewire.message import Identity
from gateway.dispatch.delivery import CloudMessage, Delivery, Parcel, Settlement

NO_BAG = Bag({}, {})


def cloud_message(
    body: bytes = b"hello",
    *,
    properties: Mapping[str, str | None] | None = None,
    system: Mapping[str, str] | None = None,
    lock_token: str | None = None,
    expires_at: float | None = None,
    sequence_number: int | None = None,
) -> CloudMessage:
    """A message that the hub has for a device."""
    return CloudMessage(
        bag=Bag(properties or {}, system or {}),
        body=body,
        lock_token=lock_token,
        sequence_number=sequence_number,
        expires_at=expires_at,
    )


@dataclass
class RecordedSource:
    """A way to the cloud that brings only what a test offers."""

    told: list[tuple[str, Identity, int]] = field(default_factory=list)

    def open(self, who: Identity, credit: int) -> None:
        self.told.append(("open", who, credit))

    def grant(self, who: Identity, credit: int) -> None:
        self.told.append(("grant", who, credit))

    def close(self, who: Identity) -> None:
        self.told.append(("close", who, 0))


@dataclass
class RecordedRecipient:
    """Somebody who listens and settles only when a test does."""

    parcels: list[Parcel] = field(default_factory=list)

    def deliver(self, parcel: Parcel) -> None:
        self.parcels.append(parcel)


class QueueSource:
    """A hub's queue per identity: brings what fits into the window, takes back what is abandoned."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._queues: dict[Identity, list[CloudMessage]] = {}
        self._credits: dict[Identity, int] = {}
        self._out: dict[Identity, list[CloudMessage]] = {}
        self.settled: list[tuple[CloudMessage, Settlement]] = []

    def send(self, who: Identity, message: CloudMessage) -> None:
        """A service sends this."""
        self._queues.setdefault(who, []).append(message)
        self._fetch(who)

    def waiting(self, who: Identity) -> list[CloudMessage]:
        """What is in the queue, and on its way to nobody."""
        return list(self._queues.get(who, ()))

    def reconnect(self) -> None:
        """The link is lost, with what was unsettled, and there again."""
        self._delivery.lost_all()
        for who, out in self._out.items():
            self._queues[who][:0] = out
            out.clear()
            self._fetch(who)

    # What dispatch calls.

    def open(self, who: Identity, credit: int) -> None:
        self._credits[who] = credit
        self._fetch(who)

    def grant(self, who: Identity, credit: int) -> None:
        self._credits[who] = credit
        self._fetch(who)

    def close(self, who: Identity) -> None:
        del self._credits[who]

    def _fetch(self, who: Identity) -> None:
        queue, out = self._queues.setdefault(who, []), self._out.setdefault(who, [])
        while queue and len(out) < self._credits.get(who, 0):
            message = queue.pop(0)
            out.append(message)
            if not self._delivery.offer(who, message, partial(self._on_settled, who, message)):
                out.remove(message)
                queue.insert(0, message)
                return

    def _on_settled(self, who: Identity, message: CloudMessage, settlement: Settlement) -> None:
        self._out[who].remove(message)
        self.settled.append((message, settlement))
        if settlement is Settlement.ABANDONED:
            self._put_back(who, message)
        self._fetch(who)

    def _put_back(self, who: Identity, message: CloudMessage) -> None:
        """Where it was: the hub sends by sequence number, so what is given back comes before what came later."""
        queue = self._queues[who]
        later = (at for at, each in enumerate(queue) if _number(each) > _number(message))
        queue.insert(next(later, len(queue)), message)


def _number(message: CloudMessage) -> int:
    return message.sequence_number or 0
