"""The TLS engine over pyOpenSSL, for listeners that ask clients for a certificate.

A device may be registered by the thumbprint of a self-signed certificate. The standard library has no verify callback
and ends such a handshake; here any certificate passes, and whoever checks identities decides.
"""

import contextlib
from collections.abc import Callable

from OpenSSL import SSL, crypto

from edgewire.transport.certificates import SecurityError, ServerCertificate
from edgewire.transport.tls_engine import CIPHERS, RECORD_BYTES, HandshakeError, TlsError, failure_of

OUTPUT_BYTES = RECORD_BYTES + 1024
"""Read from OpenSSL at once: more than one record with all that may be around it."""

MAX_CHAIN = 10
"""Certificates of a peer that are handed on; OpenSSL itself stops at 100 KiB of them."""


def maker(certificate: ServerCertificate, what: str) -> Callable[[], "OpensslEngine"]:
    """A maker of engines that serve this certificate and ask for the peer's. Raises SecurityError."""
    try:
        context = _context(certificate)
    except SSL.Error as error:
        raise SecurityError(
            f"{what}: OpenSSL does not take it ({_words(error)}). Make a new key and certificate, "
            "P-256 or RSA 2048 signed with SHA-256."
        ) from error
    return lambda: OpensslEngine(context)


def _context(certificate: ServerCertificate) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(CIPHERS.encode())
    # A resumed session would bring back the peer's leaf only, without the chain to check it by; so none is resumed.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(
        SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_verify(SSL.VERIFY_PEER, _accept_any)
    context.use_certificate(certificate.chain[0])
    for link in certificate.chain[1:]:
        context.add_extra_chain_cert(link)
    context.use_privatekey(certificate.key)
    context.check_privatekey()
    return context


def _accept_any(_connection: SSL.Connection, _x509: crypto.X509, _error: int, _depth: int, _preverified: int) -> bool:
    return True


def _words(error: SSL.Error) -> str:
    """OpenSSL's own words: the reason of the first entry of its error queue."""
    queue = error.args[0] if error.args else ()
    return str(queue[0][-1]) if isinstance(queue, list) and queue else str(error) or type(error).__name__


class OpensslEngine:
    """`OpenSSL.SSL.Connection` over memory BIOs."""

    __slots__ = ("_tls", "_unlooked", "certificates", "ended")

    def __init__(self, context: SSL.Context) -> None:
        self._tls = SSL.Connection(context, None)
        self._tls.set_accept_state()
        self._unlooked = 0
        """Bytes of the peer since the output was last looked at."""
        self.certificates: tuple[bytes, ...] = ()
        self.ended = False

    @property
    def version(self) -> str:
        """TLSv1.2 or TLSv1.3, once the handshake is done."""
        return self._tls.get_protocol_version_name()

    def handshake(self, data: bytes) -> bool:
        """Take bytes of the peer; True once the handshake is done. Raises HandshakeError."""
        self._tls.bio_write(data)
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            words = _words(error)
            raise HandshakeError(failure_of(words), words) from error
        self.certificates = self._peer_certificates()
        return True

    def decrypt(self, data: bytes) -> bytes:
        """Take bytes of the peer; gives all clear text that is complete. Raises TlsError."""
        if data:
            self._tls.bio_write(data)
            self._unlooked += len(data)
        pieces: list[bytes] = []
        try:
            while not self.ended:
                pieces.append(self._tls.recv(RECORD_BYTES))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.ended = True
        except SSL.Error as error:
            raise TlsError(_words(error)) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def encrypt(self, data: bytes) -> bytes:
        """The records that carry this clear text. Raises TlsError."""
        view = memoryview(data)
        records: list[bytes] = []
        try:
            # Record by record, so that the memory BIO does not grow to the largest write there ever was.
            for at in range(0, len(data), RECORD_BYTES):
                self._tls.send(view[at : at + RECORD_BYTES])
                records.append(self.take_output())
        except SSL.Error as error:
            raise TlsError(_words(error)) from error
        return records[0] if len(records) == 1 else b"".join(records)

    def shutdown(self) -> None:
        """Say close_notify."""
        with contextlib.suppress(SSL.Error):  # a connection that failed has said its alert already.
            self._tls.shutdown()

    @property
    def may_have_output(self) -> bool:
        """Whether `take_output` is worth its cost after a `decrypt`.

        pyOpenSSL tells that there is none by an exception, which costs more than a small record. What a peer can cause
        here (refused renegotiations) goes out with our next data, or after this many bytes of the peer.
        """
        return self._unlooked > RECORD_BYTES

    def take_output(self) -> bytes:
        """Records to send that carry no data of ours: handshake, alerts, close_notify."""
        self._unlooked = 0
        pieces: list[bytes] = []
        try:
            while True:
                pieces.append(self._tls.bio_read(OUTPUT_BYTES))
                if len(pieces[-1]) < OUTPUT_BYTES:
                    break
        except SSL.WantReadError:
            pass
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _peer_certificates(self) -> tuple[bytes, ...]:
        """Leaf and chain; on the server's side OpenSSL's chain does not hold the leaf."""
        leaf = self._tls.get_peer_certificate()
        if leaf is None:
            return ()
        links = [leaf, *(self._tls.get_peer_cert_chain() or ())]
        encoded = [crypto.dump_certificate(crypto.FILETYPE_ASN1, link) for link in links[: MAX_CHAIN + 1]]
        return tuple(dict.fromkeys(encoded))
