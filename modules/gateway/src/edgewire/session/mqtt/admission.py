"""What a server takes of a CONNECT or a SUBSCRIBE, and what it tells the client of its limits. Pure functions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from edgewire.codec.mqtt.connect import Protocol
from edgewire.codec.mqtt.packets import Connect, Subscribe, Will
from edgewire.codec.mqtt.properties import ConnackProperties, ConnectProperties
from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.codec.mqtt.topics import has_wildcard, is_shared
from edgewire.codec.mqtt.wire import MAX_VARINT
from edgewire.errors import ProtocolError, UsageError
from edgewire.session.mqtt.events import ConnectReceived
from edgewire.session.mqtt.limits import ServerLimits

MAX_QOS: Final = 1
"""IoT Hub knows no QoS 2: it closes on it, and says so beforehand to who can hear it (MQTT 5 §3.2.2.3.4)."""

_DEFAULT_RECEIVE_MAXIMUM: Final = 65_535
_NOTHING_SAID: Final = ConnectProperties()


def speaks(protocol: Protocol, limits: ServerLimits) -> bool:
    """Whether we take this version."""
    return protocol.exists and protocol.level in limits.levels and (limits.bridge_bit or not protocol.bridge)


def answer_level(protocol: Protocol, limits: ServerLimits) -> int:
    """In which version's words to refuse a version that we do not take.

    A server of MQTT 5 tells later versions in MQTT 5's words (MQTT5-3.1.2-2); whoever speaks 3.1.1 alone answers return
    code 1 to all (MQTT311-3.1.2-2), which clients of MQTT 5 know as a reason to try an older one.
    """
    return 5 if protocol.level >= 5 and 5 in limits.levels and not protocol.bridge else 4


def unsupported(protocol: Protocol) -> ProtocolError:
    """The error for a version that we do not take."""
    bit = " with the bridge bit" if protocol.bridge else ""
    what = f"level {protocol.level}{bit} of {protocol.name}, which is not taken here"
    return ProtocolError(what, reply=ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, spec="MQTT5-3.1.2-2, MQTT311-3.1.2-2")


def peer_max_bytes(connect: Connect) -> int:
    """The largest packet that the client takes."""
    return (connect.properties or _NOTHING_SAID).maximum_packet_size or MAX_VARINT


def check(connect: Connect, limits: ServerLimits) -> None:
    """Refuse what this server does not do for a client of MQTT 5."""
    if connect.properties is None:
        return
    if peer_max_bytes(connect) < limits.min_peer_packet_bytes:
        what = f"a client that takes no packets over {peer_max_bytes(connect)} bytes"
        raise ProtocolError(what, reply=ReasonCode.PACKET_TOO_LARGE, spec="MQTT5-3.1.2-24")
    if connect.properties.authentication_method is not None:
        what = "an authentication method, where there is none"
        raise ProtocolError(what, reply=ReasonCode.BAD_AUTHENTICATION_METHOD, spec="MQTT5 §4.12")
    if connect.will is not None and connect.will.qos > MAX_QOS:
        raise ProtocolError("a will with QoS 2", reply=ReasonCode.QOS_NOT_SUPPORTED, spec="MQTT5-3.2.2-12")


def session_expiry_s(connect: Connect, limits: ServerLimits) -> int:
    """How long an MQTT 5 client's session outlives its connection."""
    return min((connect.properties or _NOTHING_SAID).session_expiry_s or 0, limits.max_session_expiry_s)


def kept_will(connect: Connect, limits: ServerLimits) -> Will | None:
    """The will as it is kept.

    QoS 2 becomes 1 in MQTT 3, which has no way to tell a client beforehand: the will arrives, perhaps twice, where
    a refusal without a reason would keep the client away for good. It waits no longer than its session lives
    (MQTT5-3.1.2-8).
    """
    will = connect.will
    if will is None:
        return None
    if will.qos > MAX_QOS:
        will = replace(will, qos=MAX_QOS)
    longest_s = session_expiry_s(connect, limits)
    if will.properties is not None and will.delay_s > longest_s:
        will = replace(will, properties=replace(will.properties, will_delay_s=longest_s))
    return will


