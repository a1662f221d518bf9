"""Endpoints that the settings name: what is said of one there, and what its connection string says."""

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

MAX_CONNECTION_STRING_CHARS: Final = 4_096
"""One of Event Hubs has some 200; a file that is something else is not read whole."""

_HOST: Final = re.compile(r"sb://([A-Za-z0-9.-]+)(?::\d+)?/?", re.IGNORECASE)
_FIELDS: Final = {
    name.lower(): name
    for name in ("Endpoint", "SharedAccessKeyName", "SharedAccessKey", "SharedAccessSignature", "EntityPath")
}


class EndpointType(Enum):
    """What an endpoint is."""

    EVENT_HUB = "eventhub"
    KAFKA = "kafka"


class EndpointTransport(Enum):
    """How an Event Hub is reached."""

    AMQP = "amqp"
    """AMQP over TLS, port 5671."""
    WEBSOCKET = "websocket"
    """The same through a WebSocket, port 443."""


class KafkaLogin(Enum):
    """How the gateway proves who it is at a Kafka broker."""

    PLAIN = "plain"
    """SASL PLAIN; Event Hubs' Kafka port takes this and no other."""
    SCRAM_256 = "scram-sha-256"
    SCRAM_512 = "scram-sha-512"
    NONE = "none"
    """Not at all; nor is anything encrypted, unless a CA is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """One endpoint as the settings describe it; secrets are never among them.

    `event_hub`: empty where the connection string names it. `secret`: the file of the connection string, a name in the
    folder of secrets. `host`: where to connect instead of the connection string's host. `authorities`: the file of the
    CA certificates for it, a name in that folder too; empty for the system's. `servers`, `topic` and `login` are of a
    Kafka endpoint alone, as `event_hub`, `transport` and `host` are of an Event Hub.
    """

    name: str
    type: EndpointType = EndpointType.EVENT_HUB
    event_hub: str = ""
    secret: str = ""
    transport: EndpointTransport = EndpointTransport.AMQP
    host: str = ""
    authorities: str = ""
    servers: tuple[str, ...] = ()
    topic: str = ""
    login: KafkaLogin = KafkaLogin.PLAIN


class AccessError(Exception):
    """A connection string that cannot be used; the text says why, and holds no part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHubAccess:
    """What a connection string says: either a key with its policy's name, or a token."""

    host: str
    event_hub: str
    policy: str = ""
    key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


def read_connection_string(text: str, event_hub: str = "") -> EventHubAccess:
    """What the connection string of an Event Hub, or of a namespace, says. `event_hub`: what the settings name.

    Raises AccessError.
    """
    if len(text) > MAX_CONNECTION_STRING_CHARS:
        raise AccessError(f"it has more than {MAX_CONNECTION_STRING_CHARS} characters: this is no connection string")
    said = _fields_of(text.strip())
    host = _HOST.fullmatch(said.get("Endpoint", ""))
    if host is None:
        raise AccessError("its Endpoint is missing or not of the form sb://<namespace>.servicebus.windows.net/")
    named = said.get("EntityPath", "")
    if event_hub and named and event_hub.lower() != named.lower():
        raise AccessError(f"its EntityPath is '{named}' and the settings say eventHub '{event_hub}'")
    if not event_hub and not named:
        raise AccessError("it has no EntityPath, and the settings have no eventHub: nothing says which Event Hub")
    return _with_proof(said, host[1], event_hub or named)


def _fields_of(text: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.strip().partition("=")
        known = _FIELDS.get(name.lower())
        if known is not None and equals:
            said[known] = value
        elif part.strip():
            what = "UseDevelopmentEmulator is without TLS" if name.lower() == "usedevelopmentemulator" else "it has a "
            raise AccessError(
                what if what.endswith("TLS") else f"{what}field that is none of {', '.join(_FIELDS.values())}"
            )
    return said


def _with_proof(said: dict[str, str], host: str, event_hub: str) -> EventHubAccess:
    policy, key, token = (
        said.get(name, "") for name in ("SharedAccessKeyName", "SharedAccessKey", "SharedAccessSignature")
    )
    if token and not (policy or key):
        return EventHubAccess(host=host, event_hub=event_hub, token=token)
    if not policy or not key or token:
        raise AccessError("it needs SharedAccessKeyName and SharedAccessKey, or a SharedAccessSignature alone")
    return EventHubAccess(host=host, event_hub=event_hub, policy=policy, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAccess:
    """Who the gateway is at a Kafka broker."""

    user: str
    password: str = field(repr=False)


_EVENT_HUBS_USER: Final = "$ConnectionString"


def read_kafka_login(text: str) -> KafkaAccess:
    """User and password, `user:password`; or an Event Hubs connection string, which is the password there.

    Raises AccessError.
    """
    line = text.strip()
    if line.lower().startswith("endpoint=sb://"):
        _fields_of(line)
        return KafkaAccess(user=_EVENT_HUBS_USER, password=line)
    user, colon, password = line.partition(":")
    if not user or not colon or not password or "\n" in line:
        raise AccessError("it is neither user:password in one line nor a connection string of Event Hubs")
    return KafkaAccess(user=user, password=password)
