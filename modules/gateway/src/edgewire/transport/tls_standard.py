"""The TLS engine over the standard library, for listeners that ask for no client certificate."""

import contextlib
import os
import ssl
from collections.abc import Callable

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edgewire.transport.certificates import SecurityError, ServerCertificate
from edgewire.transport.tls_engine import CIPHERS, RECORD_BYTES, HandshakeError, TlsError, failure_of


def maker(certificate: ServerCertificate, what: str) -> Callable[[], "StandardEngine"]:
    """A maker of engines that serve this certificate. Raises SecurityError."""
    try:
        context = _context(certificate)
    except ssl.SSLError as error:
        raise SecurityError(
            f"{what}: OpenSSL does not take it ({error.reason}). Make a new key and certificate, "
            "P-256 or RSA 2048 signed with SHA-256."
        ) from error
    return lambda: StandardEngine(context)


def _context(certificate: ServerCertificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 1  # a device holds one connection; the second ticket of the default is never used
    pem = certificate.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem += b"".join(link.public_bytes(Encoding.PEM) for link in certificate.chain)
    # The ssl module loads from a path only; this file has no name on any disk, and goes with its descriptor.
    descriptor = os.memfd_create("server-certificate")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


class StandardEngine:
    """`ssl.SSLObject` over memory BIOs. Python's contexts release the buffers of idle connections by themselves."""

    __slots__ = ("_from_peer", "_tls", "_to_peer", "ended")

    certificates: tuple[bytes, ...] = ()

    def __init__(self, context: ssl.SSLContext) -> None:
        self._from_peer = ssl.MemoryBIO()
        self._to_peer = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._from_peer, self._to_peer, server_side=True)
        self.ended = False

    @property
    def version(self) -> str:
        """TLSv1.2 or TLSv1.3, once the handshake is done."""
        return self._tls.version() or ""

    def handshake(self, data: bytes) -> bool:
        """Take bytes of the peer; True once the handshake is done. Raises HandshakeError."""
        self._from_peer.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            words = error.reason or str(error)
            raise HandshakeError(failure_of(words), words) from error
        return True

    def decrypt(self, data: bytes) -> bytes:
        """Take bytes of the peer; gives all clear text that is complete. Raises TlsError."""
        self._from_peer.write(data)
        pieces: list[bytes] = []
        try:
            while self._from_peer.pending and not self.ended:
                piece = self._tls.read(RECORD_BYTES)
                if piece:
                    pieces.append(piece)
                else:
                    self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            raise TlsError(error.reason or str(error)) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def encrypt(self, data: bytes) -> bytes:
        """The records that carry this clear text. Raises TlsError."""
        try:
            if len(data) <= RECORD_BYTES:
                self._tls.write(data)
                return self._to_peer.read()
            # Record by record, so that the memory BIO does not grow to the largest write there ever was.
            view = memoryview(data)
            records: list[bytes] = []
            for at in range(0, len(data), RECORD_BYTES):
                self._tls.write(view[at : at + RECORD_BYTES])
                records.append(self._to_peer.read())
            return b"".join(records)
        except ssl.SSLError as error:
            raise TlsError(error.reason or str(error)) from error

    def shutdown(self) -> None:
        """Say close_notify."""
        with contextlib.suppress(
            ssl.SSLError
        ):  # it waits for the peer's close_notify, which nobody needs; ours is in the output.
            self._tls.unwrap()

    @property
    def may_have_output(self) -> bool:
        """Whether `take_output` is worth its cost after a `decrypt`."""
        return bool(self._to_peer.pending)

    def take_output(self) -> bytes:
        """Records to send that carry no data of ours: handshake, alerts, close_notify."""
        return self._to_peer.read() if self._to_peer.pending else b""
