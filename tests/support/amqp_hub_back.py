"""What the hub in memory has for devices: messages that it keeps until they are settled, calls, twins.

A test puts messages and calls in, and reads what became of them. What is not settled when its link goes is the hub's
again, with its delivery count one higher, as in IoT Hub.
"""

import json
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from edgewire.codec.amqp.message import read_message
from edgewire.codec.amqp.performatives import Accepted, DeliveryState, Error, Rejected
from edgewire.iothub.amqp.addresses import Address, Purpose
from edgewire.iothub.amqp.devicebound import Notes, tag_of, write_devicebound
from edgewire.iothub.amqp.links import read_link_properties
from edgewire.iothub.amqp.methods import MethodAnswer, MethodCall, read_answer, write_call
from edgewire.iothub.amqp.twins import (
    DesiredChange,
    TwinAnswer,
    TwinOperation,
    TwinRequest,
    read_request,
    write_answer,
    write_change,
)
from edgewire.iothub.bag import Bag
from edgewire.message import Identity
from edgewire.session.amqp.events import DeliveryStateChanged, MessageReceived
from edgewire.session.amqp.link import Delivery, Link, Role

if TYPE_CHECKING:
    from support.amqp_hub import HubConnection


@dataclass(frozen=True, slots=True)
class Kept:
    """A message to a device that is not settled."""

    body: bytes
    message_id: str
    delivery_count: int = 0
    payload: bytes | None = None
    """Sent as it is, in place of a message that can be read."""


@dataclass(slots=True)
class Twin:
    """One device's twin, as small as tests allow."""

    reported: list[dict[str, Any]] = field(default_factory=list)
    version: int = 1


TwinJudge = Callable[[Identity, TwinRequest], int | None]
"""The status of the answer; None for no answer."""


def good(_who: Identity, request: TwinRequest) -> int | None:
    """Takes every request."""
    return 204 if request.operation is TwinOperation.REPORT else 200


