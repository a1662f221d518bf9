"""A hub's side and a head's side of what comes down, in memory: what they were told, in its order."""

from collections.abc import Callable, Mapping
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
) -> CloudMessage:
    return CloudMessage(
        bag=Bag(properties or {}, system or {}), body=body, lock_token=lock_token, expires_at=expires_at
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
        self._out: dict[Identity, int] = {}
        self.settled: list[tuple[CloudMessage, Settlement]] = []
        self.on_settled: Callable[[], None] = lambda: None

    def send(self, who: Identity, message: CloudMessage) -> None:
        self._queues.setdefault(who, []).append(message)
        self._fetch(who)

    def waiting(self, who: Identity) -> list[CloudMessage]:
        return list(self._queues.get(who, ()))

    def open(self, who: Identity, credit: int) -> None:
        self._credits[who] = credit
        self._fetch(who)

    def grant(self, who: Identity, credit: int) -> None:
        self._credits[who] = credit
        self._fetch(who)

    def close(self, who: Identity) -> None:
        del self._credits[who]

    def _fetch(self, who: Identity) -> None:
        queue = self._queues.get(who, [])
        while queue and self._out.get(who, 0) < self._credits.get(who, 0):
            message = queue.pop(0)
            self._out[who] = self._out.get(who, 0) + 1
            if not self._delivery.offer(who, message, partial(self._on, who, message)):
                self._out[who] -= 1
                queue.insert(0, message)
                return

    def _on(self, who: Identity, message: CloudMessage, settlement: Settlement) -> None:
        self._out[who] -= 1
        self.settled.append((message, settlement))
        if settlement is Settlement.ABANDONED:
            self._queues[who].insert(0, message)
        self.on_settled()
        self._fetch(who)
