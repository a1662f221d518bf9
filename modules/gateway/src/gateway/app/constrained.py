"""The TLS identity of the listeners for small boards: a key of its own, and a chain that such boards can take."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from edgewire.transport.certificates import SecurityError, ServerCertificate
from edgewire.transport.fitness import problems_for_boards
from edgewire.transport.tls import ClientCertificates, Profile, Security
from gateway.app.server_identity import FileIdentity, ServerIdentity, WorkloadIdentity, check_apart, host_name
from gateway.app.settings import ConfigError, Environment
from gateway.app.trust import Trust
from gateway.identity.workload import CertificateKeeper, Workload, WorkloadError
from gateway.observe.app import ConstrainedCertificateUnfit
from gateway.observe.events import Event

LOOK_EVERY_S: Final = 60.0
"""How soon a renewed certificate is looked at: whether boards can take it, a person must hear in time."""

Emit = Callable[[Event], None]


class ConstrainedIdentity:
    """An identity whose certificate is looked at with the eyes of a small board, at the start and when it is renewed.

    host_name: the name or address that boards dial; empty if nobody knows it.
    """

    def __init__(self, identity: ServerIdentity, host_name: str, emit: Emit) -> None:
        self._identity = identity
        self._host_name = host_name
        self._emit = emit
        self._seen: ServerCertificate | None = None
        self.security = identity.security
        self.trust: Trust | None = None
        self.renewal = identity.renewal

    def look(self) -> None:
        """Say what is wrong with the certificate for boards, once for each certificate."""
        certificate = self.security.certificate
        if certificate is self._seen:
            return
        self._seen = certificate
        for problem in problems_for_boards(certificate.chain, self._host_name):
            self._emit(ConstrainedCertificateUnfit(problem))

    def look_again(self) -> None:
        """Renew now, if there is something new."""
        self._identity.look_again()
        self.look()

    async def keep(self) -> None:
        """Renew until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._identity.keep())
            tasks.create_task(self._look_again())

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()


async def constrained_identity(
    environment: Environment, environ: Mapping[str, str], ours: Security, emit: Emit
) -> ConstrainedIdentity:
    """The identity of the listeners for small boards; `ours` is that of the others, whose key it may not have.

    Raises ConfigError with what to do.
    """
    try:
        identity = await _identity(environment, environ, emit)
    except (WorkloadError, SecurityError) as error:
        raise ConfigError(f"the listeners for small boards: {error}{_advice(environment)}") from error
    try:
        check_apart(identity.security.certificate, ours)
    except SecurityError as error:
        raise ConfigError(str(error)) from error
    identity.apart_from = ours
    looked_at = ConstrainedIdentity(identity, environment.host_name, emit)
    looked_at.look()
    return looked_at


async def _identity(environment: Environment, environ: Mapping[str, str], emit: Emit) -> ServerIdentity:
    asked, profile = ClientCertificates.NONE, Profile.CONSTRAINED
    if environment.constrained_certificate is not None:
        assert environment.constrained_key is not None
        return FileIdentity(
            environment.constrained_certificate, environment.constrained_key, None, asked, emit, profile=profile
        )
    workload = Workload.from_environment(environ)
    keeper = CertificateKeeper(workload=workload, common_name=host_name(environment), emit=emit)
    return WorkloadIdentity(keeper, await keeper.obtain(), None, asked, emit, profile=profile)


def _advice(environment: Environment) -> str:
    if environment.constrained_certificate is not None:
        return ""
    return ". For these listeners that is GATEWAY_CONSTRAINED_CERTIFICATE and GATEWAY_CONSTRAINED_KEY"