def connect_received(connect: Connect, limits: ServerLimits) -> ConnectReceived:
    """The event for this CONNECT."""
    properties = connect.properties or _NOTHING_SAID
    return ConnectReceived(
        client_id=connect.client_id,
        username=connect.username,
        password=connect.password,
        level=connect.level,
        bridge=connect.bridge,
        clean_start=connect.clean_start,
        keep_alive_s=connect.keep_alive_s,
        will=kept_will(connect, limits),
        session_expiry_s=session_expiry_s(connect, limits) if connect.level == 5 else None,
        receive_maximum=properties.receive_maximum or _DEFAULT_RECEIVE_MAXIMUM,
        maximum_packet_size=properties.maximum_packet_size,
        topic_alias_maximum=properties.topic_alias_maximum or 0,
        request_response_information=properties.request_response_information or False,
        user_properties=properties.user_properties,
    )


def watch(asked_s: int, limits: ServerLimits) -> tuple[float, int | None]:
    """How long the client may be silent, and the keep-alive to tell it where that is not what it asked for.

    Half as long again as the keep-alive (MQTT311-3.1.2-24, MQTT5-3.1.2-22), and never beyond the ceiling.
    """
    ceiling_s = limits.keep_alive_ceiling_s
    if asked_s and 1.5 * asked_s <= ceiling_s:
        return 1.5 * asked_s, None
    return ceiling_s, min(ceiling_s * 2 // 3, 0xFFFF)


def connack_properties(
    connect: Connect, limits: ServerLimits, keep_alive_s: int | None, assigned_client_id: str | None
) -> ConnackProperties:
    """What the client must know of our limits; what is as MQTT 5 presumes is left out.

    Retain Available is left at its default, yes: a retained message is taken like any other and carries a mark
    upstream, as in IoT Hub, while "no" would forbid such messages and wills altogether (MQTT5-3.2.2-13, -14).
    """
    if not connect.client_id and not assigned_client_id:
        raise UsageError("a client without an identifier must be given one (MQTT5-3.1.3-7)")
    asked_s = (connect.properties or _NOTHING_SAID).session_expiry_s or 0
    given_s = session_expiry_s(connect, limits)
    return ConnackProperties(
        session_expiry_s=None if asked_s == given_s else given_s,
        receive_maximum=limits.receive_maximum if limits.receive_maximum < _DEFAULT_RECEIVE_MAXIMUM else None,
        maximum_qos=MAX_QOS,
        maximum_packet_size=limits.max_packet_bytes,
        assigned_client_id=assigned_client_id,
        topic_alias_maximum=limits.topic_alias_maximum or None,
        wildcard_subscription_available=None if limits.wildcard_subscriptions else False,
        subscription_identifiers_available=None if limits.subscription_identifiers else False,
        shared_subscription_available=None if limits.shared_subscriptions else False,
        server_keep_alive_s=keep_alive_s,
    )


def check_filters(filters: Sequence[str], limits: ServerLimits) -> None:
    """Refuse more or longer filters than anybody needs."""
    if len(filters) > limits.max_filters:
        what = f"{len(filters)} filters in one packet, where {limits.max_filters} are the most"
        raise ProtocolError(what, reply=ReasonCode.QUOTA_EXCEEDED, spec="MQTT5 §4.13")
    if any(len(one) > limits.max_filter_chars for one in filters):
        what = f"a topic filter of more than {limits.max_filter_chars} characters"
        raise ProtocolError(what, reply=ReasonCode.TOPIC_FILTER_INVALID, spec="MQTT5 §4.13")


def check_subscription(packet: Subscribe, limits: ServerLimits) -> None:
    """Refuse what CONNACK has told an MQTT 5 client is not available. Spec: MQTT 5 §3.2.2.3.11 to §3.2.2.3.13."""
    filters = [one.filter for one in packet.filters]
    numbered = packet.properties is not None and packet.properties.subscription_identifier is not None
    if numbered and not limits.subscription_identifiers:
        reply, what = ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED, "a subscription identifier"
    elif not limits.shared_subscriptions and any(map(is_shared, filters)):
        reply, what = ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, "a shared subscription"
    elif not limits.wildcard_subscriptions and any(map(has_wildcard, filters)):
        reply, what = ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, "a wildcard subscription"
    else:
        return
    raise ProtocolError(f"{what}, which is not available", reply=reply, spec="MQTT5 §3.2.2.3")
