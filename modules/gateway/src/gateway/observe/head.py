"""Events of the heads: who came, who was refused, what was refused of those who came."""

from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import ClassVar

from gateway.observe.events import Event, Level


class Leaving(Enum):
    """How a connection of a device ended."""

    GOODBYE = "goodbye"
    LOST = "lost"
    SILENT = "keep_alive_timeout"
    PROTOCOL_ERROR = "protocol_error"
    REFUSED_MESSAGE = "refused_message"
    TAKEN_OVER = "taken_over"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 — a reason, no secret
    CREDENTIALS_CHANGED = "credentials_changed"
    SHUTDOWN = "shutdown"


class RefusedMessage(Enum):
    """Why a message of an authenticated device was refused."""

    FOREIGN_DEVICE = "foreign_device"
    UNKNOWN_TOPIC = "unknown_topic"
    MALFORMED_PROPERTIES = "malformed_properties"
    MALFORMED_MESSAGE = "malformed_message"
    TOO_LARGE = "too_large"
    OVER_LIMIT = "over_limit"
    """More than the section `limits` of the settings allows the device, whose policy is to refuse."""
    STORE_FULL = "store_full"
    STORE_FAILED = "store_failed"


class ClosedBeforeLogin(Enum):
    """Why a connection ended before anybody had said who it is; most are the transport's own reasons."""

    TOO_MANY = "too_many_connections"
    NOT_TLS = "not_tls"
    TLS_VERSION = "tls_version"
    TLS_CIPHER = "tls_cipher"
    CERTIFICATE_REFUSED = "certificate_refused"
    TLS_MALFORMED = "tls_malformed"
    TIMEOUT = "timeout"
    LOST = "lost"
    NOT_HTTP = "not_http"
    NOT_AN_UPGRADE = "not_an_upgrade"
    BAD_UPGRADE = "bad_upgrade"
    NO_SUBPROTOCOL = "no_subprotocol"
    HEAD_TOO_LARGE = "head_too_large"
    LOOP = "loop"


class Cut(Enum):
    """Why the transport cut an established connection."""

    NOT_READING = "not_reading"
    TLS_BROKEN = "tls_broken"
    WEBSOCKET_BROKEN = "websocket_broken"


@dataclass(frozen=True, slots=True)
class DeviceConnected(Event):
    """A device or module logged in."""

    METRIC: ClassVar[str] = "gateway_connected_devices_total"

    identity: str
    address: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"'{self.identity}' connected from {self.address}"


@dataclass(frozen=True, slots=True)
class DeviceDisconnected(Event):
    """A connection of a device or module ended."""

    METRIC: ClassVar[str] = "gateway_disconnected_devices_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    identity: str
    reason: Leaving
    detail: str = ""

    def sentence(self) -> str:
        """What a person reads in the log."""
        detail = f": {self.detail}" if self.detail else ""
        return f"'{self.identity}' disconnected ({self.reason.value.replace('_', ' ')}){detail}"


@dataclass(frozen=True, slots=True)
class MessageRefused(Event):
    """A message was refused; it was not acknowledged."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_messages_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    identity: str
    reason: RefusedMessage
    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"a message of '{self.identity}' was refused, not acknowledged: {self.detail}"


@dataclass(frozen=True, slots=True)
class CloudMessageRefused(Event):
    """A message from the cloud cannot be brought to its device, now or later; the hub is told that it is rejected."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_undeliverable_cloud_messages_total"

    identity: str
    message_id: str
    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"message '{self.message_id}' to '{self.identity}' was rejected: {self.detail}"


class RefusedFilter(Enum):
    """Why a subscription of an authenticated device was refused."""

    FOREIGN_DEVICE = "foreign_device"
    UNKNOWN_FILTER = "unknown_filter"


@dataclass(frozen=True, slots=True)
class SubscriptionRefused(Event):
    """A filter was refused: another device's, or none that IoT Hub knows. The device stays connected."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_subscriptions_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    identity: str
    reason: RefusedFilter
    filter: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        why = "that is another's" if self.reason is RefusedFilter.FOREIGN_DEVICE else "no filter that IoT Hub knows"
        return f"a subscription of '{self.identity}' to '{self.filter[:200]}' was refused: {why}"


class RefusedLink(Enum):
    """Why a link of AMQP was refused, credentials aside."""

    UNKNOWN_ADDRESS = "unknown_address"
    """No address of a device or module, or not one for this direction."""
    FOREIGN_DEVICE = "foreign_device"
    """Another identity than the one that logged in by SASL PLAIN."""
    MALFORMED_PROPERTIES = "malformed_properties"
    TOO_MANY = "too_many"
    """More identities than one connection may have."""


@dataclass(frozen=True, slots=True)
class LinkRefused(Event):
    """A link of AMQP was refused, not for want of credentials. The connection and its other links stay."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_links_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    address: str
    reason: RefusedLink
    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"a link that {self.address} asked for was refused: {self.detail}"


