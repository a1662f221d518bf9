"""One device or module that has logged in over MQTT (iothub_wire.md §1.3 to §1.8)."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, assert_never

import orjson

from edgewire.codec.mqtt.packets import SubscribeFilter, Will
from edgewire.errors import ProtocolError
from edgewire.iothub.bag import read_bag, write_bag
from edgewire.iothub.limits import MAX_METHOD_PAYLOAD_BYTES, MAX_TOPIC_BYTES
from edgewire.iothub.messages import RETAINED, check_size, envelope_for
from edgewire.iothub.topics import (
    DesiredPatch,
    MethodCall,
    MethodResult,
    Request,
    Subscription,
    TwinGet,
    TwinReport,
    TwinResult,
    classify_filter,
    format_devicebound_topic,
    format_input_topic,
    format_push_topic,
    parse_events_topic,
    parse_request_topic,
)
from edgewire.message import Identity, Message, Properties
from edgewire.session.mqtt.events import (
    PublishReceived,
    ServerEvent,
    SubscribeReceived,
    UnsubscribeReceived,
)
from edgewire.session.mqtt.server import ServerSession
from edgewire.transport.pump import Pump
from standin import hub as hubs
from standin.devicebound import Locked
from standin.documents import JsonObject
from standin.errors import HubError
from standin.hub import Closing, Hub
from standin.inputs import Delivery
from standin.locked import Settlement
from standin.twins import TwinError

MAX_UNANSWERED: Final = 128
"""Publishes of one client whose commit is outstanding; reading stops there and goes on at half of it."""
REFUSED_FILTER: Final = 0x80
"""MQTT 3.1.1 §3.9.3. The cloud may close instead; which of both is not written down (iothub_wire.md §1.8)."""
WILL_MARK: Final[Properties] = {"iothub-MessageType": "Will"}
_NO_MARKS: Final[Properties] = {}


class _Acknowledgements:
    """PUBACKs in the order of the publishes, whatever is done first (MQTT-4.6.0-2)."""

    def __init__(self) -> None:
        self._expected: deque[list[int]] = deque()

    def expect(self, packet_id: int) -> list[int]:
        """Reserve the next place. Returns the ticket to hand to `done`."""
        ticket = [packet_id, 0]
        self._expected.append(ticket)
        return ticket

    def done(self, ticket: list[int]) -> list[int]:
        """The packet ids that are due now."""
        ticket[1] = 1
        due = []
        while self._expected and self._expected[0][1]:
            due.append(self._expected.popleft()[0])
        return due


def telemetry(sender: Identity, topic: str, payload: bytes, marks: Properties) -> Message:
    """The message in a publish of `sender`. Raises ProtocolError for whatever IoT Hub does not take."""
    found = parse_events_topic(topic)
    if found is None:
        raise ProtocolError(f"'{topic[:80]}' is no topic a device may publish to", spec="iothub_wire §1.3")
    if found.identity != sender:
        raise ProtocolError(f"{sender} published for {found.identity}", spec="iothub_wire §1.3")
    if "/" in found.bag:  # the gateway takes it; nobody has said that the hub does
        raise ProtocolError("the properties in the topic hold a '/'; write '%2F' for it", spec="iothub_wire §1.3")
    message = Message(envelope_for(sender, read_bag(found.bag), marks=marks), payload)
    check_size(message)
    return message


class MqttClient:
    """What one logged-in client may do, and what it is sent. Implements `hub.Client`."""

    def __init__(
        self, hub: Hub, session: ServerSession, pump: Pump[ServerEvent], who: Identity, *, clean: bool
    ) -> None:
        self._hub = hub
        self._session = session
        self._pump = pump
        self._who = who
        self._clean = clean
        self._filters: dict[str, int] = {}
        self._granted: dict[Subscription, int] = {}
        self._acknowledgements = _Acknowledgements()
        self._unanswered = 0
        self._paused = False
        self._sending_paused = False
        self._flushing = False
        self._sent: dict[int, Delivery | Locked] = {}
        self.ended = False
        """We have closed: what the peer sent behind that does not count, or its messages would change their order."""
        if not clean:
            self._restore(hub.session(who) or {})

    @property
    def identity(self) -> Identity:
        """Who this is."""
        return self._who

    # What the hub calls (hub.Client)

    def close(self, reason: Closing) -> None:
        """End the connection; MQTT 3.1.1 has no word for the reason (iothub_wire.md §1.1)."""
        self.ended = True
        self._hub.note(f"closing {self._who}: {reason.value}")
        self._pump.close()

    def abort(self) -> None:
        """End the connection as a cut cable does."""
        self.ended = True
        self._pump.abort()

    def send_desired(self, patch: JsonObject) -> None:
        """Notify of a desired patch, if the client subscribed to them."""
        if Subscription.TWIN_DESIRED in self._granted:
            self._push(format_push_topic(DesiredPatch(patch["$version"])), orjson.dumps(patch))

    def send_method(self, request_id: str, name: str, payload: bytes) -> bool:
        """Send a method request; False if the client has not subscribed to methods."""
        if Subscription.METHODS not in self._granted:
            return False
        self._push(format_push_topic(MethodCall(name, request_id)), payload)
        return True

    def send_inputs(self) -> None:
        """Send what waits for the module, as far as its window and its socket take it."""
        while Subscription.INPUTS in self._granted and not self._sending_paused and not self._session.dead:
            delivery = self._hub.inputs.take(self._who)
            if delivery is None or not self._send_input(delivery):
                break
        self._flush_soon()

    def send_devicebound(self) -> None:
        """Send the messages from the cloud, as far as its window and its socket take them."""
        while Subscription.DEVICEBOUND in self._granted and not self._sending_paused and not self._session.dead:
            message = None if self.ended else self._hub.lock_c2d(self._who, self)
            if message is None or not self._send_c2d(message):
                break
        self._flush_soon()

    # What the connection calls

    def publish_received(self, event: PublishReceived) -> None:
        """Telemetry, a twin request, or the answer to a method. Raises ProtocolError for anything else."""
        if self._hub.faults.stalled:
            self._hub.counters["messages swallowed while stalled"] += 1
            return
        request = parse_request_topic(event.topic)
        if request is None and self._hub.faults.refusal is not None:
            self._hub.counters["messages refused on purpose"] += 1
            self.close(Closing.THROTTLED)
            return
        done = self._expect(event)
        if request is not None:
            self._answer(request, event.payload)
            done(True)
            return
        marks = RETAINED if event.retain else _NO_MARKS
        self._hub.receive(telemetry(self._who, event.topic, event.payload, marks), done)

    def subscribe_received(self, event: SubscribeReceived) -> None:
        """Grant what is documented, refuse the rest."""
        if self._hub.faults.stalled:
            return
        self._session.grant(event.packet_id, [self._grant(each) for each in event.filters])
        self._subscriptions_changed()
        self.send_waiting()

    def unsubscribe_received(self, event: UnsubscribeReceived) -> None:
        """Forget these filters."""
        if self._hub.faults.stalled:
            return
        for each in event.filters:
            self._filters.pop(each, None)
        self._granted = _by_subscription(self._filters)
        self._session.confirm_unsubscribe(event.packet_id, [0] * len(event.filters))
        self._subscriptions_changed()

    def acknowledged(self, packet_id: int) -> None:
        """The client has this message; a packet id we do not wait for means nothing."""
        sent = self._sent.pop(packet_id, None)
        if isinstance(sent, Delivery):
            self._hub.settle(sent)
        elif sent is not None:
            self._complete(sent)
        if sent is not None:
            self.send_waiting()

    def send_waiting(self) -> None:
        """Send what waits for this client, whatever it is."""
        self.send_inputs()
        self.send_devicebound()

    def publish_will(self, will: Will) -> None:
        """The client is gone without a farewell: its will is a message like others."""
        marks = WILL_MARK if not will.retain else {**WILL_MARK, **RETAINED}
        self._hub.receive(telemetry(self._who, will.topic, will.payload, marks), lambda _: None)

    def sending_paused(self) -> None:
        """The peer reads slower than we send."""
        self._sending_paused = True

    def sending_resumed(self) -> None:
        """The peer has caught up."""
        self._sending_paused = False
        self.send_waiting()

    # Publishes

    def _expect(self, event: PublishReceived) -> Callable[[bool], None]:
        """Count the publish as unanswered. Returns what to call once it is kept, or is not."""
        ticket = self._acknowledgements.expect(event.packet_id)
        self._unanswered += 1
        if self._unanswered >= MAX_UNANSWERED and not self._paused:
            self._paused = True
            self._pump.pause_reading()
        return lambda kept: self._answered(ticket, kept=kept)

    def _answered(self, ticket: list[int], *, kept: bool) -> None:
        self._unanswered -= 1
        if not kept:
            self.close(Closing.NOT_KEPT)
            return
        due = [packet_id for packet_id in self._acknowledgements.done(ticket) if packet_id]
        due = [packet_id for packet_id in due if not self._hub.faults.loses_acknowledgement()]
        if self._hub.faults.stalled or self._session.dead:
            return
        if due:
            self._session.acknowledge_many(due)
            self._flush_soon()
        if self._paused and self._unanswered <= MAX_UNANSWERED // 2:
            self._paused = False
            self._pump.resume_reading()

    def _answer(self, request: Request, payload: bytes) -> None:
        match request:
            case TwinGet(rid):
                document = orjson.dumps(self._hub.twin(self._who).for_device())
                self._twin_result(TwinResult(200, rid), document)
            case TwinReport(rid):
                self._report(rid, payload)
            case MethodResult(status, rid):
                if len(payload) > MAX_METHOD_PAYLOAD_BYTES:
                    raise ProtocolError("the answer to a method is larger than 128 KiB", spec="iothub_wire §8")
                self._hub.method_answered(self._who, rid, hubs.MethodResult(status, payload))
            case _:
                assert_never(request)

    def _report(self, rid: str | None, payload: bytes) -> None:
        try:
            version = self._hub.patch_reported(self._who, payload)
        except TwinError as error:
            self._hub.note(f"twin patch of {self._who} refused: {error.what}")
            if rid is not None:
                # Node sees a failure only by this body; the others go by the status.
                body = {"errorCode": error.status * 1000, "message": error.what}
                self._twin_result(TwinResult(error.status, rid), orjson.dumps(body))
            return
        if rid is not None:
            self._twin_result(TwinResult(204, rid, version), b"")

    def _twin_result(self, result: TwinResult, payload: bytes) -> None:
        if Subscription.TWIN_RESULTS in self._granted:
            self._push(format_push_topic(result), payload)

    # Subscriptions

    def _grant(self, wanted: SubscribeFilter) -> int:
        """The granted QoS, or a refusal. No more than five filters are known, which is IoT Hub's limit too."""
        known = classify_filter(wanted.filter)
        if known is None or known.identity not in {None, self._who}:
            self._hub.note(f"{self._who} may not subscribe to {wanted.filter[:80]!r}")
            return REFUSED_FILTER
        granted = min(wanted.qos, 1)
        self._filters[wanted.filter] = granted
        self._granted[known.subscription] = granted
        return granted

    def _restore(self, filters: Mapping[str, int]) -> None:
        self._filters = dict(filters)
        self._granted = _by_subscription(filters)

    def _subscriptions_changed(self) -> None:
        if not self._clean:
            self._hub.store_session(self._who, dict(self._filters))
        self._hub.client_changed()

    # Sending

    def _send_input(self, delivery: Delivery) -> bool:
        """Send one input message; False, and it waits again, if the window is used up."""
        qos = self._granted[Subscription.INPUTS]
        bag = write_bag(delivery.properties, delivery.system)
        topic = format_input_topic(self._who.device, self._who.module or "", delivery.input, bag)
        if not self._fits(topic):
            self._hub.settle(delivery)
            return True
        packet_id = self._session.publish(topic, delivery.body, qos=qos)
        if packet_id is None:
            self._hub.inputs.put_back(delivery)
            return False
        if qos == 0:
            self._hub.settle(delivery)
        else:
            self._sent[packet_id] = delivery
        return True

    def _send_c2d(self, message: Locked) -> bool:
        """Send one message from the cloud; False, and it waits again, if the window is used up."""
        qos = self._granted[Subscription.DEVICEBOUND]
        topic = format_devicebound_topic(self._who.device, write_bag(message.properties, message.system))
        if not self._fits(topic):
            self._hub.settle_c2d(self._who, message.lock_token, Settlement.REJECTED)
            return True
        packet_id = self._session.publish(topic, message.body, qos=qos)
        if packet_id is None:
            self._hub.put_back_c2d(self._who, message.lock_token)
            return False
        if qos == 0:
            self._complete(message)
        else:
            self._sent[packet_id] = message
        return True

    def _fits(self, topic: str) -> bool:
        """Properties grow when they are escaped: a topic that cannot hold them would never be sent."""
        fits = len(topic) <= MAX_TOPIC_BYTES
        if not fits:
            self._hub.counters["messages larger than the peer takes"] += 1
        return fits

    def _complete(self, message: Locked) -> None:
        try:
            self._hub.settle_c2d(self._who, message.lock_token, Settlement.COMPLETED)
        except HubError:
            self._hub.counters["c2d settled too late"] += 1

    def _push(self, topic: str, payload: bytes) -> None:
        """Send at QoS 0, as IoT Hub sends methods: nothing of this is sent again on another connection."""
        self._session.publish(topic, payload, qos=0)
        self._flush_soon()

    def _flush_soon(self) -> None:
        """One write for all that is said in this turn of the loop."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._pump.flush()


def _by_subscription(filters: Mapping[str, int]) -> dict[Subscription, int]:
    granted: dict[Subscription, int] = {}
    for text, qos in filters.items():
        known = classify_filter(text)
        if known is not None:
            granted[known.subscription] = max(qos, granted.get(known.subscription, 0))
    return granted
