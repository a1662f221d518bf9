"""What a listener tells its caller besides what owners hear. Reasons are closed sets, fit for labels of counters."""

from dataclasses import dataclass
from enum import Enum


class TurnedAwayReason(Enum):
    """Why a connection was closed before its handshakes."""

    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_MANY_HANDSHAKES = "too_many_handshakes"
    """Its address has too many connections with unfinished handshakes, all of them young."""
    DISPLACED = "displaced"
    """It did not finish its handshake in time to keep its place from a newer one of its address."""


class HandshakeFailure(Enum):
    """Why a TLS or WebSocket handshake failed."""

    NOT_TLS = "not_tls"
    """The peer spoke something else, most often plain MQTT or HTTP, to a TLS port."""
    TLS_VERSION = "tls_version"
    TLS_CIPHER = "tls_cipher"
    CERTIFICATE_REFUSED = "certificate_refused"
    """The peer ended the handshake by an alert; nearly always it does not trust our certificate."""
    TLS_MALFORMED = "tls_malformed"
    TIMEOUT = "timeout"
    LOST = "lost"
    """The peer went away."""
    NOT_HTTP = "not_http"
    NOT_AN_UPGRADE = "not_an_upgrade"
    """A plain HTTP request where only WebSocket is served."""
    BAD_UPGRADE = "bad_upgrade"
    NO_SUBPROTOCOL = "no_subprotocol"
    """The peer asked for no sub-protocol that is served here."""
    HEAD_TOO_LARGE = "head_too_large"


class CutReason(Enum):
    """Why we cut a connection that was past its handshakes."""

    NOT_READING = "not_reading"
    """The peer did not read what we sent, up to the limit."""
    TLS_BROKEN = "tls_broken"
    WEBSOCKET_BROKEN = "websocket_broken"
    """The peer broke RFC 6455, or sent text."""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A connection was closed before its handshakes."""

    address: str
    reason: TurnedAwayReason


@dataclass(frozen=True, slots=True)
class HandshakeFailed:
    """A TLS or WebSocket handshake failed; `detail` is for a person and may hold text of the TLS library."""

    address: str
    reason: HandshakeFailure
    detail: str


@dataclass(frozen=True, slots=True)
class ConnectionCut:
    """We cut an established connection because of what the transport saw."""

    address: str
    reason: CutReason
    detail: str


@dataclass(frozen=True, slots=True)
class AcceptFailed:
    """The system refused to accept, most often for want of file descriptors; tried again after a rest."""

    detail: str


Report = TurnedAway | HandshakeFailed | ConnectionCut | AcceptFailed
