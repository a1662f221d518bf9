"""The TLS engine over the standard library, for listeners that ask for no client certificate."""

import contextlib
import os
import ssl
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edgewire.transport.certificates import SecurityError, ServerCertificate
from edgewire.transport.tls_engine import (
    CIPHERS,
    CONSTRAINED_CIPHERS,
    CONSTRAINED_RECORD_BYTES,
    RECORD_BYTES,
    HandshakeError,
    TlsError,
    failure_of,
)

MAX_KEPT_SESSIONS: Final = 100
"""Handshakes of the constrained profile after which its context is made anew: OpenSSL keeps a session of each for two
hours, for a resumption that no such board asks for, and the standard library cannot tell it not to. A kilobyte each."""


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


def constrained_maker(certificate: ServerCertificate, what: str) -> Callable[[], "ConstrainedEngine"]:
    """A maker of engines for boards that know RSA key exchange alone. Raises SecurityError."""
    try:
        contexts = _Contexts(certificate)
    except ssl.SSLError as error:
        raise SecurityError(
            f"{what}: OpenSSL does not take it for boards ({error}). Make a new key and certificate, RSA 2048 "
            "signed with SHA-256; if it is one already, this OpenSSL was built or set to do without RSA key exchange, "
            "and boards cannot be served here."
        ) from error
    return lambda: ConstrainedEngine(contexts.next())


class _Contexts:
    """Contexts of the constrained profile, each for a bounded number of connections."""

    def __init__(self, certificate: ServerCertificate) -> None:
        self._certificate = certificate
        self._made = 0
        self._context = _constrained_context(certificate)

    def next(self) -> ssl.SSLContext:
        """The context of one more connection."""
        self._made += 1
        if self._made > MAX_KEPT_SESSIONS:
            self._made = 1
            self._context = _constrained_context(self._certificate)
        return self._context


def _context(certificate: ServerCertificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 1  # a device holds one connection; the second ticket of the default is never used
    _load(context, certificate)
    return context


def _constrained_context(certificate: ServerCertificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CONSTRAINED_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    # A request for a certificate, even one that need not be answered, ends the handshake of axTLS.
    context.verify_mode = ssl.CERT_NONE
    _load(context, certificate)
    return context


def _load(context: ssl.SSLContext, certificate: ServerCertificate) -> None:
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


class StandardEngine:
    """`ssl.SSLObject` over memory BIOs. Python's contexts release the buffers of idle connections by themselves."""

    __slots__ = ("_from_peer", "_tls", "_to_peer", "ended")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._from_peer = ssl.MemoryBIO()
        self._to_peer = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._from_peer, self._to_peer, server_side=True)
        self.ended = False

    @property
    def version(self) -> str:
        """TLSv1.2 or TLSv1.3, once the handshake is done."""
        return self._tls.version() or ""

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """None: this engine asks clients for none."""
        return ()

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


class ConstrainedEngine(StandardEngine):
    """The same with records that a small board has room for."""

    __slots__ = ()

    def encrypt(self, data: bytes) -> bytes:
        """The records that carry this clear text. Raises TlsError."""
        return b"".join(
            StandardEngine.encrypt(self, data[at : at + CONSTRAINED_RECORD_BYTES])
            for at in range(0, len(data), CONSTRAINED_RECORD_BYTES)
        )
