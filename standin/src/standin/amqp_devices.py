"""The links of devices and modules on one AMQP connection, and what comes in on them (iothub_wire.md §2.3, §2.4)."""

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import orjson

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Symbol
from edgewire.codec.amqp.message import read_message
from edgewire.codec.amqp.performatives import ACCEPTED, Error, Rejected
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.addresses import Address, Purpose
from edgewire.iothub.amqp.methods import read_answer
from edgewire.iothub.amqp.twins import TwinAnswer, TwinOperation, TwinRequest, read_request, write_answer
from edgewire.iothub.limits import MAX_MESSAGE_BYTES, MAX_METHOD_PAYLOAD_BYTES
from edgewire.iothub.twins import TwinError
from edgewire.message import Identity
from edgewire.session.amqp.events import CreditReceived, DeliveryStateChanged, MessageReceived
from edgewire.session.amqp.link import Link, Role
from standin import hub as hubs
from standin.amqp_client import CONDITIONS, AmqpClient, Connection, Key, serves
from standin.amqp_nodes import Attached
from standin.amqp_telemetry import TelemetryReader
from standin.faults import Refusal
from standin.hub import Closing, Hub

CREDIT: Final = 1_000
"""Transfers that a link may send ahead of our answers (amqp.md §7.5: edgeHub's figure)."""
MAX_LINK_MESSAGE_BYTES: Final = MAX_MESSAGE_BYTES + 4_096
"""What our attach says: the largest message as IoT Hub counts it, and what AMQP writes around its properties."""
MAX_UNANSWERED_BYTES: Final = 4 * 1024 * 1024
"""Transfers of one connection whose commit is outstanding; reading stops there and goes on at half of it."""
_MESSAGE_BYTES: Final = 512
"""What a message takes in memory besides its own bytes."""
_NOT_KEPT: Final = Rejected(
    Error(condition=conditions.DEVICE_CONTAINER_THROTTLED, description="the message could not be kept")
)
_REFUSED: Final = {
    Refusal.THROTTLED: Rejected(
        Error(condition=conditions.DEVICE_CONTAINER_THROTTLED, description="throttled on purpose")
    ),
    Refusal.OVER_QUOTA: Rejected(
        Error(condition=conditions.RESOURCE_LIMIT_EXCEEDED, description="over the quota on purpose")
    ),
}
Take = Callable[[MessageReceived], None]


class DeviceConnection(Connection, Protocol):
    """The connection as the links of devices see it."""

    def pause_reading(self) -> None:
        """Take no more from the peer for now."""

    def resume_reading(self) -> None:
        """Take from the peer again."""

    def refuse(self, link: Link, condition: str, what: str) -> None:
        """Refuse a link that wants to attach."""


class DeviceLink(Attached):
    """A link of one identity, kept as `link.owner`."""

    __slots__ = ("_devices", "client", "key", "read")

    def __init__(self, devices: "DeviceLinks", client: AmqpClient, key: Key, read: Take) -> None:
        super().__init__()
        self._devices = devices
        self.client = client
        self.key = key
        self.read = read

    def take(self, event: MessageReceived) -> None:
        """What the client sends."""
        self.read(event)

    def on_credit(self, event: CreditReceived) -> None:
        """The client takes more."""
        self.client.on_credit(event.link)

    def on_writable(self) -> None:
        """The peer has caught up."""
        link = self.client.links.get(self.key)
        if link is not None:
            self.client.on_credit(link)

    def on_state(self, event: DeliveryStateChanged) -> None:
        """What the client has made of a message."""
        self.client.settle(event.delivery.owner, event.state)

    def on_detached(self) -> None:
        """The link is gone."""
        self._devices.detached(self.client, self.key)


