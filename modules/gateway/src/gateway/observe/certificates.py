"""Events of certificates: what ends soon or has ended, and the lists of those that were revoked."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level

_DAY_S = 86_400
_HOUR_S = 3600


class CertificateKind(Enum):
    """What a certificate is for."""

    SERVER = "server"
    SERVER_ISSUER = "server issuer"
    SMALL_BOARDS = "small boards"
    SMALL_BOARDS_ISSUER = "small boards issuer"
    TRUST_BUNDLE = "trust bundle"
    UPSTREAM = "upstream"
    DEVICE = "device"
    REVOCATION_LIST = "revocation list"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateEndsSoon(Event):
    """A certificate has crossed the marks of 30, 7 and 1 days (or as many percent of its life) before its end."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_certificate_warnings_total"
    LABELS: ClassVar[tuple[str, ...]] = ("kind",)

    kind: CertificateKind
    name: str
    days_left: float
    advice: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{_shown(self.name)} ends in {_in_words(self.days_left)}: {self.advice}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateEnded(Event):
    """A certificate has ended; who checks it refuses it."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_ended_certificates_total"
    LABELS: ClassVar[tuple[str, ...]] = ("kind",)

    kind: CertificateKind
    name: str
    days_left: float
    advice: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{_shown(self.name)} ended {_in_words(-self.days_left)} ago: {self.advice}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationListsReloaded(Event):
    """The lists of revoked certificates were changed and are in force, for connected devices too."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_reloaded_revocation_lists_total"

    source: str
    lists: int
    revoked: int
    ended: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        who = f"the connections of {self.ended} end" if self.ended else "nobody who is connected is among them"
        return f"{self.source} is in force: {self.revoked} revoked certificates in {self.lists} lists; {who}"


@dataclass(frozen=True, slots=True)
class RevocationListUnusable(Event):
    """A list of revoked certificates cannot be used; those before stay in force."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_unusable_revocation_lists_total"

    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return self.error


@dataclass(frozen=True, slots=True)
class LookedAgain(Event):
    """SIGHUP: certificates, keys, trust bundle and revocation lists were read again at once."""

    LEVEL: ClassVar[Level] = Level.INFO

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            "SIGHUP: certificates, keys, trust bundle and revocation lists are looked at; what changed is in force for "
            "new connections, those that exist stay"
        )


def _in_words(days: float) -> str:
    hours = days * _DAY_S / _HOUR_S
    if days >= 2:
        return f"{days:.0f} days"
    return f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"


def _shown(text: str) -> str:
    """A name as it may stand in a log: devices choose those of theirs."""
    short = text[:200]
    return short if short.isprintable() else ascii(short)[1:-1]
