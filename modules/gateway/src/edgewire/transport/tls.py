"""TLS of a listener: certificate, key, and whether clients are asked for theirs. Two engines, one interface."""

import time
from collections.abc import Callable
from enum import Enum
from typing import assert_never

from edgewire.errors import UsageError
from edgewire.transport import tls_openssl, tls_standard
from edgewire.transport.certificates import ServerCertificate, read_server_certificate
from edgewire.transport.tls_engine import TlsEngine


class ClientCertificates(Enum):
    """Whether a listener asks clients for a certificate."""

    NONE = "none"
    REQUESTED = "requested"
    """Clients may show any, self-signed too, or none; whoever checks identities decides what it is worth."""


class Profile(Enum):
    """What a listener's TLS is made for."""

    MODERN = "modern"
    """TLS 1.2 and 1.3, with forward secrecy and authenticated encryption."""
    CONSTRAINED = "constrained"
    """TLS 1.2 with RSA key exchange and CBC, small records, no resumption: for boards that can do nothing else."""


class Security:
    """The TLS settings of a listener; the certificate can be replaced while it runs.

    `what` names certificate and key in messages to a person, with their files if there are any.
    """

    def __init__(
        self,
        chain_pem: bytes,
        key_pem: bytes,
        *,
        client_certificates: ClientCertificates = ClientCertificates.NONE,
        profile: Profile = Profile.MODERN,
        what: str = "server certificate",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises SecurityError."""
        if profile is Profile.CONSTRAINED and client_certificates is not ClientCertificates.NONE:
            raise UsageError("boards of the constrained profile end a handshake that asks for a certificate")
        self.client_certificates = client_certificates
        self.profile = profile
        self._what = what
        self._clock = clock
        self._certificate = self._read(chain_pem, key_pem)
        self._make = self._maker(self._certificate)

    @property
    def certificate(self) -> ServerCertificate:
        """Chain and key that new connections get."""
        return self._certificate

    @property
    def expires_at(self) -> float:
        """When clients will start to refuse the chain, in seconds since 1970."""
        return self._certificate.expires_at

    def reload(
        self, chain_pem: bytes, key_pem: bytes, check: Callable[[ServerCertificate], None] = lambda _: None
    ) -> None:
        """Use this chain and key for new connections; established ones keep theirs.

        Raises SecurityError, which `check` may raise too; then nothing has changed.
        """
        certificate = self._read(chain_pem, key_pem)
        check(certificate)
        self._make = self._maker(certificate)
        self._certificate = certificate

    def engine(self) -> TlsEngine:
        """The server's side of one new TLS connection."""
        return self._make()

    def _read(self, chain_pem: bytes, key_pem: bytes) -> ServerCertificate:
        return read_server_certificate(chain_pem, key_pem, what=self._what, now=self._clock())

    def _maker(self, certificate: ServerCertificate) -> Callable[[], TlsEngine]:
        if self.profile is Profile.CONSTRAINED:
            return tls_standard.constrained_maker(certificate, self._what)
        match self.client_certificates:
            case ClientCertificates.NONE:
                return tls_standard.maker(certificate, self._what)
            case ClientCertificates.REQUESTED:
                return tls_openssl.maker(certificate, self._what)
            case never:
                assert_never(never)