@dataclass
class BackDesk:
    """The hub's side of all devices' links on which something comes down."""

    refused: dict[tuple[str, Purpose], Error] = field(default_factory=dict)
    silent: set[Purpose] = field(default_factory=set)
    """Links of these kinds are not answered."""
    credit: int = 100
    max_message_size: int | None = None
    twin_judge: TwinJudge = good
    queues: dict[Identity, deque[Kept]] = field(default_factory=dict)
    settled: list[tuple[Identity, bytes, str]] = field(default_factory=list)
    """Whose, its body, and accepted, rejected, or released."""
    answers: list[tuple[Identity, MethodAnswer]] = field(default_factory=list)
    requests: list[tuple[Identity, TwinRequest]] = field(default_factory=list)
    twins: dict[Identity, Twin] = field(default_factory=dict)
    pairs: dict[tuple[Identity, Purpose], list[str]] = field(default_factory=dict)
    """The channels that the links of a pair named."""
    attached: list[Address] = field(default_factory=list)
    links: dict[tuple[Identity, Purpose, Role], Link] = field(default_factory=dict)
    connection: "HubConnection | None" = None

    # What tests do.

    def keep(self, who: Identity, *bodies: bytes) -> None:
        """Messages for a device, which go as soon as there is credit."""
        queue = self.queues.setdefault(who, deque())
        queue.extend(Kept(body, str(uuid.uuid4())) for body in bodies)
        self.feed(who)

    def keep_raw(self, who: Identity, payload: bytes) -> None:
        """The same with what is no message."""
        self.queues.setdefault(who, deque()).append(Kept(payload, "raw", payload=payload))
        self.feed(who)

    def call(self, who: Identity, name: str, payload: bytes = b"{}") -> uuid.UUID:
        """Call a method."""
        rid = uuid.uuid4()
        self._send(who, Purpose.METHODS, write_call(MethodCall(rid=rid, name=name, payload=payload)))
        return rid

    def desire(self, who: Identity, **properties: Any) -> None:
        """Change the desired properties."""
        twin = self.twins.setdefault(who, Twin())
        twin.version += 1
        change = DesiredChange(json.dumps({**properties, "$version": twin.version}).encode())
        self._send(who, Purpose.TWIN, write_change(change))

    def operations(self, who: Identity) -> list[TwinOperation]:
        """What was asked of a twin."""
        return [request.operation for asked, request in self.requests if asked == who]

    def is_attached(self, who: Identity, purpose: Purpose) -> bool:
        """Whether the device has the link on which this comes down, with credit but for a window that is full."""
        link = self.links.get((who, purpose, Role.SENDER))
        return link is not None and link.attached and (purpose is Purpose.DEVICEBOUND or link.credit > 0)

    def detach(self, who: Identity, purpose: Purpose, condition: str | None = None) -> None:
        """End the link on which this comes down."""
        assert self.connection is not None
        link = self.links[who, purpose, Role.SENDER]
        self.connection.server.detach(link, condition, "told to")
        self.take_back(link)
        self.connection.pump.flush()

    # What the connection tells.

    def attach(self, connection: "HubConnection", link: Link, address: Address) -> None:
        """A device asks for a link."""
        self.connection = connection
        who, purpose = address
        self.attached.append(address)
        error = self.refused.get((who.device, purpose))
        if error is not None:
            connection.server.refuse_link(link, error.condition, error.description or "")
            return
        if purpose in self.silent:
            return
        channel = read_link_properties(link.properties).channel
        if channel:
            self.pairs.setdefault((who, purpose), []).append(channel)
        self.links[who, purpose, link.role] = link
        connection.server.accept_link(link, credit=self.credit, max_message_size=self.max_message_size)

    def on_credit(self, link: Link) -> None:
        """A device takes more."""
        for (who, purpose, _), one in list(self.links.items()):
            if one is link and purpose is Purpose.DEVICEBOUND:
                self.feed(who)

    def on_state(self, event: DeliveryStateChanged) -> None:
        """What became of a message to a device."""
        kept = event.delivery.owner
        if isinstance(kept, tuple):
            who, message = kept
            self._settle(who, message, event.state)

    def on_message(self, connection: "HubConnection", event: MessageReceived, address: Address) -> None:
        """An answer to a call, or a request to a twin."""
        connection.server.grant(event.link, self.credit)
        message = read_message(event.payload)
        if address.purpose is Purpose.METHODS:
            self.answers.append((address.identity, read_answer(message)))
        else:
            self._on_request(address.identity, read_request(message))

    def take_back(self, *links: Link) -> None:
        """These links are gone: what is not settled is the hub's again."""
        for link in links:
            for delivery in reversed(list(link.deliveries.values())):
                self._requeue(delivery)

    def on_gone(self, connection: "HubConnection") -> None:
        """A connection is gone."""
        if connection is self.connection:
            links, self.links = self.links, {}
            self.connection = None
            self.take_back(*links.values())

    def feed(self, who: Identity) -> None:
        """Send what a device has credit for."""
        queue, link = self.queues.get(who), self.links.get((who, Purpose.DEVICEBOUND, Role.SENDER))
        while queue and link is not None and self.connection is not None:
            message = replace(queue[0], delivery_count=queue[0].delivery_count + 1)
            lock = uuid.uuid4()
            payload = message.payload
            if payload is None:
                notes = Notes(lock_token=lock, delivery_count=message.delivery_count)
                payload = write_devicebound(Bag({}, {"messageId": message.message_id}), message.body, notes)
            delivery = self.connection.server.send(link, payload, tag=tag_of(lock))
            if delivery is None:
                return
            delivery.owner = (who, message)
            queue.popleft()
            self.connection.pump.flush()

    # Helpers.

    def _send(self, who: Identity, purpose: Purpose, payload: bytes) -> None:
        assert self.connection is not None
        link = self.links[who, purpose, Role.SENDER]
        sent = self.connection.server.send(link, payload, settled=True)
        # With credit left it is the link, its session or the connection that is over: asked, and gone in one write.
        assert sent is not None or link.credit
        self.connection.pump.flush()

    def _settle(self, who: Identity, message: Kept, state: DeliveryState | None) -> None:
        if isinstance(state, Accepted):
            how = "accepted"
        elif isinstance(state, Rejected):
            how = "rejected"
        else:
            how = "released"
            self.queues[who].appendleft(message)
        self.settled.append((who, message.body, how))
        self.feed(who)

    def _requeue(self, delivery: Delivery) -> None:
        if isinstance(delivery.owner, tuple):
            who, message = delivery.owner
            delivery.owner = None
            self.queues[who].appendleft(message)

    def _on_request(self, who: Identity, request: TwinRequest) -> None:
        self.requests.append((who, request))
        status = self.twin_judge(who, request)
        if status is None:
            return
        twin = self.twins.setdefault(who, Twin())
        document, version = b"", None
        if request.operation is TwinOperation.GET:
            sections = {"desired": {"$version": twin.version}, "reported": {"$version": 1 + len(twin.reported)}}
            document = json.dumps(sections).encode()
        elif request.operation is TwinOperation.REPORT and status < 300:
            twin.reported.append(json.loads(request.patch))
            version = 1 + len(twin.reported)
        answer = TwinAnswer(correlation_id=request.correlation_id, status=status, version=version, document=document)
        self._send(who, Purpose.TWIN, write_answer(answer))
