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
from gateway.dispatch.methods import Methods
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
        self.listen({})

    def on_acknowledged(self, packet_id: int, reason: int) -> None:
        """The device's PUBACK. An MQTT 5 client may say no by its reason (MQTT 5 §3.4.2.1)."""
        parcel = self._unacknowledged.pop(packet_id, None)
        if parcel is not None:
            parcel.settle(Settlement.COMPLETED if reason < FAILURE else Settlement.REJECTED)

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
        message = parcel.message
        topic = format_devicebound_topic(self._who.device, _bag(self._who, message))
        # Bags are ASCII, ids are too.
        if len(topic) > MAX_TOPIC_BYTES:
            self._refuse(
                parcel, f"its properties take a topic of {len(topic)} bytes, of {MAX_TOPIC_BYTES} that are possible"
            )
            return
        qos = 0 if message.bag.properties.get(QOS_PROPERTY) == "0" else self._qos
        packet_id = self._session.publish(
            topic, message.body, qos=qos, content_type=message.bag.system.get("contentType")
        )
        if packet_id is None:
            self._on_unsent(parcel)
        elif packet_id:
            self._unacknowledged[packet_id] = parcel
            self._pump.flush()
        else:
            self._pump.flush()
            self._on_written(parcel)

    def call(self, rid: str, name: str, payload: bytes) -> bool:
        """Publish a call of a method, once: it is not repeated, so QoS 0, as from the hub."""
        sent = self._session.publish(format_push_topic(MethodCall(name, rid)), payload, qos=0)
        self._pump.flush()
        return sent is not None

    def _on_unsent(self, parcel: Parcel) -> None:
        """A connection that ends leaves its messages to `leave`; else the packet is too large for this client."""
        if not self._session.dead:
            size = len(parcel.message.body)
            self._refuse(parcel, f"with a body of {size} bytes it is larger than the device said it takes")

    def _on_written(self, parcel: Parcel) -> None:
        if self._paused:
            self._unwritten.append(parcel)
        else:
            parcel.settle(Settlement.COMPLETED)

    def _refuse(self, parcel: Parcel, why: str) -> None:
        message_id = parcel.message.bag.system.get("messageId", "")
        self._emit(CloudMessageRefused(str(self._who), message_id, why))
        parcel.settle(Settlement.REJECTED)


def _bag(who: Identity, message: CloudMessage) -> str:
    """The bag of a message's topic: the official clients look for where it is sent to."""
    system = {"to": f"/devices/{who.device}/messages/devicebound", **message.bag.system}
    return write_bag(message.bag.properties, system)
