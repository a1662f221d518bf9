"""The TLS identity of the listeners for small boards: a key of its own, and a chain that such boards can take."""

from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edgewire.transport.certificates import SecurityError, ServerCertificate
from edgewire.transport.tls import ClientCertificates, Profile, Security
from gateway.app.server_identity import FileIdentity, ServerIdentity, WorkloadIdentity, host_name
from gateway.app.settings import ConfigError, Environment
from gateway.identity.workload import CertificateKeeper, Workload, WorkloadError
from gateway.observe.events import Event

Emit = Callable[[Event], None]


async def constrained_identity(
    environment: Environment, environ: Mapping[str, str], ours: Security, emit: Emit
) -> ServerIdentity:
    """The identity of the listeners for small boards; `ours` is that of the others, whose key it may not have.

    Raises ConfigError with what to do.
    """
    try:
        identity = await _identity(environment, environ, emit)
    except (WorkloadError, SecurityError) as error:
        raise ConfigError(f"the listeners for small boards: {error}") from error
    if _public(identity.security.certificate) == _public(ours.certificate):
        raise ConfigError(
            "GATEWAY_CONSTRAINED_KEY is the key of the other listeners. RSA key exchange, which small boards need, "
            "exposes its key to attacks that would then read the others' connections: give it a key of its own"
        )
    return identity


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


def _public(certificate: ServerCertificate) -> bytes:
    return certificate.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
