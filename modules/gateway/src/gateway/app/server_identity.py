"""The gateway's TLS identity: from files or from the workload API, renewed without a restart; and whom it believes."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edgewire.transport.certificates import SecurityError
from edgewire.transport.certificates import ServerCertificate as LoadedCertificate
from edgewire.transport.tls import ClientCertificates, Profile, Security
from gateway.app.followed_files import LOOK_EVERY_S, FollowedFiles
from gateway.app.settings import ConfigError, Environment
from gateway.app.trust import Trust, TrustFile, WorkloadTrust, read_file
from gateway.identity.certificates import CertificateError
from gateway.identity.workload import CertificateKeeper, ServerCertificate, Workload, WorkloadError
from gateway.observe.app import CertificateReloaded, CertificateUnusable
from gateway.observe.events import Event

SHARED_KEY: Final = (
    "the listeners for small boards and the others have the same key. RSA key exchange, which small boards need, "
    "exposes its key to attacks that would then read the others' connections: give GATEWAY_CONSTRAINED_KEY a key of "
    "its own"
)

Emit = Callable[[Event], None]


class ServerIdentity(Protocol):
    """What listeners and logins need, and the task that keeps it fresh."""

    security: Security
    trust: Trust | None
    renewal: str
    """How the certificate is renewed, for a person."""
    apart_from: Security | None
    """Whose key this one may not have, now and after a renewal."""

    async def keep(self) -> None:
        """Renew until cancelled."""

    def look_again(self) -> None:
        """Renew now, if there is something new."""


async def server_identity(environment: Environment, environ: Mapping[str, str], emit: Emit) -> ServerIdentity:
    """The identity that the settings ask for; without a trust bundle only thumbprints count.

    Raises ConfigError with what to do.
    """
    asked = ClientCertificates.REQUESTED if environment.client_certificates else ClientCertificates.NONE
    try:
        trusted_file = environment.trust_bundle_file
        trust = None if trusted_file is None else await Trust.open(TrustFile(trusted_file), emit)
        if environment.certificate_file is not None:
            assert environment.key_file is not None
            return FileIdentity(environment.certificate_file, environment.key_file, trust, asked, emit)
        workload = Workload.from_environment(environ)
        keeper = CertificateKeeper(workload=workload, common_name=host_name(environment), emit=emit)
        first = await keeper.obtain()  # it waits for a workload API that is not there yet, so it comes first
        if trust is None:
            trust = await Trust.open(WorkloadTrust(workload), emit)
        return WorkloadIdentity(keeper, first, trust, asked, emit)
    except (WorkloadError, SecurityError, CertificateError) as error:
        raise ConfigError(str(error)) from error


class FileIdentity:
    """Certificate and key in files, read again when they have changed."""

    def __init__(
        self,
        chain: Path,
        key: Path,
        trust: Trust | None,
        asked: ClientCertificates,
        emit: Emit,
        *,
        profile: Profile = Profile.MODERN,
    ) -> None:
        self._chain = chain
        self._key = key
        self._emit = emit
        self._files = FollowedFiles(lambda: (chain, key))
        self.trust = trust
        self.renewal = (
            f"write a new one over {chain} and its key over {key} (`edgeca renew` makes them); it is taken within "
            "seconds, without a restart"
        )
        self.apart_from: Security | None = None
        what = f"server certificate {chain} with key {key}"
        self.security = Security(
            read_file(chain), read_file(key), client_certificates=asked, profile=profile, what=what
        )

    async def keep(self) -> None:
        """Look at the files for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._files.have_settled():
                self.look_again()

    def look_again(self) -> None:
        """Use the files' contents for new connections, if they have changed and can be used."""
        if not self._files.take():
            return
        try:
            self.security.reload(read_file(self._chain), read_file(self._key), self._check)
        except (SecurityError, ConfigError) as error:
            self._emit(CertificateUnusable(_refused(error)))
        else:
            self._emit(CertificateReloaded(self.security.expires_at - time.time()))

    def _check(self, certificate: LoadedCertificate) -> None:
        check_apart(certificate, self.apart_from)


class WorkloadIdentity:
    """A certificate that IoT Edge issues."""

    def __init__(
        self,
        keeper: CertificateKeeper,
        first: ServerCertificate,
        trust: Trust | None,
        asked: ClientCertificates,
        emit: Emit,
        *,
        profile: Profile = Profile.MODERN,
    ) -> None:
        self._keeper = keeper
        self._emit = emit
        self._complained = False
        self._asked = asyncio.Event()
        self.trust = trust
        self.renewal = (
            "IoT Edge renews it by itself at two thirds of its life, so by now something is in the way: see what the "
            "gateway says of the workload API, and `iotedge check` on this device"
        )
        self.apart_from: Security | None = None
        self.security = Security(
            first.chain,
            first.key,
            client_certificates=asked,
            profile=profile,
            what="the certificate that the workload API issued",
        )

    async def keep(self) -> None:
        """Renew in time, for ever, and whenever somebody asks for it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keeper.run(self._apply))
            tasks.create_task(self._renew_when_asked())

    def look_again(self) -> None:
        """Ask IoT Edge for a new certificate."""
        self._asked.set()

    async def _renew_when_asked(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._apply(await self._keeper.obtain())

    def _apply(self, certificate: ServerCertificate) -> None:
        try:
            self.security.reload(certificate.chain, certificate.key, self._check)
        except SecurityError as error:
            # An edge CA that has ended gives such a certificate every minute: it is said once.
            if not self._complained:
                self._emit(CertificateUnusable(_refused(error)))
            self._complained = True
        else:
            self._complained = False

    def _check(self, certificate: LoadedCertificate) -> None:
        check_apart(certificate, self.apart_from)


def check_apart(certificate: LoadedCertificate, other: Security | None) -> None:
    """Raise SecurityError if the certificate's key is that of `other`."""
    if other is not None and _public(certificate) == _public(other.certificate):
        raise SecurityError(SHARED_KEY)


def _public(certificate: LoadedCertificate) -> bytes:
    return certificate.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def host_name(environment: Environment) -> str:
    """The name that devices dial. Raises ConfigError if there is none."""
    if not environment.host_name:
        raise ConfigError(
            "GATEWAY_HOST_NAME is not set, and neither is EdgeDeviceHostName: the server certificate needs the name "
            "that devices dial. Set it to that name or address"
        )
    return environment.host_name


def _refused(error: Exception) -> str:
    return f"{str(error).removesuffix('.')}. What was in force stays in force"
