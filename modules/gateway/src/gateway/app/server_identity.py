"""The gateway's TLS identity: from files or from the workload API, renewed without a restart; and whom it believes."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from edgewire.transport.certificates import SecurityError
from edgewire.transport.tls import ClientCertificates, Profile, Security
from gateway.app.settings import ConfigError, Environment
from gateway.app.trust import Trust, TrustFile, WorkloadTrust, read_file
from gateway.identity.certificates import CertificateError
from gateway.identity.workload import CertificateKeeper, ServerCertificate, Workload, WorkloadError
from gateway.observe.app import CertificateReloaded, CertificateUnusable
from gateway.observe.events import Event

LOOK_EVERY_S: Final = 5.0
"""How often certificate files are looked at, a stat each: a renewal must not need a restart."""

Emit = Callable[[Event], None]


class ServerIdentity(Protocol):
    """What listeners and logins need, and the task that keeps it fresh."""

    security: Security
    trust: Trust | None

    async def keep(self) -> None:
        """Renew until cancelled."""


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
    """Certificate and key in files, read again when they change."""

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
        self._stamps = self._look()
        self.trust = trust
        what = f"server certificate {chain} with key {key}"
        self.security = Security(
            read_file(chain), read_file(key), client_certificates=asked, profile=profile, what=what
        )

    async def keep(self) -> None:
        """Look at the files for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look_again()

    def look_again(self) -> None:
        """Use the files' contents for new connections, if they have changed and can be used."""
        stamps = self._look()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self.security.reload(read_file(self._chain), read_file(self._key))
        except (SecurityError, ConfigError) as error:
            self._emit(CertificateUnusable(_refused(error)))
        else:
            self._emit(CertificateReloaded(self.security.expires_at - time.time()))

    def _look(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_stamp(path) for path in (self._chain, self._key))


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
        self.trust = trust
        self.security = Security(
            first.chain,
            first.key,
            client_certificates=asked,
            profile=profile,
            what="the certificate that the workload API issued",
        )

    async def keep(self) -> None:
        """Renew in time, for ever."""
        await self._keeper.run(self._apply)

    def _apply(self, certificate: ServerCertificate) -> None:
        try:
            self.security.reload(certificate.chain, certificate.key)
        except SecurityError as error:
            self._emit(CertificateUnusable(_refused(error)))


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


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
