"""Our messages on one session: cut into transfers, windows and credit kept, settled. Spec: AMQP 1.0 §2.5.6, §2.6.7."""

from typing import Final

from edgewire.codec.amqp.composites import MAX_TAG_BYTES
from edgewire.codec.amqp.frames import write_frame
from edgewire.codec.amqp.performatives import DeliveryState, Disposition, Flow, Transfer
from edgewire.errors import UsageError
from edgewire.session.amqp.events import AmqpEvent, CreditReceived, DeliveryStateChanged
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Delivery, Link
from edgewire.session.amqp.outbox import Outbox
from edgewire.session.amqp.receiving import span
from edgewire.session.amqp.serial import MASK, distance
from edgewire.session.amqp.states import LinkState

_ATTACHED: Final = LinkState.ATTACHED
"""For the calls of each message: a member looked up in its enum costs 0.07 µs."""


class Outgoing:
    """The sending half of a session.

    `next_id` counts our transfer frames, `window` those that the peer still takes; `deliveries` by their ids are those
    that it has not settled.
    """

    __slots__ = (
        "_limits",
        "_next_delivery_id",
        "_outbox",
        "_starved",
        "_waiting",
        "_waiting_of",
        "deliveries",
        "next_id",
        "window",
    )

    def __init__(self, limits: AmqpLimits, outbox: Outbox) -> None:
        self._limits = limits
        self._outbox = outbox
        self._next_delivery_id = 0
        self._waiting: list[bytes] = []
        """The frames that are left of a message that the window ended within; nothing else is sent before them."""
        self._waiting_of: Link | None = None
        self._starved: dict[Link, None] = {}
        """Links that had credit and could not use it."""
        self.deliveries: dict[int, Delivery] = {}
        self.next_id = 0
        self.window = 0

    def send(
        self,
        channel: int,
        link: Link,
        payload: bytes,
        *,
        message_format: int,
        settled: bool,
        tag: bytes | None,
    ) -> Delivery | None:
        """Send a message; None if it cannot be sent now."""
        if link.peer_max_message_size and len(payload) > link.peer_max_message_size:
            raise UsageError(f"{len(payload)} bytes, where the peer takes {link.peer_max_message_size}")
        if not link.credit:
            return None
        if self._waiting or not self.window or len(self.deliveries) >= self._limits.max_unsettled:
            self._starved[link] = None
            return None
        if tag is None:
            tag = link.next_tag.to_bytes(4, "big")
            link.next_tag = link.next_tag + 1 & MASK
        elif len(tag) > MAX_TAG_BYTES:
            raise UsageError(f"a delivery tag of {len(tag)} bytes")
        delivery_id = self._next_delivery_id
        self._next_delivery_id = delivery_id + 1 & MASK
        link.credit -= 1
        link.delivery_count = link.delivery_count + 1 & MASK
        delivery = Delivery(link, delivery_id, tag, settled=settled)
        if not settled:
            self.deliveries[delivery_id] = link.deliveries[delivery_id] = delivery
        assert link.handle is not None
        transfer = Transfer(link.handle, delivery_id, tag, message_format, settled)
        self._write(channel, link, transfer, payload)
        return delivery

    def on_flow(self, flow: Flow, events: list[AmqpEvent]) -> None:
        """The peer's window. Spec: AMQP 1.0 §2.5.6."""
        # Null says that the peer had not seen our begin, which names 0.
        on_the_way = max(0, distance(flow.next_incoming_id or 0, self.next_id))
        self.window = max(0, flow.incoming_window - on_the_way)
        self._send_waiting()
        self._feed(events)

    def on_disposition(self, disposition: Disposition, events: list[AmqpEvent]) -> None:
        """The peer's verdict over messages of ours; unknown and settled ones are left out. Spec: AMQP 1.0 §2.7.6."""
        first = disposition.first
        count = span(first, disposition.last)
        deliveries = self.deliveries
        if count == 1:
            ids = [first] if first in deliveries else []
        elif count <= len(deliveries):
            ids = [i for i in range(first, first + count) if i & MASK in deliveries]
        else:
            ids = [i for i in deliveries if (i - first & MASK) < count]
        state = disposition.state
        settled = disposition.settled is True
        for one in ids:
            delivery = deliveries[one & MASK]
            if settled:
                self.forget(delivery)
            elif delivery.state == state:
                continue
            delivery.state = state
            delivery.settled = settled
            events.append(DeliveryStateChanged(delivery.link, delivery, state, settled))
        if ids and settled:
            self._feed(events)

    def settle(self, channel: int, delivery: Delivery, state: DeliveryState | None) -> None:
        """Settle a message of ours; does nothing if the peer has."""
        if delivery.settled or delivery.delivery_id not in self.deliveries:
            return
        self.forget(delivery)
        delivery.settled = True
        one = delivery.delivery_id
        self._outbox.disposition(channel, receiver=False, first=one, last=one, settled=True, state=state)

    def forget(self, delivery: Delivery) -> None:
        """A delivery is settled, or its link is over."""
        self.deliveries.pop(delivery.delivery_id, None)
        delivery.link.deliveries.pop(delivery.delivery_id, None)

    def stop(self, link: Link) -> None:
        """A link is detached: the rest of its message must not come behind that, where another may have its handle."""
        if self._waiting_of is link:
            self._waiting_of = None
            self._waiting.clear()

    def drop(self, link: Link) -> None:
        """A link is over: what it has under way is not answered any more. `link.deliveries` stays for its owner."""
        self.stop(link)
        self._starved.pop(link, None)
        for one in link.deliveries:
            self.deliveries.pop(one, None)

    def _write(self, channel: int, link: Link, transfer: Transfer, payload: bytes) -> None:
        max_frame = self._outbox.max_frame
        frame = write_frame(channel, transfer, payload)
        if len(frame) <= max_frame:
            self._put(link, frame)
            return
        # Id and tag stand on every frame, as uamqp's and node's do.
        transfer.more = True
        room = max_frame - (len(frame) - len(payload))
        last = len(payload) - room
        for at in range(0, last, room):
            self._put(link, write_frame(channel, transfer, payload[at : at + room]))
            sent = at + room
        transfer.more = False
        self._put(link, write_frame(channel, transfer, payload[sent:]))

    def _put(self, link: Link, frame: bytes) -> None:
        if not self.window:
            self._waiting.append(frame)
            self._waiting_of = link
            return
        self.window -= 1
        self.next_id = self.next_id + 1 & MASK
        self._outbox.put(frame)

    def _send_waiting(self) -> None:
        link = self._waiting_of
        if link is None:
            return
        frames = self._waiting[: self.window]
        del self._waiting[: self.window]
        if not self._waiting:
            self._waiting_of = None
        for frame in frames:
            self._put(link, frame)

    def _feed(self, events: list[AmqpEvent]) -> None:
        """Tell the links that wait that there is room again."""
        if not self._starved or not self.window or len(self.deliveries) >= self._limits.max_unsettled:
            return
        starved, self._starved = self._starved, {}
        events += [CreditReceived(link=link, credit=link.credit, drain=link.drain) for link in starved if link.credit]
