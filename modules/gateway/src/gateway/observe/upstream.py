"""Events of the way upstream: links, what was forwarded, what was not, direct methods."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from edgewire.message import EndpointKind
from gateway.observe.events import Event, Level


class LinkFault(Enum):
    """Why a link could not be built, or was lost."""

    UNREACHABLE = "unreachable"
    """No route, refused, or the name is unknown."""
    TIMED_OUT = "timed_out"
    """The other end took the connection, or the request, and said nothing."""
    CREDENTIALS = "credentials"
    """It refused our identity."""
    CERTIFICATE = "certificate"
    """Its certificate is not signed by the trust bundle, or is for another name."""
    ENVIRONMENT = "environment"
    """What IoT Edge gives to a module is missing here."""
    DROPPED = "dropped"
    """It was up, and the other end closed it."""
    STALLED = "stalled"
    """It was up, and nothing was acknowledged for too long."""
    SEND_FAILED = "send_failed"
    """It was up, and did not take a message."""
    OTHER = "other"


class LinkKind(Enum):
    """Whose link it is."""

    MODULE = "module"
    """The gateway's own, as a module."""
    DEVICES = "devices"
    """The one that carries the devices' own identities."""


class DeviceWay(Enum):
    """What becomes of the messages of a device that is not let in upstream."""

    AS_MODULE = "as_module"
    """They leave as the gateway's module, with the device's id in a property."""
    WAITING = "waiting"
    """They wait here: there is no module."""


class BackKind(Enum):
    """What comes down for a device."""

    MESSAGES = "messages"
    METHODS = "methods"
    TWINS = "twins"


class MethodResult(Enum):
    """How a call of a direct method ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


_WHAT = {
    BackKind.MESSAGES: "messages to the device",
    BackKind.METHODS: "calls of its direct methods",
    BackKind.TWINS: "its twin",
}
_WHOSE = {LinkKind.MODULE: "", LinkKind.DEVICES: " on behalf of devices"}


@dataclass(frozen=True, slots=True)
class LinkUp(Event):
    """The link to edgeHub, or to the hub, stands."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_upstream_connects_total"

    took_s: float
    kind: LinkKind = LinkKind.MODULE

    def sentence(self) -> str:
        """What a person reads in the log."""
        whose = _WHOSE[self.kind]
        return f"connected upstream{whose} after {self.took_s:.1f} s"


@dataclass(frozen=True, slots=True)
class LinkLost(Event):
    """The link stood and does not any more. What was in flight is sent again."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_upstream_drops_total"
    LABELS: ClassVar[tuple[str, ...]] = ("fault",)

    fault: LinkFault
    reason: str
    in_flight: int
    kind: LinkKind = LinkKind.MODULE

    def sentence(self) -> str:
        """What a person reads in the log."""
        whose = _WHOSE[self.kind]
        return f"link upstream{whose} lost: {self.reason}. {self.in_flight} messages in flight will be sent again"


@dataclass(frozen=True, slots=True)
class LinkTryFailed(Event):
    """A try to connect failed; the next one comes after a back-off."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_upstream_failed_connects_total"
    LABELS: ClassVar[tuple[str, ...]] = ("fault",)

    fault: LinkFault
    reason: str
    failures: int
    delay_s: float
    kind: LinkKind = LinkKind.MODULE

    def sentence(self) -> str:
        """What a person reads in the log."""
        whose = _WHOSE[self.kind]
        return f"cannot connect upstream{whose} (try {self.failures}): {self.reason}. Next try in {self.delay_s:.1f} s"


@dataclass(frozen=True, slots=True)
class LinkRenewed(Event):
    """The link was closed and built anew with nothing in flight, because its token comes to its end."""

    METRIC: ClassVar[str] = "gateway_upstream_renewals_total"

    in_flight: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"link upstream renewed before its token expires, with {self.in_flight} messages in flight"


@dataclass(frozen=True, slots=True)
class LinkAbandoned(Event):
    """The SDK did not shut a link down in time. Its threads are left to themselves and a new link is built."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_upstream_abandoned_links_total"

    waited_s: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the SDK did not shut down its link within {self.waited_s:.0f} s; it is left to itself and a new one is "
            "built. Nothing is lost; if this comes often, please report it"
        )


@dataclass(frozen=True, slots=True)
class MessagesForwarded(Event):
    """Messages that the other end has acknowledged."""

    METRIC: ClassVar[str] = "gateway_forwarded_messages_total"
    LABELS: ClassVar[tuple[str, ...]] = ("endpoint_kind",)

    endpoint_kind: EndpointKind
    endpoint: str
    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} messages forwarded to {self.endpoint}"


@dataclass(frozen=True, slots=True)
class MessageRejected(Event):
    """A message that the other end will never take. It leaves the store."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_rejected_messages_total"
    LABELS: ClassVar[tuple[str, ...]] = ("endpoint_kind",)

    endpoint_kind: EndpointKind
    endpoint: str
    entry_id: str
    sender: str
    reason: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"message {self.entry_id} of '{self.sender}' to {self.endpoint} is lost: {self.reason}. "
            "Sending it again would end the same way, so it leaves the store"
        )


