"""Why a CONNECT is turned down, and how each version of MQTT says so."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from edgewire.codec.mqtt.reasons import ReasonCode


class Refusal(Enum):
    """Why a connection is refused."""

    UNSUPPORTED_VERSION = "unsupported version"
    BAD_CLIENT_ID = "bad client id"
    BAD_CREDENTIALS = "bad credentials"
    NOT_AUTHORIZED = "not authorized"
    BANNED = "banned"
    BAD_AUTHENTICATION_METHOD = "bad authentication method"
    BAD_TOPIC = "bad topic"
    """Of the will: a topic that this client may not publish to."""
    PACKET_TOO_LARGE = "packet too large"
    """Of the will: a message that is larger than the hub takes."""
    SERVER_UNAVAILABLE = "server unavailable"
    SERVER_BUSY = "server busy"
    QUOTA_EXCEEDED = "quota exceeded"
    CONNECTION_RATE_EXCEEDED = "connection rate exceeded"
    USE_ANOTHER_SERVER = "use another server"
    UNSPECIFIED = "unspecified"


RETURN_CODES: Final[Mapping[Refusal, int]] = {
    Refusal.UNSUPPORTED_VERSION: 1,
    Refusal.BAD_CLIENT_ID: 2,
    Refusal.SERVER_UNAVAILABLE: 3,
    Refusal.SERVER_BUSY: 3,
    Refusal.QUOTA_EXCEEDED: 3,
    Refusal.CONNECTION_RATE_EXCEEDED: 3,
    Refusal.USE_ANOTHER_SERVER: 3,
    Refusal.UNSPECIFIED: 3,
    Refusal.BAD_CREDENTIALS: 4,
    Refusal.NOT_AUTHORIZED: 5,
    Refusal.BANNED: 5,
    Refusal.BAD_AUTHENTICATION_METHOD: 5,
    Refusal.BAD_TOPIC: 5,
    Refusal.PACKET_TOO_LARGE: 5,
}
"""CONNACK in MQTT 3: 3 asks to come again later, 4 and 5 to change something first. Spec: MQTT 3.1.1 §3.2.2.3."""

REASON_CODES: Final[Mapping[Refusal, ReasonCode]] = {
    Refusal.UNSUPPORTED_VERSION: ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
    Refusal.BAD_CLIENT_ID: ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
    Refusal.BAD_CREDENTIALS: ReasonCode.BAD_USER_NAME_OR_PASSWORD,
    Refusal.NOT_AUTHORIZED: ReasonCode.NOT_AUTHORIZED,
    Refusal.BANNED: ReasonCode.BANNED,
    Refusal.BAD_AUTHENTICATION_METHOD: ReasonCode.BAD_AUTHENTICATION_METHOD,
    Refusal.BAD_TOPIC: ReasonCode.TOPIC_NAME_INVALID,
    Refusal.PACKET_TOO_LARGE: ReasonCode.PACKET_TOO_LARGE,
    Refusal.SERVER_UNAVAILABLE: ReasonCode.SERVER_UNAVAILABLE,
    Refusal.SERVER_BUSY: ReasonCode.SERVER_BUSY,
    Refusal.QUOTA_EXCEEDED: ReasonCode.QUOTA_EXCEEDED,
    Refusal.CONNECTION_RATE_EXCEEDED: ReasonCode.CONNECTION_RATE_EXCEEDED,
    Refusal.USE_ANOTHER_SERVER: ReasonCode.USE_ANOTHER_SERVER,
    Refusal.UNSPECIFIED: ReasonCode.UNSPECIFIED_ERROR,
}
"""CONNACK in MQTT 5. Spec: MQTT 5 §3.2.2.2."""


def connack_code(refusal: Refusal, level: int) -> int:
    """The code for CONNACK in this level's words."""
    return REASON_CODES[refusal] if level >= 5 else RETURN_CODES[refusal]
