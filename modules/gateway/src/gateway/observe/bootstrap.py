"""Events of first contact: which boards got an identity, and which were refused and why."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class ContactRefusal(Enum):
    """Why a board got no identity. For our counters and log only: the board is told a status, nothing else."""

    MALFORMED = "malformed"
    """No request of the form that it must have."""
    WRONG_SECRET = "wrong_secret"  # noqa: S105 - a reason, no password
    """No code and no group that is known here fits."""
    USED = "used"
    """The code was good, and has been used by as many boards as it was for."""
    EXPIRED = "expired"
    WRONG_BOARD = "wrong_board"
    """The code is good, for another model or for other ids."""
    DISABLED = "disabled"
    """The group's key is good; the group is disabled."""
    TAKEN = "taken"
    """The id belongs to a device that came by something else."""
    BUSY = "busy"
    """More contacts at once than are looked at."""
    NO_ROOT = "no_root"
    """The listener for small boards has no root key that they could pin."""
    NOT_KEPT = "not_kept"
    """The identity, or that the code is used, could not be written."""


_ADVICE = {
    ContactRefusal.MALFORMED: "its request has not the form of a first contact",
    ContactRefusal.WRONG_SECRET: "it knows no code and no group's key; `gateway claims add` makes a code",
    ContactRefusal.USED: "its code is used up; `gateway claims add` makes another",
    ContactRefusal.EXPIRED: "its code has expired; check this machine's clock, or make another: `gateway claims add`",
    ContactRefusal.WRONG_BOARD: "its code is for another model or for other ids",
    ContactRefusal.DISABLED: "its group is disabled; `gateway devices enable --group` lets it in",
    ContactRefusal.TAKEN: (
        "its id belongs to a device that is known already; `gateway claims add --id` makes a code that renews it"
    ),
    ContactRefusal.BUSY: "too many boards ask at once; it is told to come again",
    ContactRefusal.NO_ROOT: (
        "the listener for small boards has no root key that they can pin, and without one they believe no gateway; it "
        "is told to come again. Set GATEWAY_CONSTRAINED_CERTIFICATE to a chain up to an RSA root, or "
        "GATEWAY_TRUST_BUNDLE_FILE to a bundle that holds that root"
    ),
    ContactRefusal.NOT_KEPT: "what must be kept of it could not be written; it is told to come again",
}


class AdmittedBy(Enum):
    """What a board showed."""

    CLAIM = "claim"
    LABEL = "label"
    GROUP = "group"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardAdmitted(Event):
    """A board got its identity at first contact. `code` is the name of the code, or of the group."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_admitted_boards_total"
    LABELS: ClassVar[tuple[str, ...]] = ("by",)

    device: str
    address: str
    model: str
    version: str
    by: AdmittedBy
    code: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"board '{self.device}' ({self.model}, firmware {self.version}) from {self.address} got its identity by "
            f"{self.by.value} '{self.code}'"
        )


@dataclass(frozen=True, slots=True)
class ContactRefused(Event):
    """A board, or who says that it is one, got no identity. `board` is what it calls itself."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_contacts_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    board: str
    address: str
    reason: ContactRefusal
    detail: str = ""

    def sentence(self) -> str:
        """What a person reads in the log."""
        detail = f" ({self.detail})" if self.detail else ""
        return f"board '{self.board}' from {self.address} got no identity: {_ADVICE[self.reason]}{detail}"


@dataclass(frozen=True, slots=True)
class ClaimsUnreadable(Event):
    """The file of codes was changed into something that cannot be read; the codes known before stay in force."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_unreadable_claims_total"

    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.error}. Until then the codes known before stay in force, and no others"


@dataclass(frozen=True, slots=True)
class RootNotTold(Event):
    """Boards are told no root key at first contact, so they cannot check who this gateway is by it."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_untold_roots_total"

    problem: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"boards get no root key at first contact: {self.problem}"
