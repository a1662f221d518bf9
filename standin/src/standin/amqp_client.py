"""One device or module on an AMQP connection, which many may share (iothub_wire.md §2.3, §2.4, §2.5)."""

import uuid
from collections import deque
from typing import Final, Protocol

import orjson

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Symbol
from edgewire.codec.amqp.performatives import Accepted, DeliveryState, Received, Rejected
from edgewire.iothub.amqp import methods, twins
from edgewire.iothub.amqp.addresses import Purpose
from edgewire.iothub.amqp.devicebound import Notes, tag_of, write_devicebound
from edgewire.iothub.bag import Bag
from edgewire.message import Identity
from edgewire.session.amqp.link import Link, Role
from edgewire.session.amqp.server import AmqpServer
from standin.devicebound import Locked
from standin.documents import JsonObject
from standin.errors import HubError
from standin.hub import Closing, Hub
from standin.inputs import Delivery as InputDelivery
from standin.locked import Settlement

CONDITIONS: Final[dict[Closing, Symbol]] = {
    Closing.TAKEN_OVER: conditions.STOLEN,
    Closing.NO_LONGER_ALLOWED: conditions.UNAUTHORIZED_ACCESS,
    Closing.TOKEN_EXPIRED: conditions.UNAUTHORIZED_ACCESS,
    Closing.NOT_KEPT: conditions.DEVICE_CONTAINER_THROTTLED,
    Closing.THROTTLED: conditions.DEVICE_CONTAINER_THROTTLED,
    Closing.SHUT_DOWN: conditions.CONNECTION_FORCED,
}
"""What a peer is told; which of them IoT Hub gives for a second connection is not written down."""
MAX_TWIN_ANSWERS: Final = 100
"""Answers of the twin that wait for credit; whoever lets more come up loses its links."""

Key = tuple[Purpose, Role]
"""What an identity has one link for at a time."""

DIRECTIONS: Final[dict[Purpose, frozenset[Role]]] = {
    Purpose.EVENTS: frozenset({Role.RECEIVER}),
    Purpose.DEVICEBOUND: frozenset({Role.SENDER}),
    Purpose.METHODS: frozenset(Role),
    Purpose.TWIN: frozenset(Role),
}
"""Our end of the links that a device may have; a module receives on the address of its telemetry, too."""
_C2D: Final = (Purpose.DEVICEBOUND, Role.SENDER)
_INPUTS: Final = (Purpose.EVENTS, Role.SENDER)
_CALLS: Final = (Purpose.METHODS, Role.SENDER)
_TWIN: Final = (Purpose.TWIN, Role.SENDER)


def serves(who: Identity, key: Key) -> bool:
    """Whether there is such a link for this identity."""
    purpose, role = key
    if purpose is Purpose.DEVICEBOUND and who.module is not None:
        return False
    return role in DIRECTIONS[purpose] or (purpose is Purpose.EVENTS and who.module is not None)


class Connection(Protocol):
    """The connection as its clients see it."""

    @property
    def session(self) -> AmqpServer:
        """The engine."""

    @property
    def is_choked(self) -> bool:
        """The peer reads slower than we send."""

    def cut(self, who: Identity, reason: Closing) -> None:
        """Detach the links of one identity; the others stay."""

    def abort(self) -> None:
        """End the connection as a cut cable does."""

    def flush_soon(self) -> None:
        """Write what the session has to say, once for this turn of the loop."""


