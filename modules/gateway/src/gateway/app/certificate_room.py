"""All certificates of the gateway: its own, whom it believes, which were revoked; renewed, followed and watched.

Nothing here needs a restart. What changes counts for new connections; one that exists ends only if the certificate it
came with was revoked.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from cryptography import x509

from edgewire.message import Identity
from edgewire.transport.certificates import ServerCertificate
from edgewire.transport.tls import Security
from gateway.app.certificate_watch import Candidate, CertificateWatch, Mark, candidate, mark_at, short_name
from gateway.app.server_identity import ServerIdentity, server_identity
from gateway.app.settings import Environment
from gateway.app.trust import Trust
from gateway.dispatch.presence import Ending, Presence
from gateway.identity.authenticator import Authenticator
from gateway.identity.certificates import TrustBundle
from gateway.identity.certified import Shown
from gateway.identity.revocation import Revocations, WhenOld
from gateway.observe.certificates import CertificateKind, LookedAgain, RevocationListsReloaded
from gateway.observe.events import Event

if TYPE_CHECKING:
    from gateway.app.constrained import ConstrainedIdentity
    from gateway.app.revocation_files import RevocationFiles

MAX_AUTHORITIES: Final = 20
"""Of the trust bundle that are watched, those that end first: a bundle may hold a system's hundred."""
MAX_DEVICES: Final = 20
"""Certificates of devices near their end that are listed, those that end first."""
PRUNE_EVERY_S: Final = 10.0
"""How often those who came by a certificate and have left are counted."""

ISSUER_ADVICE: Final = (
    "what it has signed is refused from then on. Renew it (of IoT Edge: `edgeca renew`, copy the files that "
    "`edgeca toml` names, `iotedge config apply`), and what it has signed after it"
)
AUTHORITY_ADVICE: Final = (
    "whatever leads to it is refused from then on, and boards that know it must learn the new one first. Renew it in "
    "time (`edgeca renew root` keeps its key, so that nothing else must be made anew) and give it to all who believe it"
)
UPSTREAM_ADVICE: Final = (
    "it is the server's on the way upstream, and renewed by whoever runs that; if it is a gateway or proxy of yours, "
    "renew it there"
)

Emit = Callable[[Event], None]


