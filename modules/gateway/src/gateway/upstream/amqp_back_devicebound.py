"""Messages to devices, from the hub to who listens here: settled there by what the device says, never before."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ClassVar, Final

from edgewire.codec.amqp.message import read_message
from edgewire.codec.amqp.performatives import Accepted, DeliveryState, Rejected, Released
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.addresses import Purpose, format_address
from edgewire.iothub.amqp.devicebound import lock_token_of, read_devicebound
from edgewire.iothub.amqp.values import parse_time
from edgewire.message import Identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Link
from edgewire.session.amqp.session import Session
from gateway.dispatch.delivery import CloudMessage, Delivery, Settlement
from gateway.observe.events import Event
from gateway.observe.upstream import BackKind, UnreadableFromCloud
from gateway.upstream.amqp_back import Back
from gateway.upstream.amqp_back_strand import Strand, StrandHost
from gateway.upstream.amqp_link import AmqpLink

STATES: Final[dict[Settlement, Callable[[], DeliveryState]]] = {
    Settlement.COMPLETED: Accepted,
    Settlement.REJECTED: Rejected,
    Settlement.ABANDONED: Released,
}
"""Spec: edgehub.md §5.4, iothub_wire.md §2.3."""


class DeviceboundStrand(Strand):
    """The link of one device. Its credit is what the device's window leaves."""

    kind: ClassVar[BackKind] = BackKind.MESSAGES

    def __init__(
        self, who: Identity, host: StrandHost, *, window: int, delivery: Delivery, emit: Callable[[Event], None]
    ) -> None:
        super().__init__(who, host)
        self._window = window
        self._delivery = delivery
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._unsettled = 0
        self._topping_up = False

    def grant(self, window: int) -> None:
        """From now on so many may be unsettled."""
        self._window = window
        self._top_up_soon()

    def on_credit(self) -> None:
        """Nothing is sent here."""

    def on_message(self, event: MessageReceived) -> None:
        """A message for the device."""
        try:
            message = _read(event)
        except ProtocolError as error:
            # It would be as unreadable the next time.
            self._emit(UnreadableFromCloud(self.kind, str(self.who), error.what))
            self._settle(event.link, event.delivery_id, Settlement.REJECTED)
            self._top_up_soon()
            return
        self._unsettled += 1
        settled = partial(self._on_settled, event.link, event.delivery_id)
        if not self._delivery.offer(self.who, message, settled):
            settled(Settlement.ABANDONED)

    def _attach(self, connection: AmqpLink, session: Session) -> tuple[Link, ...]:
        self._unsettled = 0
        address = format_address(self.who, Purpose.DEVICEBOUND)
        return (connection.attach_receiver(session, address, self, credit=self._window),)

    def _on_open(self) -> None:
        self._top_up_soon()

    def _on_void(self) -> None:
        self._delivery.lost(self.who)

    def _on_settled(self, link: Link, delivery_id: int, settlement: Settlement) -> None:
        if link in self._links:
            self._unsettled -= 1
            self._settle(link, delivery_id, settlement)
            self._top_up_soon()

    def _settle(self, link: Link, delivery_id: int, settlement: Settlement) -> None:
        connection = self._host.link()
        if connection is not None:
            connection.settle(link, delivery_id, STATES[settlement]())
            self._host.flush_soon()

    def _top_up_soon(self) -> None:
        """Not at once: what is given back because nobody listens any more must not come again before the link goes."""
        if not self._topping_up:
            self._topping_up = True
            self._loop.call_soon(self._top_up)

    def _top_up(self) -> None:
        self._topping_up = False
        connection = self._host.link()
        if connection is not None and self._links:
            connection.grant(self._links[0], max(0, self._window - self._unsettled))
            self._host.flush_soon()


class CloudSource:
    """A `delivery.Source`: the links of all devices that listen."""

    def __init__(self, back: Back, delivery: Delivery, emit: Callable[[Event], None]) -> None:
        self._back = back
        self._delivery = delivery
        self._emit = emit

    def open(self, who: Identity, credit: int) -> None:
        """Somebody listens."""
        self._back.want(DeviceboundStrand(who, self._back, window=credit, delivery=self._delivery, emit=self._emit))

    def grant(self, who: Identity, credit: int) -> None:
        """Another number may be unsettled."""
        strand = self._back.find(who, BackKind.MESSAGES)
        if isinstance(strand, DeviceboundStrand):
            strand.grant(credit)

    def close(self, who: Identity) -> None:
        """Nobody listens any more."""
        strand = self._back.find(who, BackKind.MESSAGES)
        if strand is not None:
            self._back.drop(strand)


def _read(event: MessageReceived) -> CloudMessage:
    """The message. Raises ProtocolError."""
    bag, body, notes = read_devicebound(read_message(event.payload))
    lock = notes.lock_token or lock_token_of(event.tag)
    expires_at_ms = parse_time(bag.system.get("absolute-expiry-time", ""))
    return CloudMessage(
        bag=bag,
        body=body,
        lock_token=None if lock is None else str(lock),
        sequence_number=notes.sequence_number,
        enqueued_at_ms=notes.enqueued_at_ms,
        delivery_count=notes.delivery_count,
        expires_at=None if expires_at_ms is None else expires_at_ms / 1000,
    )
