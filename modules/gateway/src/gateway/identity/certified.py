"""Who was let in by which certificate: to end them when it is revoked, and to say when it ends."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from edgewire.message import Identity
from gateway.identity.revocation import Link, Revocation, Revocations

MAX_SIGNERS: Final = 256
"""Certificates of authorities that are kept once for all devices below them; beyond, they are kept anew."""
ROOM: Final = 1_000
"""Devices that may be known without being connected, before those who are not are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A certificate that somebody was let in by. Times are seconds since 1970."""

    thumbprint: str
    issuer: str
    valid_from: float
    valid_until: float
    links: tuple[Link, ...]


class CertifiedLogins:
    """The last certificate of each identity that came by one. Bounded by `keep_only`, which the caller calls."""

    def __init__(self) -> None:
        self._shown: dict[Identity, Shown] = {}
        self._signers: dict[bytes, x509.Certificate] = {}

    def __len__(self) -> int:
        return len(self._shown)

    def __iter__(self) -> Iterator[tuple[Identity, Shown]]:
        return iter(tuple(self._shown.items()))

    def enter(self, who: Identity, shown: Shown) -> None:
        """Somebody was let in by this certificate."""
        self._shown[who] = replace(shown, links=tuple(map(self._shared, shown.links)))

    def leave(self, who: Identity) -> None:
        """Somebody was let in by something else."""
        self._shown.pop(who, None)

    def revoked(self, revocations: Revocations, now: float) -> list[Identity]:
        """Who would not be let in any more: those whose certificate, or an authority above it, is on a list."""
        return [
            who
            for who, shown in self._shown.items()
            if revocations.problem_with(shown.links, now) is Revocation.REVOKED
        ]

    def keep_only(self, is_here: Callable[[Identity], bool], most: int) -> None:
        """Forget who is not connected, once more than `most` and some room are known."""
        if len(self._shown) > most + ROOM:
            self._shown = {who: shown for who, shown in self._shown.items() if is_here(who)}

    def _shared(self, link: Link) -> Link:
        if link.signer is None:
            return link
        known = link.signer.fingerprint(hashes.SHA256())
        if known not in self._signers and len(self._signers) >= MAX_SIGNERS:
            self._signers.clear()
        return replace(link, signer=self._signers.setdefault(known, link.signer))