class CertificateRoom:
    """`open` it, then `serve`, then `start`. `watch` is there from the beginning."""

    identity: ServerIdentity

    def __init__(
        self,
        environment: Environment,
        environ: Mapping[str, str],
        emit: Emit,
        *,
        seen_upstream: Callable[[], x509.Certificate | None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`seen_upstream`: the certificate of the server upstream, as last seen."""
        self._environment = environment
        self._environ = environ
        self._emit = emit
        self._clock = clock
        self._seen_upstream = seen_upstream
        self._constrained: ConstrainedIdentity | None = None
        self._lists: RevocationFiles | None = None
        self._asked = asyncio.Event()
        self._authenticator: Authenticator
        self._presence: Presence
        self._trusted: tuple[object, list[Candidate]] = (None, [])
        self._upstream: tuple[object, list[Candidate]] = (None, [])
        self.watch = CertificateWatch(emit, clock)

    async def open(self) -> None:
        """Read, or have issued, what the settings ask for. Raises ConfigError."""
        environment = self._environment
        self.identity = await server_identity(environment, self._environ, self._emit)
        self.watch.add(_Chain(CertificateKind.SERVER, CertificateKind.SERVER_ISSUER, self.identity))
        if environment.constrained_mqtt_port or environment.constrained_https_port:
            from gateway.app.constrained import constrained_identity  # noqa: PLC0415 — most sites have no small boards

            ours = self.identity.security
            self._constrained = await constrained_identity(environment, self._environ, ours, self._emit)
            self.identity.apart_from = self._constrained.security
            self.watch.add(_Chain(CertificateKind.SMALL_BOARDS, CertificateKind.SMALL_BOARDS_ISSUER, self._constrained))
        self.watch.add(self._authorities)
        self.watch.add(self._server_upstream)
        if environment.crl_file is not None:
            from gateway.app.revocation_files import RevocationFiles  # noqa: PLC0415 — most sites revoke nothing

            when_old = WhenOld(environment.crl_when_old)
            self._lists = RevocationFiles(environment.crl_file, when_old, self._emit, known=self._known_authorities)
            self.watch.add(self._lists.candidates)

    @property
    def constrained(self) -> Security | None:
        """Of the listeners for small boards, None if there are none."""
        return None if self._constrained is None else self._constrained.security

    @property
    def trusted(self) -> TrustBundle | None:
        """Whom devices' certificates must lead to."""
        return None if self.identity.trust is None else self.identity.trust.bundle

    def trust_pem(self) -> bytes:
        """The same as it stands in its source."""
        return b"" if self.identity.trust is None else self.identity.trust.pem

    def serve(self, authenticator: Authenticator, presence: Presence) -> None:
        """Logins are judged by what is here; who is connected with a certificate that is revoked is ended."""
        self._authenticator = authenticator
        self._presence = presence
        if self._lists is not None:
            authenticator.replace_revocations(self._lists.revocations)
        self.watch.add(self._devices)

    def start(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Follow everything; the tasks are the caller's to cancel."""
        running = [
            tasks.create_task(self.identity.keep(), name="server certificate"),
            tasks.create_task(self.watch.run(), name="ends of certificates"),
            tasks.create_task(self._prune(), name="who came by a certificate"),
            tasks.create_task(self._look_when_asked(), name="certificates when asked"),
        ]
        if self._constrained is not None:
            running.append(tasks.create_task(self._constrained.keep(), name="certificate for small boards"))
        if self.identity.trust is not None:
            believing = self.identity.trust.keep(self._authenticator.replace_trust_bundle)
            running.append(tasks.create_task(believing, name="trust bundle"))
        if self._lists is not None:
            running.append(tasks.create_task(self._lists.keep(self._apply), name="revocation lists"))
        return running

    def look_soon(self) -> None:
        """Look again as soon as everything runs; called by the handler of a signal."""
        self._asked.set()

    async def _look_when_asked(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.look_again()

    async def look_again(self) -> None:
        """Take what has changed now, whether or not it lies still; ask the workload API for a new certificate."""
        self._emit(LookedAgain())
        self.identity.look_again()
        if self._constrained is not None:
            self._constrained.look_again()
        if self._lists is not None and self._lists.look_again():
            self._apply(self._lists.revocations)
        if self.identity.trust is not None and await self.identity.trust.look_again():
            self._authenticator.replace_trust_bundle(self.identity.trust.bundle)
        self.watch.look()

    # Revocation.

    def _apply(self, revocations: Revocations) -> None:
        assert self._lists is not None
        self._authenticator.replace_revocations(revocations)
        revoked = self._authenticator.certified.revoked(revocations, self._clock())
        ended = self._presence.end(revoked, Ending.CREDENTIALS_CHANGED)
        for who in revoked:
            self._authenticator.certified.leave(who)
        self._emit(
            RevocationListsReloaded(
                source=self._lists.name, lists=len(revocations.lists), revoked=len(revocations), ended=ended
            )
        )

    def _known_authorities(self) -> Iterable[x509.Certificate]:
        bundle = self.trusted
        return (*(() if bundle is None else bundle.authorities), *self.identity.security.certificate.chain[1:])

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_EVERY_S)
            self._authenticator.certified.keep_only(self._presence.__contains__, len(self._presence))

    # What is watched.

    def _authorities(self) -> list[Candidate]:
        trust: Trust | None = self.identity.trust
        if trust is None:
            return []
        if self._trusted[0] is not trust.bundle:
            found = [
                candidate(CertificateKind.TRUST_BUNDLE, f"authority {short_name(each.subject)}", each, AUTHORITY_ADVICE)
                for each in trust.bundle.authorities
            ]
            self._trusted = trust.bundle, sorted(found, key=_end)[:MAX_AUTHORITIES]
        return self._trusted[1]

    def _server_upstream(self) -> list[Candidate]:
        seen = self._seen_upstream()
        if seen is None:
            return []
        if self._upstream[0] is not seen:
            name = f"server upstream {short_name(seen.subject)}"
            self._upstream = seen, [candidate(CertificateKind.UPSTREAM, name, seen, UPSTREAM_ADVICE)]
        return self._upstream[1]

    def _devices(self) -> list[Candidate]:
        """The certificates of devices that are near their end."""
        now = self._clock()
        near = [
            _of_device(who, shown)
            for who, shown in self._authenticator.certified
            if mark_at(shown.valid_from, shown.valid_until, now) is not Mark.GOOD
        ]
        return sorted(near, key=_end)[:MAX_DEVICES]


class _Chain:
    """A server's chain as something that ends; looked at anew when it was renewed."""

    def __init__(
        self, own: CertificateKind, issuer: CertificateKind, identity: "ServerIdentity | ConstrainedIdentity"
    ) -> None:
        self._own = own
        self._issuer = issuer
        self._identity = identity
        self._seen: ServerCertificate | None = None
        self._found: list[Candidate] = []

    def __call__(self) -> list[Candidate]:
        certificate = self._identity.security.certificate
        if certificate is not self._seen:
            self._seen = certificate
            leaf, *issuers = certificate.chain
            self._found = [candidate(self._own, f"{self._own.value} certificate", leaf, self._identity.renewal)]
            self._found += [
                candidate(self._issuer, f"{self._issuer.value} {short_name(each.subject)}", each, ISSUER_ADVICE)
                for each in issuers
            ]
        return self._found


def _of_device(who: Identity, shown: Shown) -> Candidate:
    return Candidate(
        kind=CertificateKind.DEVICE,
        name=f"certificate of device {who}",
        subject=str(who),
        issuer=shown.issuer,
        starts_at=shown.valid_from,
        ends_at=shown.valid_until,
        identity=shown.thumbprint,
        advice=(
            f"the device is not let in from then on. Make it a new one (`edgeca renew {who.device}`) and put it on the "
            "device; a device known by thumbprint needs the new thumbprint registered first"
        ),
    )


def _end(each: Candidate) -> float:
    return each.ends_at