class HttpAction(Enum):
    """What a request over HTTPS asked for."""

    SEND = "send"
    RECEIVE = "receive"
    SETTLE = "settle"
    INVOKE = "invoke"
    PROVISION = "provision"
    """A device registers with the provisioning service."""
    BOOTSTRAP = "bootstrap"
    """First contact of a board, or its question for the time."""
    FIRMWARE = "firmware"
    """A board asks for the manifest of its firmware, or a piece of an image."""
    PUBLISH = "publish"
    """A publisher sends in Event Hubs' form."""
    MINT = "mint"
    """A board without a clock asks for a token, or for a nonce to prove itself with."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class HttpRequestsAnswered(Event):
    """Requests over HTTPS that were answered, by what they asked for and the status of the answer."""

    METRIC: ClassVar[str] = "gateway_http_requests_total"
    LABELS: ClassVar[tuple[str, ...]] = ("action", "status")

    action: HttpAction
    status: HTTPStatus
    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} requests over HTTPS to {self.action.value} were answered with {self.status.value}"


class RefusedRequest(Enum):
    """Why a request over HTTPS was refused, credentials and messages aside."""

    UNKNOWN_PATH = "unknown_path"
    MALFORMED = "malformed"
    """Ids, versions, lock tokens or headers that are none; a method that the path does not have."""
    FOREIGN_CALLER = "foreign_caller"
    """A method call by who is no module of this edge device."""
    ALREADY_LISTENING = "already_listening"
    """A poll for a device that gets its messages by another connection."""
    TOO_MANY = "too_many"
    """More at once than one sender, or all together, may have."""


@dataclass(frozen=True, slots=True)
class RequestRefused(Event):
    """A request over HTTPS was refused, not for want of credentials."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_requests_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    address: str
    reason: RefusedRequest
    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        why = self.reason.value.replace("_", " ")
        return f"a request over HTTPS from {self.address} was refused ({why}): {self.detail}"


@dataclass(frozen=True, slots=True)
class ProtocolBroken(Event):
    """A peer broke the protocol, and its connection was ended. `identity` is empty before the login."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_broken_protocols_total"

    identity: str
    address: str
    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        who = f"'{self.identity}'" if self.identity else "a connection"
        when = "" if self.identity else " before its login"
        return f"{who} from {self.address} broke the protocol{when} and was ended: {self.detail}"


@dataclass(frozen=True, slots=True)
class BridgeStateIgnored(Event):
    """A broker's bridge announced itself on $SYS/broker/connection/…; acknowledged and dropped, it is no telemetry."""

    METRIC: ClassVar[str] = "gateway_ignored_bridge_states_total"

    identity: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"'{self.identity}' is a broker's bridge and announced its state; that is no telemetry and was dropped"


@dataclass(frozen=True, slots=True)
class ConnectionRefused(Event):
    """A connection ended before a login."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_connections_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    reason: ClosedBeforeLogin
    address: str
    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"a connection from {self.address} was closed before its login: {self.detail}"


@dataclass(frozen=True, slots=True)
class ConnectionCrashed(Event):
    """Our own fault in one connection; that connection was ended, the others were not disturbed."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_crashed_connections_total"

    address: str
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"a fault of ours ended one connection from {self.address}: {self.error}. Please report this"


@dataclass(frozen=True, slots=True)
class SessionsNotStored(Event):
    """Subscriptions of devices could not be written; they live in memory and are written with the next change."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unstored_sessions_total"

    count: int
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the subscriptions of {self.count} sessions could not be written ({self.error}): they hold until the "
            "gateway restarts and are written with the next change. Check the space in the data folder"
        )


@dataclass(frozen=True, slots=True)
class SessionsSetAside(Event):
    """The file of subscriptions could not be understood; it was set aside and a new one begun."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_set_aside_session_files_total"

    path: str
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the file of devices' subscriptions could not be understood ({self.error}) and is now {self.path}; delete "
            "it when done with. Devices are told that they have no session, and have to subscribe again: restart the "
            "programs of those that do not (docs/devices.md, 'Without its session'). Check the disk"
        )


class TwinCut(Enum):
    """What became of something about a twin that is larger than its device takes."""

    REPORTED_LEFT_OUT = "reported_left_out"
    REFUSED = "refused"
    CHANGE_NOT_TOLD = "change_not_told"


@dataclass(frozen=True, slots=True)
class TwinTooLarge(Event):
    """A twin, or a change of it, is larger than its device takes: it was cut, refused with 413, or not told."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_oversize_twins_total"
    LABELS: ClassVar[tuple[str, ...]] = ("cut",)

    cut: TwinCut
    identity: str
    size: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        became = {
            TwinCut.REPORTED_LEFT_OUT: "the device got its desired properties alone",
            TwinCut.REFUSED: "the device was answered 413",
            TwinCut.CHANGE_NOT_TOLD: "the device was not told of this change, and sees it when it reads its twin next",
        }
        return (
            f"{self.size} bytes of the twin of '{self.identity}' are more than it takes: {became[self.cut]}. Take "
            "properties out of the twin, or let the device take more: GATEWAY_CONSTRAINED_MAX_PACKET for a small "
            "board, Maximum Packet Size in MQTT 5"
        )


@dataclass(frozen=True, slots=True)
class ConnectionWasCut(Event):
    """An established connection was cut because of what the transport saw."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_cut_connections_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    reason: Cut
    address: str
    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"a connection from {self.address} was cut ({self.reason.value.replace('_', ' ')}): {self.detail}"


@dataclass(frozen=True, slots=True)
class AcceptingPaused(Event):
    """The system could not take a connection, most often for want of file descriptors; tried again in a second."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_paused_accepts_total"

    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"new connections wait: {self.detail}. Raise the limit of open files (ulimit -n) for the container"
