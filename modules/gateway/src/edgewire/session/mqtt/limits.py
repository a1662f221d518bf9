"""All that a peer can grow or ask of an MQTT server, by name."""

from dataclasses import dataclass
from typing import Final

from edgewire.codec.mqtt.properties import PropertyLimits
from edgewire.codec.mqtt.wire import MAX_VARINT

IOT_HUB_MESSAGE_BYTES: Final = 262_144
"""IoT Hub's largest device-to-cloud message, body and properties."""

ENVELOPE_BYTES: Final = 65_536 + 16
"""Room for the longest topic there is (a property bag is part of it) and for the fixed header."""

DEVICE_PROPERTIES: Final = PropertyLimits(max_bytes=16_384, max_user_properties=128)
"""Properties of a message stand for a property bag, of which IoT Hub's devices have some tens in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What one connection may send, hold and ask for.

    levels: protocol levels taken: 3 (MQTT 3.1), 4 (3.1.1), 5. The rest is told so in CONNACK.
    bridge_bit: whether mosquitto's mark of a bridge (bit 7 of the level byte) is taken. Its bridges set it unless told
        otherwise, and fall back to plain 4 when it is refused.
    connect_timeout_s: for the first packet; after it a silent peer is cut.
    keep_alive_ceiling_s: the longest silence that is borne, whatever the client asked for, 0 ("never") included. IoT
        Hub's own is 29.45 minutes; without one, connections that a NAT has forgotten stay for ever.
    max_connect_bytes: for CONNECT, which comes before we know who asks: a will of 64 KiB and its topic, and room for
        a user name, a token and properties.
    max_early_bytes: what may wait behind a CONNECT that is not answered yet. One read of our transport: a client that
        sends on at once, as it may (MQTT 3.1.1 §3.1.4), must not lose its connection over it.
    max_packet_bytes: for any other packet, fixed header included: IoT Hub's largest message and its topic.
    receive_maximum: QoS 1 messages of an MQTT 5 client that are not acknowledged yet; one more ends the connection
        (MQTT5-3.3.4-7). Group commits need many in flight: at 20 ms per sync, 1,000 allow 50,000 a second. MQTT 3 has
        no such rule; there the owner stops reading (`ServerSession.unacknowledged`).
    max_sent_packet_bytes: for a packet of ours; for clients that have no way to say how little they take. What is
        longer is not sent, as with an MQTT 5 client's own maximum.
    max_inflight: QoS 1 messages of ours that are not acknowledged yet; also bounded by the peer's own maximum.
    topic_alias_maximum: aliases an MQTT 5 client may set; each holds one topic. IoT Hub's preview gave 10.
    max_filters: filters in one SUBSCRIBE or UNSUBSCRIBE. Five subscriptions are all that IoT Hub knows.
    max_filter_chars: the length of one filter as text. The longest that means anything here is two ids of 128
        characters and some 40 more.
    max_session_expiry_s: how long a session outlives its connection. Nothing waits longer in IoT Hub than 48 hours.
    min_peer_packet_bytes: a client that takes only smaller packets is refused (0x95): not even CONNACK would fit.
    properties: how much an MQTT 5 packet may carry in properties.
    wildcard_subscriptions, shared_subscriptions, subscription_identifiers: whether SUBSCRIBE of MQTT 5 may use them;
        CONNACK says so. What IoT Hub has is wildcards.
    """

    levels: frozenset[int] = frozenset({3, 4, 5})
    bridge_bit: bool = True
    connect_timeout_s: float = 10.0
    keep_alive_ceiling_s: int = 1767
    max_connect_bytes: int = 147_456
    max_early_bytes: int = 262_144
    max_packet_bytes: int = IOT_HUB_MESSAGE_BYTES + ENVELOPE_BYTES
    receive_maximum: int = 1_000
    max_sent_packet_bytes: int = MAX_VARINT
    max_inflight: int = 100
    topic_alias_maximum: int = 10
    max_filters: int = 64
    max_filter_chars: int = 1_024
    max_session_expiry_s: int = 48 * 3_600
    min_peer_packet_bytes: int = 64
    properties: PropertyLimits = DEVICE_PROPERTIES
    wildcard_subscriptions: bool = True
    shared_subscriptions: bool = False
    subscription_identifiers: bool = False