class DeviceLinks:
    """All of one connection."""

    def __init__(self, hub: Hub, connection: DeviceConnection) -> None:
        self._hub = hub
        self._connection = connection
        self._clients: dict[Identity, AmqpClient] = {}
        self._accepted: dict[Link, list[int]] = {}
        self._unanswered = 0
        self._paused = False

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Who has links here."""
        return tuple(self._clients)

    def attach(self, link: Link, found: Address) -> None:
        """Take a link of an identity that has proven itself; the one it takes the place of is detached."""
        key = (found.purpose, link.role)
        client = self._clients.get(found.identity)
        if client is None:
            client = self._clients[found.identity] = AmqpClient(self._hub, self._connection, found.identity)
            self._hub.note(f"connected {found.identity}")
            self._hub.connect(client)
        older = client.links.get(key)
        if older is not None:
            older.owner = None
            client.forget(key)
            self._connection.session.detach(older, conditions.STOLEN, "another link took its place")
        client.links[key] = link
        link.owner = DeviceLink(self, client, key, self._reader(client, key))
        self._hub.counters["links attached"] += 1
        self._connection.session.accept_link(link, credit=CREDIT, max_message_size=MAX_LINK_MESSAGE_BYTES)
        self._hub.client_changed()
        client.on_credit(link)  # it may have come before our answer

    def cut(self, who: Identity, reason: Closing) -> None:
        """Detach the links of one identity; the others stay."""
        client = self._clients.pop(who, None)
        if client is None:
            return
        self._hub.note(f"detaching {who}: {reason.value}")
        for link in client.links.values():
            link.owner = None
            self._connection.session.detach(link, CONDITIONS[reason], reason.value)
        self._hub.disconnect(client)
        self._connection.flush_soon()

    def detached(self, client: AmqpClient, key: Key) -> None:
        """A link is gone, and with its last one its identity."""
        self._accepted.pop(client.links[key], None)
        client.forget(key)
        if not client.links:
            self._clients.pop(client.identity, None)
            self._hub.disconnect(client)

    def clear(self) -> None:
        """Nobody here is connected any longer; a second call does nothing."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            self._hub.disconnect(client)

    def write_answers(self) -> None:
        """Accept what was committed, in ranges."""
        accepted, self._accepted = self._accepted, {}
        for link, delivery_ids in accepted.items():
            self._connection.session.settle(link, delivery_ids, ACCEPTED)
            self._connection.session.grant(link, CREDIT)

    # What comes in

    def _reader(self, client: AmqpClient, key: Key) -> Take:
        """Who reads what the client sends on a link; where we send, nothing comes."""
        match key:
            case (Purpose.EVENTS, Role.RECEIVER):
                return partial(self._telemetry, TelemetryReader(client.identity))
            case (Purpose.TWIN, Role.RECEIVER):
                return partial(self._request, partial(self._twin_request, client))
            case (Purpose.METHODS, Role.RECEIVER):
                return partial(self._request, partial(self._method_answer, client))
            case _:
                return lambda _: None

    def _telemetry(self, reader: TelemetryReader, event: MessageReceived) -> None:
        link, delivery_id = event.link, event.delivery_id
        refusal = self._hub.faults.refusal
        if refusal is not None:
            self._hub.counters["messages refused on purpose"] += 1
            self._connection.session.settle(link, (delivery_id,), _REFUSED[refusal])
            self._connection.session.grant(link, CREDIT)
            return
        try:
            messages = reader.read(event.message_format, event.payload)
        except ProtocolError as error:
            self._reject(event, error)
            return
        size = len(event.payload) + _MESSAGE_BYTES * len(messages)
        self._unanswered += size
        if self._unanswered >= MAX_UNANSWERED_BYTES and not self._paused:
            self._paused = True
            self._connection.pause_reading()
        self._hub.receive_batch(messages, lambda kept: self._answered(link, delivery_id, size, kept=kept))

    def _answered(self, link: Link, delivery_id: int, size: int, *, kept: bool) -> None:
        self._unanswered -= size
        if self._paused and self._unanswered <= MAX_UNANSWERED_BYTES // 2:
            self._paused = False
            self._connection.resume_reading()
        if self._hub.faults.stalled or self._connection.session.dead:
            return
        if kept and self._hub.faults.loses_acknowledgement():
            return
        if kept:
            self._accepted.setdefault(link, []).append(delivery_id)
        else:
            self._connection.session.settle(link, (delivery_id,), _NOT_KEPT)
        self._connection.flush_soon()

    def _reject(self, event: MessageReceived, error: ProtocolError) -> None:
        """One transfer is refused, batch or not; its link stays."""
        condition = error.reply if isinstance(error.reply, Symbol) else conditions.ARGUMENT_ERROR
        self._hub.counters["messages refused: malformed"] += 1
        self._hub.note(f"refused a message on {event.link.address}: {error}")
        rejected = Rejected(Error(condition=condition, description=error.what))
        self._connection.session.settle(event.link, (event.delivery_id,), rejected)
        self._connection.session.grant(event.link, CREDIT)

    def _request(self, read: Take, event: MessageReceived) -> None:
        """A request to the twin or the answer to a method: accepted once it is understood."""
        try:
            read(event)
        except ProtocolError as error:
            self._reject(event, error)
            return
        self._connection.session.settle(event.link, (event.delivery_id,), ACCEPTED)
        self._connection.session.grant(event.link, CREDIT)

    def _method_answer(self, client: AmqpClient, event: MessageReceived) -> None:
        answer = read_answer(read_message(event.payload))
        if len(answer.payload) > MAX_METHOD_PAYLOAD_BYTES:
            what = f"the answer to a method has {len(answer.payload)} bytes; the limit is {MAX_METHOD_PAYLOAD_BYTES}"
            raise ProtocolError(what, reply=conditions.MESSAGE_SIZE_EXCEEDED, spec="iothub_wire §8")
        self._hub.method_answered(client.identity, answer.rid, hubs.MethodResult(answer.status, answer.payload))

    def _twin_request(self, client: AmqpClient, event: MessageReceived) -> None:
        request = read_request(read_message(event.payload))
        client.send_twin(write_answer(self._twin_answer(client, request)))

    def _twin_answer(self, client: AmqpClient, request: TwinRequest) -> TwinAnswer:
        to = request.correlation_id
        match request.operation:
            case TwinOperation.GET:
                document = orjson.dumps(self._hub.twin(client.identity).for_device())
                return TwinAnswer(correlation_id=to, status=200, document=document)
            case TwinOperation.SUBSCRIBE:
                client.wants_desired = True
                return TwinAnswer(correlation_id=to, status=200)
            case TwinOperation.UNSUBSCRIBE:
                client.wants_desired = False
                return TwinAnswer(correlation_id=to, status=200)
            case TwinOperation.REPORT:
                return self._report(client, request)

    def _report(self, client: AmqpClient, request: TwinRequest) -> TwinAnswer:
        try:
            version = self._hub.patch_reported(client.identity, request.patch)
        except TwinError as error:
            self._hub.note(f"twin patch of {client.identity} refused: {error.what}")
            body = orjson.dumps({"errorCode": error.status * 1000, "message": error.what})
            return TwinAnswer(correlation_id=request.correlation_id, status=error.status, document=body)
        return TwinAnswer(correlation_id=request.correlation_id, status=200, version=version)


def may_have(found: Address, role: Role) -> bool:
    """Whether an identity may have this link, whoever it is."""
    return serves(found.identity, (found.purpose, role))
