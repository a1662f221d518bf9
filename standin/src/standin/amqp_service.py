"""The service side over AMQP: messages to devices, and what became of them (iothub_wire.md §4.3)."""

import uuid
from typing import Final

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Symbol, Timestamp, ULong
from edgewire.codec.amqp.message import AmqpMessage, Properties, read_message, write_message
from edgewire.codec.amqp.performatives import ACCEPTED, Accepted, Error, Rejected
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.addresses import Purpose, parse_address
from edgewire.iothub.amqp.devicebound import tag_of
from edgewire.iothub.amqp.messages import read_content
from edgewire.iothub.bag import Direction
from edgewire.message import Identity
from edgewire.session.amqp.events import CreditReceived, DeliveryStateChanged, MessageReceived
from edgewire.session.amqp.link import Link, Role
from standin.amqp_nodes import AmqpLine, Attached, Need
from standin.devicebound import C2dMessage
from standin.errors import HubError
from standin.eventhub_addresses import path_of
from standin.faults import Refusal
from standin.feedback import CONTENT_TYPE, FeedbackBatch
from standin.hub import Hub
from standin.locked import Settlement
from standin.policies import Right

DEVICEBOUND: Final = "messages/devicebound"
FEEDBACK: Final = "messages/serviceBound/feedback"
FILE_NOTIFICATIONS: Final = "messages/serviceBound/filenotifications"
CREDIT: Final = 100
"""Messages that a service may send ahead of our answers."""
NEED: Final = Need(right=Right.SERVICE_CONNECT)

_ROLES: Final = {
    DEVICEBOUND: Role.RECEIVER,
    FEEDBACK.lower(): Role.SENDER,
    FILE_NOTIFICATIONS.lower(): Role.SENDER,
}
"""Our end of the link that each address has."""
_CONDITIONS: Final = {
    404001: conditions.NOT_FOUND,
    403004: conditions.RESOURCE_LIMIT_EXCEEDED,
    413001: conditions.MESSAGE_SIZE_EXCEEDED,
    Refusal.THROTTLED.value: conditions.DEVICE_CONTAINER_THROTTLED,
    # Not amqp:resource-limit-exceeded, which azure-iothub takes for a full queue whatever else is said.
    Refusal.OVER_QUOTA.value: conditions.QUOTA_EXCEEDED,
}
"""Of the codes that a service hears of; all others are arguments that make no sense."""
_WORDS: Final = {
    404001: "DeviceNotFound",
    403004: "DeviceMaximumQueueDepthExceeded",
    Refusal.THROTTLED.value: "ThrottlingException",
    Refusal.OVER_QUOTA.value: "IotHubQuotaExceeded",
}
"""IoT Hub's names for them."""


