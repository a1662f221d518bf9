"""What comes down by AMQP links: messages from the cloud, calls of methods, and the answers to those.

Spec: edgehub.md §5.3, §5.4, iothub_wire.md §2.3, §2.4.
"""

import asyncio
import uuid
from typing import Final

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.message import read_message
from edgewire.codec.amqp.performatives import (
    ACCEPTED,
    SETTLED,
    UNSETTLED,
    Accepted,
    DeliveryState,
    Error,
    Modified,
    Rejected,
    Released,
)
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.addresses import Purpose, format_address
from edgewire.iothub.amqp.devicebound import Notes, tag_of, write_devicebound
from edgewire.iothub.amqp.methods import MethodCall, read_answer, write_call
from edgewire.iothub.bag import Bag
from edgewire.message import Identity
from edgewire.session.amqp.events import CreditReceived, DeliveryStateChanged, MessageReceived
from edgewire.session.amqp.link import Link
from gateway.dispatch.delivery import MAX_WINDOW, CloudMessage, Parcel, Settlement
from gateway.head.amqp_line import Line, LinkEnd
from gateway.observe.head import CloudMessageRefused, MessageRefused, RefusedMessage

ANSWER_CREDIT: Final = 100
"""Answers to methods that a device may send before it is topped up; five times the calls that can wait for one."""

DRAIN_S: Final = 1.0
"""A device that drains its link wants what there is now, and that has to come from the hub. The credit is its own for
so long; given back at once, a device that asks by draining alone would never get a message. Spec: AMQP 1.0 §2.6.7."""


class DeviceboundLink(LinkEnd):
    """Where a device or module receives messages from the cloud, as far as its credit goes."""

    __slots__ = ("_draining", "_listens", "_over", "_waiting", "_who")

    def __init__(self, line: Line, link: Link, who: Identity) -> None:
        super().__init__(line, link)
        self._who = who
        self._draining: asyncio.TimerHandle | None = None
        """The end of a drain."""
        self._waiting: list[Parcel] = []
        """For which there was no credit any more when they came, or no room in the session; at most a window's."""
        self._listens = False
        self._over = False

    def begin(self) -> None:
        """Answer the attach; what comes is settled by the device's word, whatever the attach asked for."""
        self.line.engine.accept_link(self.link, snd_settle_mode=UNSETTLED)
        self._listen()

    def on_credit(self, event: CreditReceived) -> None:
        """The device takes more."""
        self._send_waiting()
        self._listen()
        if event.drain and self._draining is None:
            self._draining = asyncio.get_running_loop().call_later(DRAIN_S, self._drained)

    def on_state(self, event: DeliveryStateChanged) -> None:
        """The device's word on a message."""
        settlement = settlement_of(event.state)
        if settlement is None:
            if not event.settled:
                return  # how far it has come
            settlement = Settlement.ABANDONED
        if not event.settled:
            super().on_state(event)
        # First the window: with the settlement the source fetches as much as it allows.
        self._listen()
        parcel = event.delivery.owner
        assert isinstance(parcel, Parcel)
        parcel.settle(settlement)

    def on_over(self) -> None:
        """What is not settled goes back."""
        self._over = True
        if self._draining is not None:
            self._draining.cancel()
        self._waiting.clear()
        self.line.house.delivery.unsubscribe(self._who, self)

    def deliver(self, parcel: Parcel) -> None:
        """Send a message from the cloud."""
        if self._waiting or not self._send(parcel):
            self._waiting = [each for each in self._waiting if each.open]
            self._waiting.append(parcel)
        self.line.flush()

    def _drained(self) -> None:
        """What came while the device drained the link is all there was; it may have given new credit since."""
        self._draining = None
        if not self._waiting:  # else there is room later, and with it this again
            self.line.engine.drained(self.link)
            self._listen()
        self.line.flush()

    def _listen(self) -> None:
        """Take as much as the device does, what it has not settled included."""
        if self._over:
            return
        window = min(MAX_WINDOW, self.link.credit + len(self.link.deliveries) + len(self._waiting))
        if window or self._listens:
            self._listens = True
            self.line.house.delivery.subscribe(self._who, self, window)

    def _send_waiting(self) -> None:
        while self._waiting:
            parcel = self._waiting.pop(0)
            if not self._send(parcel):
                self._waiting.insert(0, parcel)
                return

    def _send(self, parcel: Parcel) -> bool:
        """False if it cannot leave now."""
        if not parcel.open:
            return True
        lock = _lock_of(parcel.message)
        payload = _written(self._who, parcel.message, lock)
        if 0 < self.link.peer_max_message_size < len(payload):
            self._refuse(parcel, f"it has {len(payload)} bytes; the device takes {self.link.peer_max_message_size}")
            return True
        delivery = self.line.engine.send(self.link, payload, tag=tag_of(lock))
        if delivery is None:
            return False
        delivery.owner = parcel
        return True

    def _refuse(self, parcel: Parcel, why: str) -> None:
        message_id = parcel.message.bag.system.get("messageId", "")
        self.line.house.emit(CloudMessageRefused(str(self._who), message_id, why))
        parcel.settle(Settlement.REJECTED)