class AmqpClient:
    """What the hub knows of one identity on a connection, and what it is sent. Implements `hub.Client`."""

    def __init__(self, hub: Hub, connection: Connection, who: Identity) -> None:
        self._hub = hub
        self._connection = connection
        self._who = who
        self._twin_answers: deque[bytes] = deque()
        self.links: dict[Key, Link] = {}
        self.wants_desired = False
        """It has asked to be told of changes of its desired properties."""

    @property
    def identity(self) -> Identity:
        """Who this is."""
        return self._who

    # What the hub calls (hub.Client)

    def close(self, reason: Closing) -> None:
        """Detach its links; its neighbours on the connection stay."""
        self._connection.cut(self._who, reason)

    def abort(self) -> None:
        """End the connection as a cut cable does: there is no smaller way to do that."""
        self._connection.abort()

    def send_desired(self, patch: JsonObject) -> None:
        """Notify of a desired patch, if the client has asked for them."""
        if self.wants_desired and _TWIN in self.links:
            self.send_twin(twins.write_change(twins.DesiredChange(orjson.dumps(patch))))

    def send_method(self, request_id: str, name: str, payload: bytes) -> bool:
        """Send a method request, settled; False if the client takes none now."""
        link = self.links.get(_CALLS)
        if link is None or (Purpose.METHODS, Role.RECEIVER) not in self.links:
            return False
        call = methods.write_call(methods.MethodCall(rid=uuid.UUID(request_id), name=name, payload=payload))
        sent = self._fits(link, call) and self._connection.session.send(link, call, settled=True) is not None
        self._connection.flush_soon()
        return sent

    def send_inputs(self) -> None:
        """Send what waits for the module, as far as there is credit."""
        link = self.links.get(_INPUTS)
        while link is not None and link.credit and not self._connection.is_choked:
            delivery = self._hub.inputs.take(self._who)
            if delivery is None or not self._send_input(link, delivery):
                break
        self._connection.flush_soon()

    def send_devicebound(self) -> None:
        """Send the messages from the cloud, as far as there is credit."""
        link = self.links.get(_C2D)
        while link is not None and link.credit and not self._connection.is_choked:
            message = self._hub.lock_c2d(self._who, self)
            if message is None or not self._send_c2d(link, message):
                break
        self._connection.flush_soon()

    # What its links call

    def on_credit(self, link: Link) -> None:
        """The peer takes more on this link."""
        if link is self.links.get(_C2D):
            self.send_devicebound()
        elif link is self.links.get(_INPUTS):
            self.send_inputs()
        elif link is self.links.get(_TWIN):
            self._send_twin_answers()
        elif link is self.links.get(_CALLS):
            self._hub.client_changed()

    def settle(self, sent: object, state: DeliveryState | None) -> None:
        """What the client has made of a message it was sent."""
        if isinstance(state, Received):
            return  # on the way, and no outcome yet: AMQP 1.0 §3.4.1
        if isinstance(sent, InputDelivery):
            if isinstance(state, Accepted | Rejected):
                self._hub.settle(sent)
            else:
                self._hub.inputs.put_back(sent)
            self.send_inputs()
        elif isinstance(sent, Locked):
            try:
                self._hub.settle_c2d(self._who, sent.lock_token, _settlement(state))
            except HubError:
                self._hub.counters["c2d settled too late"] += 1
            self.send_devicebound()

    def send_twin(self, payload: bytes) -> None:
        """Send an answer of the twin or a change of it, once there is credit."""
        self._twin_answers.append(payload)
        self._send_twin_answers()
        if len(self._twin_answers) > MAX_TWIN_ANSWERS:
            self._hub.counters["closed: twin answers not taken"] += 1
            self._connection.cut(self._who, Closing.THROTTLED)

    def forget(self, key: Key) -> None:
        """One of its links is gone."""
        del self.links[key]
        if key == _TWIN:
            self._twin_answers.clear()
            self.wants_desired = False
        elif key == _C2D:
            self._hub.release_c2d(self._who, self)
        elif key == _INPUTS:
            self._hub.inputs.release(self._who)

    # Sending

    def _send_c2d(self, link: Link, message: Locked) -> bool:
        notes = Notes(
            lock_token=message.lock_token,
            sequence_number=message.sequence_number,
            enqueued_at_ms=int(message.enqueued_at * 1000),
            delivery_count=message.delivery_count,
        )
        payload = write_devicebound(Bag(message.properties, message.system), message.body, notes)
        if not self._fits(link, payload):
            self._hub.settle_c2d(self._who, message.lock_token, Settlement.REJECTED)
            return True
        delivery = self._connection.session.send(link, payload, tag=tag_of(message.lock_token))
        if delivery is None:
            self._hub.put_back_c2d(self._who, message.lock_token)
            return False
        delivery.owner = message
        return True

    def _send_input(self, link: Link, message: InputDelivery) -> bool:
        notes = Notes(lock_token=uuid.uuid4(), input_name=message.input)
        payload = write_devicebound(Bag(message.properties, message.system), message.body, notes)
        if not self._fits(link, payload):
            self._hub.settle(message)
            return True
        delivery = self._connection.session.send(link, payload)
        if delivery is None:
            self._hub.inputs.put_back(message)
            return False
        delivery.owner = message
        return True

    def _send_twin_answers(self) -> None:
        link = self.links.get(_TWIN)
        while link is not None and self._twin_answers:
            payload = self._twin_answers[0]
            if self._fits(link, payload) and self._connection.session.send(link, payload, settled=True) is None:
                break
            self._twin_answers.popleft()
        self._connection.flush_soon()

    def _fits(self, link: Link, payload: bytes) -> bool:
        """What is larger than the peer takes on this link could never be sent there."""
        fits = not link.peer_max_message_size or len(payload) <= link.peer_max_message_size
        if not fits:
            self._hub.counters["messages larger than the peer takes"] += 1
        return fits


def _settlement(state: DeliveryState | None) -> Settlement:
    """Accepted completes, rejected rejects, all else gives back (iothub_wire.md §2.3)."""
    if isinstance(state, Accepted):
        return Settlement.COMPLETED
    return Settlement.REJECTED if isinstance(state, Rejected) else Settlement.ABANDONED