class ServiceMessaging:
    """The addresses of a hub's service side. Implements `amqp_nodes.Node`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def claims(self, address: str) -> bool:
        """Whether this is an address of the service side."""
        return path_of(address).lower() in _ROLES

    def attach(self, line: AmqpLine, link: Link) -> None:
        """Accept a link, or refuse it."""
        path = path_of(link.address or "").lower()
        if link.role is not _ROLES[path]:
            line.refuse(link, conditions.NOT_ALLOWED, f"'{path}' is for the other direction")
        elif not line.may(NEED):
            what = f"no policy with the right {NEED.right.value} has proven itself on this connection"
            line.refuse(link, conditions.UNAUTHORIZED_ACCESS, what)
        else:
            link.owner = self._attached(line, link, path)
            line.session.accept_link(link, credit=CREDIT)

    def _attached(self, line: AmqpLine, link: Link, path: str) -> Attached:
        if path == DEVICEBOUND:
            return C2dSender(self._hub, line)
        if path == FEEDBACK.lower():
            return FeedbackReader(self._hub, line, link)
        # Files are not uploaded here: the link is granted, and nothing ever comes on it.
        return Attached(NEED)


class C2dSender(Attached):
    """A link on which the service sends messages to devices; each is answered when it is on disk."""

    __slots__ = ("_hub", "_line")

    def __init__(self, hub: Hub, line: AmqpLine) -> None:
        super().__init__(NEED)
        self._hub = hub
        self._line = line

    def take(self, event: MessageReceived) -> None:
        """Queue the message; a refusal says why, and the link stays."""
        self._line.session.settle(event.link, (event.delivery_id,), self._send(event.payload))
        self._line.session.grant(event.link, CREDIT)

    def _send(self, payload: bytes) -> Accepted | Rejected:
        refusal = self._hub.faults.refusal
        if refusal is not None:
            self._hub.counters["messages throttled"] += 1
            return _rejected(HubError(refusal.value, "no message is taken, on purpose"))
        try:
            message = read_message(payload)
            who = _addressee(message)
            content = read_content(message, Direction.TO_DEVICE)
            self._hub.send_c2d(who, C2dMessage(content.bag, content.body))
        except ProtocolError as error:
            condition = error.reply if isinstance(error.reply, Symbol) else conditions.ARGUMENT_ERROR
            return Rejected(Error(condition=condition, description=error.what))
        except HubError as error:
            return _rejected(error)
        return ACCEPTED


class FeedbackReader(Attached):
    """A link on which the service hears what became of its messages; a batch is its until it has settled it."""

    __slots__ = ("_feedback", "_hub", "_line", "_link")

    def __init__(self, hub: Hub, line: AmqpLine, link: Link) -> None:
        super().__init__(NEED)
        self._hub = hub
        self._feedback = hub.feedback
        self._line = line
        self._link = link
        self._feedback.watch(self.send)

    def on_credit(self, event: CreditReceived) -> None:  # noqa: ARG002 - the interface of all links
        """The service takes more."""
        self.send()

    def on_state(self, event: DeliveryStateChanged) -> None:
        """Accepted is completed, rejected is rejected, all else goes back."""
        token = event.delivery.owner
        if token is None:
            return
        event.delivery.owner = None
        try:
            self._feedback.settle(token, _settlement(event))
        except HubError as error:
            self._hub.note(f"a batch of feedback was settled too late: {error.what}")

    def on_detached(self) -> None:
        """What it has not settled goes to another reader."""
        self._feedback.unwatch(self.send)
        self._feedback.release(self)

    def send(self) -> None:
        """Send the batches that wait, as far as there is credit."""
        if self._line.is_closing or self._hub.faults.stalled:
            return
        while self._link.credit:
            batch = self._feedback.lock(self)
            if batch is None:
                break
            delivery = self._line.session.send(self._link, _write_batch(batch), tag=tag_of(batch.lock_token))
            if delivery is None:
                self._feedback.put_back(batch.lock_token)
                break
            delivery.owner = batch.lock_token
        self._line.flush_soon()


def _addressee(message: AmqpMessage) -> Identity:
    """Whom a message is for. Raises ProtocolError if its `to` does not say."""
    to = None if message.properties is None else message.properties.to
    if not to:
        raise ProtocolError("the message has no 'to'", reply=conditions.ARGUMENT_ERROR)
    try:
        found = parse_address(to)
    except ProtocolError as error:
        raise ProtocolError(error.what, reply=conditions.ARGUMENT_ERROR) from None
    if found.purpose is not Purpose.DEVICEBOUND:
        what = f"'{to[:80]}' is no address of messages to a device"
        raise ProtocolError(what, reply=conditions.ARGUMENT_ERROR)
    return found.identity


def _rejected(error: HubError) -> Rejected:
    """The refusal in the hub's words: a code, its name, a sentence."""
    word = _WORDS.get(error.code, "ArgumentInvalid")
    info = {Symbol("com.microsoft:error-code"): error.code, Symbol("com.microsoft:tracking-id"): uuid.uuid4().hex}
    return Rejected(
        Error(
            condition=_CONDITIONS.get(error.code, conditions.ARGUMENT_ERROR),
            description=f"Error code: {error.code}, {word}: {error.what}",
            info=info,
        )
    )


def _settlement(event: DeliveryStateChanged) -> Settlement:
    match event.state:
        case Accepted():
            return Settlement.COMPLETED
        case Rejected():
            return Settlement.REJECTED
        case _:
            return Settlement.ABANDONED


def _write_batch(batch: FeedbackBatch) -> bytes:
    enqueued_at = Timestamp(int(batch.enqueued_at * 1000))
    annotations = {
        Symbol("iothub-enqueuedtime"): enqueued_at,
        Symbol("x-opt-sequence-number"): ULong(batch.sequence_number),
        Symbol("x-opt-lock-token"): batch.lock_token,
    }
    properties = Properties(
        message_id=str(batch.lock_token),
        to=f"/{FEEDBACK}",
        content_type=Symbol(CONTENT_TYPE),
        content_encoding=Symbol("utf-8"),
        creation_time=enqueued_at,
    )
    message = AmqpMessage(message_annotations=annotations, properties=properties, body=batch.body)
    return write_message(message)
