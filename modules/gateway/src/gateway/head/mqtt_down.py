"""What comes down to one MQTT connection: messages from the cloud, and calls of methods.

A message is settled by its PUBACK, or, with QoS 0, by having been written to the socket; MQTT 3 has no word for
"rejected". Whatever is not settled when the connection ends is the hub's again, which sends it as a new message: the
same packet identifier and DUP, which MQTT has for that, belong to a sender with a memory of its own, and we have none.
Spec: edgehub.md §4.5, §4.8, iothub_wire.md §1.4, §1.7.
"""

from collections.abc import Callable, Mapping
from typing import Final

from edgewire.codec.mqtt.reasons import FAILURE
from edgewire.iothub.bag import write_bag
from edgewire.iothub.limits import MAX_TOPIC_BYTES
from edgewire.iothub.topics import (
    MethodCall,
    Subscription,
    format_devicebound_topic,
    format_push_topic,
)
from edgewire.message import Identity
from edgewire.session.mqtt.events import ServerEvent
from edgewire.session.mqtt.server import ServerSession
from edgewire.transport.pump import Pump
from gateway.dispatch.delivery import MAX_WINDOW, CloudMessage, Delivery, Parcel, Settlement
from gateway.dispatch.methods import MethodError, MethodFault, Methods
from gateway.observe.events import Event
from gateway.observe.head import CloudMessageRefused

QOS_PROPERTY: Final = "mqtt-qos"
"""An application property with which a message lowers its own quality of service. Spec: edgehub.md §4.5."""


class Downlink:
    """Takes what dispatch has for `who` to its connection, from `listen` to `leave`.

    receive_maximum: QoS 1 messages that the device takes unacknowledged.
    """

    __slots__ = (
        "_delivery",
        "_emit",
        "_methods",
        "_paused",
        "_pump",
        "_qos",
        "_session",
        "_unacknowledged",
        "_unwritten",
        "_waiting",
        "_who",
        "_window",
    )

    def __init__(
        self,
        who: Identity,
        session: ServerSession,
        pump: Pump[ServerEvent],
        *,
        delivery: Delivery,
        methods: Methods,
        emit: Callable[[Event], None],
        receive_maximum: int,
    ) -> None:
        self._who = who
        self._session = session
        self._pump = pump
        self._delivery = delivery
        self._methods = methods
        self._emit = emit
        self._window = min(MAX_WINDOW, receive_maximum)
        self._qos = 0
        self._unacknowledged: dict[int, Parcel] = {}
        self._waiting: list[Parcel] = []
        """For which no packet identifier is free: those of messages that are the hub's again are still in use."""
        self._unwritten: list[Parcel] = []
        """With QoS 0, while the device reads slower than we send."""
        self._paused = False

    # What the connection calls.

    def listen(self, kinds: Mapping[Subscription, int]) -> None:
        """The device has subscribed these, and nothing else."""
        qos = kinds.get(Subscription.DEVICEBOUND)
        if qos is None:
            self._delivery.unsubscribe(self._who, self)
        else:
            self._qos = qos
            self._delivery.subscribe(self._who, self, self._window)
        if Subscription.METHODS in kinds:
            self._methods.subscribe(self._who, self)
        else:
            self._methods.unsubscribe(self._who, self)

    def leave(self) -> None:
        """The connection ends: nothing is taken any more."""
        self._waiting.clear()
        self.listen({})

    def on_acknowledged(self, packet_id: int, reason: int) -> None:
        """The device's PUBACK. An MQTT 5 client may say no by its reason (MQTT 5 §3.4.2.1)."""
        parcel = self._unacknowledged.pop(packet_id, None)
        if parcel is not None:
            parcel.settle(Settlement.COMPLETED if reason < FAILURE else Settlement.REJECTED)
        self._send_waiting()

    def on_sending_paused(self) -> None:
        """The device reads slower than we send: what is written now may wait long."""
        self._paused = True

    def on_sending_resumed(self) -> None:
        """The socket has taken nearly all of it."""
        self._paused = False
        unwritten, self._unwritten = self._unwritten, []
        for parcel in unwritten:
            parcel.settle(Settlement.COMPLETED)

    # What dispatch calls.

    def deliver(self, parcel: Parcel) -> None:
        """Publish a message from the cloud."""
        if self._waiting or not self._send(parcel):
            self._waiting = [each for each in self._waiting if each.open]
            self._waiting.append(parcel)

    def call(self, rid: str, name: str, payload: bytes) -> bool:
        """Publish a call of a method, once: it is not repeated, so QoS 0, as from the hub."""
        sent = self._session.publish(format_push_topic(MethodCall(name, rid)), payload, qos=0)
        self._pump.flush()
        if sent is None and not self._session.dead:  # no window counts with QoS 0: it is the size
            what = f"the call, with a payload of {len(payload)} bytes, is larger than '{self._who}' takes"
            raise MethodError(MethodFault.TOO_LARGE, what)
        return sent is not None

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
        message = parcel.message
        # Bags are ASCII, ids are too.
        topic = format_devicebound_topic(self._who.device, _bag(self._who, message))
        if len(topic) > MAX_TOPIC_BYTES:
            self._refuse(parcel, f"its properties take a topic of {len(topic)} bytes; the limit is {MAX_TOPIC_BYTES}")
            return True
        qos = 0 if message.bag.properties.get(QOS_PROPERTY) == "0" else self._qos
        if self._session.dead or (qos and not self._session.window):
            return False
        packet_id = self._session.publish(topic, message.body, qos=qos, content_type=_content_type(message))
        if packet_id is None:
            size = len(message.body)
            self._refuse(parcel, f"with a body of {size} bytes it is larger than the device takes")
            return True
        if packet_id:
            self._unacknowledged[packet_id] = parcel
        self._pump.flush()
        if not packet_id:
            self._on_written(parcel)
        return True

    def _on_written(self, parcel: Parcel) -> None:
        if self._paused:
            self._unwritten = [each for each in self._unwritten if each.open]
            self._unwritten.append(parcel)
        else:
            parcel.settle(Settlement.COMPLETED)

    def _refuse(self, parcel: Parcel, why: str) -> None:
        message_id = parcel.message.bag.system.get("messageId", "")
        self._emit(CloudMessageRefused(str(self._who), message_id, why))
        parcel.settle(Settlement.REJECTED)


def _content_type(message: CloudMessage) -> str | None:
    """What MQTT 5 can say of it beside the topic, which says it in any case. Spec: MQTT 5 §1.5.4."""
    said = message.bag.system.get("contentType")
    return said if said and said.isprintable() else None


def _bag(who: Identity, message: CloudMessage) -> str:
    """The bag of a message's topic: the official clients look for where it is sent to."""
    system = {"to": f"/devices/{who.device}/messages/devicebound", **message.bag.system}
    return write_bag(message.bag.properties, system)
