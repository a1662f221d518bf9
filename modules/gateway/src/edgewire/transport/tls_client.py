"""TLS of a connection that we dial: whom we believe, and the client's engine over the standard library."""

import ssl

from edgewire.transport.certificates import SecurityError
from edgewire.transport.reports import HandshakeFailure
from edgewire.transport.tls_engine import CIPHERS, HandshakeError
from edgewire.transport.tls_standard import StandardEngine


def client_context(trust_pem: bytes = b"", what: str = "trust bundle") -> ssl.SSLContext:
    """Believes the system's authorities and those of `trust_pem`; the server must carry the name that is dialled.

    Raises SecurityError if `trust_pem` holds something other than certificates; `what` names it for a person.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if trust_pem.strip():
        try:
            context.load_verify_locations(cadata=trust_pem.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise SecurityError(
                f"{what}: it holds no readable PEM certificates ({error}). Give the authorities that sign the "
                "server's certificate as '-----BEGIN CERTIFICATE-----' blocks"
            ) from error
    return context


class ClientSecurity:
    """Whom to believe: the system's authorities, and those of `trust_pem`. The server must carry the name we dial."""

    def __init__(self, trust_pem: bytes = b"", what: str = "trust bundle") -> None:
        """Raises SecurityError if `trust_pem` holds something other than certificates; `what` names it for a person."""
        self._context = client_context(trust_pem, what)

    def engine(self, name: str) -> "ClientEngine":
        """The client's side of one new TLS connection to the server of this name or address."""
        return ClientEngine(self._context, name)


class ClientEngine(StandardEngine):
    """The client's side of one TLS connection; the first `handshake` is called with nothing and says hello."""

    __slots__ = ("_shown",)

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self._from_peer = ssl.MemoryBIO()
        self._to_peer = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._from_peer, self._to_peer, server_side=False, server_hostname=name)
        self._shown: tuple[bytes, ...] = ()
        self.ended = False

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """The server's own certificate, DER, once the handshake is done; it was checked."""
        return self._shown

    def handshake(self, data: bytes) -> bool:
        """Take bytes of the server; True once the handshake is done. Raises HandshakeError."""
        try:
            done = super().handshake(data)
        except HandshakeError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                words = error.__cause__.verify_message
                raise HandshakeError(HandshakeFailure.CERTIFICATE_REFUSED, words) from error
            raise
        if done and (leaf := self._tls.getpeercert(binary_form=True)):
            self._shown = (leaf,)
        return done