@dataclass(frozen=True, slots=True)
class ForwardingPaused(Event):
    """An endpoint did not take messages; its forwarder waits, and then resumes from the lowest unacknowledged."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_forwarding_pauses_total"
    LABELS: ClassVar[tuple[str, ...]] = ("endpoint_kind",)

    endpoint_kind: EndpointKind
    endpoint: str
    reason: str
    released: int
    delay_s: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"{self.endpoint} did not take {self.released} messages: {self.reason}. They stay in the store and are "
            f"sent again in {self.delay_s:.1f} s"
        )


@dataclass(frozen=True, slots=True)
class DeviceRefusedUpstream(Event):
    """edgeHub or the hub does not let a device in, or there is no token for it. Said once until it is let in again."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_upstream_refused_devices_total"
    LABELS: ClassVar[tuple[str, ...]] = ("way",)

    device: str
    reason: str
    way: DeviceWay

    def sentence(self) -> str:
        """What a person reads in the log."""
        then = {
            DeviceWay.AS_MODULE: "Its messages leave as the gateway's module meanwhile, its id in leafDeviceId",
            DeviceWay.WAITING: "Its messages wait here until it is, or until their time to live ends",
        }[self.way]
        return (
            f"'{self.device}' is not let in upstream: {self.reason}. {then}. Check that it is registered and enabled "
            "at the hub, as a child of this edge device, and that its key in devices.json is the hub's"
        )


@dataclass(frozen=True, slots=True)
class DeviceWaitsUpstream(Event):
    """edgeHub or the hub does not take a device's messages now, several times in a row; all others go on."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_upstream_waiting_devices_total"

    device: str
    reason: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"messages of '{self.device}' wait: {self.reason}. They are tried again, later each time"


@dataclass(frozen=True, slots=True)
class DeviceAdmittedUpstream(Event):
    """A device that was refused upstream, or waited, is let in again."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_upstream_readmitted_devices_total"

    device: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"'{self.device}' is let in upstream again"


@dataclass(frozen=True, slots=True)
class MethodCalled(Event):
    """Someone called a direct method of the gateway."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_called_methods_total"
    LABELS: ClassVar[tuple[str, ...]] = ("result",)

    result: MethodResult
    name: str
    status: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"direct method '{self.name}' called: {self.result.value}, status {self.status}"


@dataclass(frozen=True, slots=True)
class BackRefused(Event):
    """What the cloud has for a device cannot come down. Said once until it can."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_back_refused_total"
    LABELS: ClassVar[tuple[str, ...]] = ("kind",)

    kind: BackKind
    device: str
    reason: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"{_WHAT[self.kind]} cannot come down for '{self.device}': {self.reason}. It is tried again, later each "
            "time. Check that the device is registered and enabled at the hub, as a child of this edge device, and "
            "that its key in devices.json is the hub's"
        )


@dataclass(frozen=True, slots=True)
class BackRestored(Event):
    """What could not come down for a device can again."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_back_restored_total"
    LABELS: ClassVar[tuple[str, ...]] = ("kind",)

    kind: BackKind
    device: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{_WHAT[self.kind]} can come down for '{self.device}' again"


@dataclass(frozen=True, slots=True)
class DevicesWithoutPlace(Event):
    """More devices listen than the connection upstream has places for. Said again every ten minutes."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_back_crowded_total"

    devices: int
    longest: tuple[str, ...]
    places: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        names = ", ".join(f"'{name}'" for name in self.longest)
        more = self.devices - len(self.longest)
        who = f"{names} and {more} more" if more else names
        return (
            f"{who} listen and have no place on the connection upstream, which has {self.places} for those who do: "
            "messages, calls of methods and changes of twins do not reach them until others leave. Their telemetry "
            "goes on. Move some to another gateway"
        )


@dataclass(frozen=True, slots=True)
class UnreadableFromCloud(Event):
    """The cloud sent something for a device that cannot be read. A message is rejected, the rest is left out."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_back_unreadable_total"
    LABELS: ClassVar[tuple[str, ...]] = ("kind",)

    kind: BackKind
    device: str
    what: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"something from the cloud for '{self.device}' ({self.kind.value}) cannot be read: {self.what}"
