"""When certificates end: said at 30, 7 and 1 days before, and when it has happened.

A certificate may live shorter than that (IoT Edge issues ours for a month or less and renews it at two thirds of its
life), so the marks are 30, 7 and 1 days or as many percent of its life, whichever is less.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from gateway.observe.certificates import CertificateEnded, CertificateEndsSoon, CertificateKind
from gateway.observe.events import Event

LOOK_EVERY_S: Final = 10.0
"""How often the calendar is looked at; a certificate that is replaced is seen as soon."""
MAX_REMEMBERED: Final = 1_000
"""Certificates that were told of and are remembered; beyond, the oldest may be told of again."""
_DAY_S: Final = 86_400.0

Emit = Callable[[Event], None]


class Mark(Enum):
    """How near a certificate's end is, the nearest last."""

    GOOD = "good"
    MONTH = "30 days"
    WEEK = "7 days"
    DAY = "1 day"
    ENDED = "ended"


MARKS: Final[Mapping[Mark, int]] = MappingProxyType({Mark.DAY: 1, Mark.WEEK: 7, Mark.MONTH: 30})
"""Days before the end, or percent of the life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something that ends. Times are seconds since 1970; `identity` tells it from the one that replaces it."""

    kind: CertificateKind
    name: str
    subject: str
    issuer: str
    starts_at: float
    ends_at: float
    identity: bytes | str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedCertificate:
    """One certificate as it stands now. `not_after`: seconds since 1970; `days_left`: below zero once it has ended."""

    kind: CertificateKind
    name: str
    subject: str
    issuer: str
    not_after: float
    days_left: float
    state: Mark
    advice: str


Source = Callable[[], Iterable[Candidate]]


def mark_at(starts_at: float, ends_at: float, now: float) -> Mark:
    """How near the end is at `now`."""
    left_s = ends_at - now
    if left_s <= 0:
        return Mark.ENDED
    percent_s = (ends_at - starts_at) / 100
    return next((mark for mark, count in MARKS.items() if left_s <= count * min(_DAY_S, percent_s)), Mark.GOOD)


def candidate(kind: CertificateKind, name: str, certificate: x509.Certificate, advice: str) -> Candidate:
    """A certificate as something that ends."""
    return Candidate(
        kind=kind,
        name=name,
        subject=short_name(certificate.subject),
        issuer=short_name(certificate.issuer),
        starts_at=certificate.not_valid_before_utc.timestamp(),
        ends_at=certificate.not_valid_after_utc.timestamp(),
        identity=certificate.fingerprint(hashes.SHA256()),
        advice=advice,
    )


def short_name(name: x509.Name) -> str:
    """The common name, or all of it where there is none."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


class CertificateWatch:
    """Looks at what its sources have, and says what has come nearer to its end: once for each mark and each start."""

    def __init__(self, emit: Emit, clock: Callable[[], float] = time.time) -> None:
        self._emit = emit
        self._clock = clock
        self._sources: list[Source] = []
        self._listeners: list[Callable[[], None]] = []
        self._told: dict[tuple[str, bytes | str], Mark] = {}
        self._before: dict[str, Any] = {}

    def add(self, source: Source) -> None:
        """Watch what this source gives, each time anew."""
        self._sources.append(source)

    def listen(self, changed: Callable[[], None]) -> None:
        """`changed` is called when what is reported of the certificates is not what it was."""
        self._listeners.append(changed)

    def certificates(self) -> Sequence[WatchedCertificate]:
        """All that is watched, as it stands now, in the order of the sources; the same certificate once."""
        now = self._clock()
        return [_watched(each, now) for each in self._candidates()]

    def days_left(self) -> Mapping[tuple[str, ...], float]:
        """The fewest days that a certificate of each kind has left, by the kind's name: the values of a gauge."""
        least: dict[tuple[str, ...], float] = {}
        for each in self.certificates():
            label = (each.kind.value,)
            least[label] = min(each.days_left, least.get(label, each.days_left))
        return least

    def status(self) -> list[dict[str, Any]]:
        """All of them for `getStatus`."""
        return [
            {
                "name": each.name,
                "subject": each.subject,
                "issuer": each.issuer,
                "notAfter": _time(each.not_after),
                "daysLeft": int(each.days_left // 1),
                "state": each.state.value,
                "advice": each.advice if each.state is not Mark.GOOD else "",
            }
            for each in self.certificates()
        ]

    def reported(self) -> dict[str, Any]:
        """All of them for the reported properties: nothing in it changes from day to day by itself."""
        # Of two with one name (an authority and the one that follows it) the one that ends first is told.
        soonest_last = sorted(self.certificates(), key=lambda each: -each.not_after)
        return {each.name: {"state": each.state.value, "notAfter": _time(each.not_after)} for each in soonest_last}

    def look(self) -> None:
        """Say what has crossed a mark since the last look, and what is beyond one at the first."""
        now = self._clock()
        for each in self._candidates():
            self._tell(each, mark_at(each.starts_at, each.ends_at, now), (each.ends_at - now) / _DAY_S)
        reported = self.reported()
        if reported != self._before:
            self._before = reported
            for changed in self._listeners:
                changed()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def _candidates(self) -> Iterable[Candidate]:
        found: dict[bytes | str, Candidate] = {}
        for source in self._sources:
            for each in source():
                found.setdefault(each.identity, each)
        return found.values()

    def _tell(self, each: Candidate, mark: Mark, days_left: float) -> None:
        key = (each.name, each.identity)
        if self._told.get(key, Mark.GOOD) is mark:
            return
        if key not in self._told and len(self._told) >= MAX_REMEMBERED:
            del self._told[next(iter(self._told))]
        # A clock that was set back makes a mark go back too: it is told again when it is crossed again.
        self._told[key] = mark
        if mark is Mark.ENDED:
            self._emit(CertificateEnded(kind=each.kind, name=each.name, days_left=days_left, advice=each.advice))
        elif mark is not Mark.GOOD:
            self._emit(CertificateEndsSoon(kind=each.kind, name=each.name, days_left=days_left, advice=each.advice))


def _watched(each: Candidate, now: float) -> WatchedCertificate:
    return WatchedCertificate(
        kind=each.kind,
        name=each.name,
        subject=each.subject,
        issuer=each.issuer,
        not_after=each.ends_at,
        days_left=(each.ends_at - now) / _DAY_S,
        state=mark_at(each.starts_at, each.ends_at, now),
        advice=each.advice,
    )


def _time(at: float) -> str:
    # Certificates may end in the year 9999; a trust bundle with one that cannot be is not read at all.
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