class CallLink(LinkEnd):
    """Where a device or module receives calls of methods, from when it gives credit on."""

    __slots__ = ("_over", "_who")

    def __init__(self, line: Line, link: Link, who: Identity) -> None:
        super().__init__(line, link)
        self._who = who
        self._over = False

    def begin(self) -> None:
        """Answer the attach."""
        self.line.engine.accept_link(self.link, snd_settle_mode=SETTLED)
        self._listen()

    def on_credit(self, event: CreditReceived) -> None:
        """The device takes calls."""
        super().on_credit(event)
        self._listen()

    def on_over(self) -> None:
        """No more calls."""
        self._over = True
        self.line.house.methods.unsubscribe(self._who, self)

    def call(self, rid: str, name: str, payload: bytes) -> bool:
        """Send a call. One that finds no credit does not wait for it: its caller may have given up by then."""
        message = write_call(MethodCall(rid=uuid.UUID(rid), name=name, payload=payload))
        if 0 < self.link.peer_max_message_size < len(message):
            return False
        sent = self.line.engine.send(self.link, message, settled=True)
        self.line.flush()
        return sent is not None

    def _listen(self) -> None:
        if self.link.credit and not self._over:
            self.line.house.methods.subscribe(self._who, self)


class CallAnswers(LinkEnd):
    """Where a device or module answers methods."""

    __slots__ = ("_who",)

    def __init__(self, line: Line, link: Link, who: Identity) -> None:
        super().__init__(line, link)
        self._who = who

    def begin(self) -> None:
        """Answer the attach, with credit."""
        self.line.engine.accept_link(self.link, credit=ANSWER_CREDIT)

    def on_message(self, event: MessageReceived) -> None:
        """An answer."""
        try:
            answer = read_answer(read_message(event.payload))
        except ProtocolError as error:
            self.line.house.emit(MessageRefused(str(self._who), RefusedMessage.MALFORMED_MESSAGE, error.what))
            refused = Error(condition=str(error.reply or INVALID_FIELD), description=error.what)
            self.line.engine.settle(self.link, [event.delivery_id], Rejected(refused))
        else:
            self.line.engine.settle(self.link, [event.delivery_id], ACCEPTED)
            self.line.house.methods.answered(self._who, answer.rid, answer.status, answer.payload)
        self.line.engine.grant(self.link, ANSWER_CREDIT)


def settlement_of(state: DeliveryState | None) -> Settlement | None:
    """What an outcome says of a message from the cloud; None for a state that is no outcome, or one of other standards.

    AMQP 1.0 §3.4; edgeHub knows no `modified`, which gives a message back as `released` does.
    """
    match state:
        case Accepted():
            return Settlement.COMPLETED
        case Rejected():
            return Settlement.REJECTED
        case Released() | Modified():
            return Settlement.ABANDONED
        case _:
            return None


def _written(who: Identity, message: CloudMessage, lock: uuid.UUID) -> bytes:
    """A message as the device gets it: as the hub sent it, with where it is sent to."""
    system = {"to": format_address(who, Purpose.DEVICEBOUND), **message.bag.system}
    notes = Notes(
        lock_token=lock,
        sequence_number=message.sequence_number,
        enqueued_at_ms=message.enqueued_at_ms,
        delivery_count=message.delivery_count,
    )
    return write_devicebound(Bag(message.bag.properties, system), message.body, notes)


def _lock_of(message: CloudMessage) -> uuid.UUID:
    """The hub's lock token, of which the delivery tag is made; another one, if it has none of this form."""
    try:
        return uuid.UUID(message.lock_token or "")
    except ValueError:
        return uuid.uuid4()
