"""The codes that MQTT has for our reasons: of CONNACK, of PUBACK, and of our own goodbyes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.session.mqtt.server import Refusal
from gateway.dispatch.presence import Ending
from gateway.identity.credentials import RefusalReason
from gateway.observe.head import Leaving, RefusedMessage

REFUSALS: Final[Mapping[RefusalReason, Refusal]] = MappingProxyType(
    {
        RefusalReason.MALFORMED_USERNAME: Refusal.BAD_CREDENTIALS,
        RefusalReason.UPSTREAM_AWAY: Refusal.SERVER_UNAVAILABLE,
        RefusalReason.GROUP_FULL: Refusal.QUOTA_EXCEEDED,
        RefusalReason.FOREIGN_WILL: Refusal.BAD_TOPIC,
    }
)
"""All other reasons look the same from outside: not authorized."""

PUBACK_REASONS: Final[Mapping[RefusedMessage, ReasonCode]] = MappingProxyType(
    {
        RefusedMessage.FOREIGN_DEVICE: ReasonCode.NOT_AUTHORIZED,
        RefusedMessage.UNKNOWN_TOPIC: ReasonCode.TOPIC_NAME_INVALID,
        RefusedMessage.MALFORMED_PROPERTIES: ReasonCode.TOPIC_NAME_INVALID,
        RefusedMessage.TOO_LARGE: ReasonCode.QUOTA_EXCEEDED,
        RefusedMessage.OVER_LIMIT: ReasonCode.QUOTA_EXCEEDED,
        RefusedMessage.STORE_FULL: ReasonCode.QUOTA_EXCEEDED,
        RefusedMessage.STORE_FAILED: ReasonCode.UNSPECIFIED_ERROR,
    }
)
"""Spec: MQTT 5 §3.4.2.1. The same codes stand in DISCONNECT (§3.14.2.1), which answers what has no PUBACK."""

GOODBYES: Final[Mapping[Ending, tuple[Leaving, ReasonCode]]] = MappingProxyType(
    {
        Ending.TAKEN_OVER: (Leaving.TAKEN_OVER, ReasonCode.SESSION_TAKEN_OVER),
        Ending.TOKEN_EXPIRED: (Leaving.TOKEN_EXPIRED, ReasonCode.MAXIMUM_CONNECT_TIME),
        Ending.CREDENTIALS_CHANGED: (Leaving.CREDENTIALS_CHANGED, ReasonCode.NOT_AUTHORIZED),
        Ending.SHUTDOWN: (Leaving.SHUTDOWN, ReasonCode.SERVER_SHUTTING_DOWN),
    }
)
