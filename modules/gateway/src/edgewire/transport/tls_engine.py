"""What a TLS engine does, whatever library is below it: ciphertext to clear text and back, without I/O."""

import re
from typing import Final, Protocol

from edgewire.transport.reports import HandshakeFailure

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else."""

CONSTRAINED_CIPHERS: Final = "AES128-SHA256:AES256-SHA256:AES128-SHA:AES256-SHA:@SECLEVEL=2"
"""All that axTLS knows, the TLS of small boards: RSA key exchange, CBC. Level 2 keeps short keys and SHA-1 signatures
out, as elsewhere; it is written down because at 3, which an openssl.cnf may ask for, none of the four is left."""

RECORD_BYTES: Final = 16_384
"""The most clear text one record may hold (RFC 8446 §5.1, RFC 5246 §6.2.1)."""

CONSTRAINED_RECORD_BYTES: Final = 4_096
"""The same for boards whose buffer takes records of 5,115 bytes, padding and all."""

HANDSHAKE_RECORD: Final = 0x16
"""The first byte of every TLS client (RFC 8446 §5.1)."""


class HandshakeError(Exception):
    """The TLS handshake failed, by the peer's fault."""

    def __init__(self, reason: HandshakeFailure, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class TlsError(Exception):
    """The peer sent records that are not valid TLS, after the handshake."""


class TlsEngine(Protocol):
    """The server's side of one TLS connection over memory BIOs.

    After every call but `encrypt`, also one that raised, `take_output` may hold bytes for the peer.
    """

    @property
    def version(self) -> str:
        """TLSv1.2 or TLSv1.3, once the handshake is done."""
        ...

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """The peer's certificates, DER, leaf first; nothing if it showed none."""
        ...

    @property
    def ended(self) -> bool:
        """The peer has sent close_notify."""
        ...

    def handshake(self, data: bytes) -> bool:
        """Take bytes of the peer; True once the handshake is done. Raises HandshakeError."""
        ...

    def decrypt(self, data: bytes) -> bytes:
        """Take bytes of the peer; gives all clear text that is complete. Raises TlsError."""
        ...

    def encrypt(self, data: bytes) -> bytes:
        """The records that carry this clear text. Raises TlsError."""
        ...

    def shutdown(self) -> None:
        """Say close_notify."""
        ...

    @property
    def may_have_output(self) -> bool:
        """Whether `take_output` is worth its cost after a `decrypt`; bounds what a peer can make us keep."""
        ...

    def take_output(self) -> bytes:
        """Records to send that carry no data of ours: handshake, alerts, close_notify."""
        ...


REASONS: Final = (
    (
        re.compile(r"HTTP_REQUEST|WRONG_VERSION_NUMBER|HTTPS_PROXY_REQUEST"),
        HandshakeFailure.NOT_TLS,
    ),
    (re.compile(r"ALERT.*VERSION"), HandshakeFailure.TLS_VERSION),
    (re.compile(r"ALERT"), HandshakeFailure.CERTIFICATE_REFUSED),
    (re.compile(r"UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|INAPPROPRIATE_FALLBACK"), HandshakeFailure.TLS_VERSION),
    (re.compile(r"NO_SHARED|NO_SUITABLE|NO_CIPHERS"), HandshakeFailure.TLS_CIPHER),
)
"""OpenSSL's own words for an error, in capitals with underscores; the first row that is found counts."""


def failure_of(words: str) -> HandshakeFailure:
    """Which kind of handshake failure OpenSSL means by these words."""
    normal = re.sub(r"[^A-Z0-9]+", "_", words.upper())
    return next((reason for pattern, reason in REASONS if pattern.search(normal)), HandshakeFailure.TLS_MALFORMED)
