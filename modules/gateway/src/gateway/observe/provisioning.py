"""Events of provisioning: who asked through the gateway, what became of it, and whether the service is there."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class ProvisioningRefusal(Enum):
    """Why a request to the provisioning service was not passed on, or was refused there."""

    MALFORMED = "malformed"
    """A user name, client id, path, topic or document that is none of provisioning."""
    NO_TOKEN = "no_token"  # noqa: S105 - a reason, no password
    CERTIFICATE = "certificate"
    """It proves itself by a certificate, which cannot be shown to the service in its place."""
    MALFORMED_TOKEN = "malformed_token"  # noqa: S105 - a reason, no password
    FOREIGN_TOKEN = "foreign_token"  # noqa: S105 - a reason, no password
    """The token is for another scope or registration."""
    EXPIRED = "expired"
    FOREIGN_REGISTRATION = "foreign_registration"
    """The document, the client id or the path names another registration than the login."""
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
    """More at once, or in a short time, than one registration, one address or all together may ask."""
    SERVICE = "service"
    """The service refused it."""


_ADVICE = {
    ProvisioningRefusal.MALFORMED: "it has no form that a provisioning client sends",
    ProvisioningRefusal.NO_TOKEN: "it sent no token",
    ProvisioningRefusal.CERTIFICATE: (
        "it came with a certificate, which the gateway cannot show to the service in its place; enrol it by a "
        "symmetric key, or let it reach the service itself"
    ),
    ProvisioningRefusal.MALFORMED_TOKEN: "its token is not well formed; `gateway sas inspect` says where",
    ProvisioningRefusal.FOREIGN_TOKEN: "its token is for another scope or registration",
    ProvisioningRefusal.EXPIRED: "its token has expired; check the clock of the device and of this machine",
    ProvisioningRefusal.FOREIGN_REGISTRATION: "it names another registration than the one it came as",
    ProvisioningRefusal.TOO_LARGE: "its request is too large",
    ProvisioningRefusal.TOO_MANY: "it, its address or all together ask more often than they may",
    ProvisioningRefusal.SERVICE: "the provisioning service refused it; check its enrolment and its key there",
}


@dataclass(frozen=True, slots=True)
class ProvisioningRefused(Event):
    """A device that wanted to register was refused, here or by the provisioning service."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_registrations_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    registration: str
    """As it calls itself: nothing of it may have been proven."""
    address: str
    reason: ProvisioningRefusal
    detail: str = ""

    def sentence(self) -> str:
        """What a person reads in the log."""
        detail = f" ({_shown(self.detail)})" if self.detail else ""
        return f"'{_shown(self.registration)}' from {self.address} did not register: {_ADVICE[self.reason]}{detail}"


class AnsweredBy(Enum):
    """Who gave an assignment."""

    SERVICE = "service"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class DeviceProvisioned(Event):
    """A device was told which hub it is assigned to, by the service or from what it said earlier."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_provisioned_devices_total"
    LABELS: ClassVar[tuple[str, ...]] = ("by",)

    registration: str
    address: str
    device: str
    hub: str
    by: AnsweredBy

    def sentence(self) -> str:
        """What a person reads in the log."""
        told = f"'{_shown(self.registration)}' from {self.address} is '{_shown(self.device)}' at {_shown(self.hub)}"
        return told if self.by is AnsweredBy.SERVICE else f"{told}: remembered, the provisioning service is away"


@dataclass(frozen=True, slots=True)
class AssignedElsewhere(Event):
    """A device was assigned to a hub that is not this gateway's: it was not told to connect here."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_foreign_assignments_total"

    registration: str
    hub: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"'{_shown(self.registration)}' is assigned to {_shown(self.hub)}, and this gateway serves another hub: it "
            "must reach that one itself. Check its enrolment, or GATEWAY_HUB_NAME"
        )


@dataclass(frozen=True, slots=True)
class ProvisioningAway(Event):
    """The provisioning service cannot be reached; devices get what is remembered, or are told to come again."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_provisioning_outages_total"

    place: str
    why: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the provisioning service {self.place} cannot be asked: {_shown(self.why)}. Devices that registered "
            "before and can be known by their key are answered from memory, others are told to come again"
        )


@dataclass(frozen=True, slots=True)
class ProvisioningBack(Event):
    """The provisioning service answers again."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_provisioning_returns_total"

    place: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"the provisioning service {self.place} answers"


@dataclass(frozen=True, slots=True)
class AssignmentsNotKept(Event):
    """The file of assignments cannot be read or written; they live in memory until it can."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unkept_assignments_total"

    path: str
    problem: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.path}: {self.problem}. Without it, no device can register while the service is away"


def _shown(text: str) -> str:
    """A peer's text as it may stand in a log: short, on one line, and without control characters."""
    short = text[:200]
    return short if short.isprintable() else ascii(short)[1:-1]
