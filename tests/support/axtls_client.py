"""A client as strict and as limited as axTLS, the TLS of MicroPython on the ESP8266, written out in plain Python.

It offers four suites with RSA key exchange and no extension but the signature algorithms, and the server's name if it
has one. It ends the connection where that library does: on a record larger than its buffer, on a request for a
certificate, on a certificate that is not RSA with PKCS #1 throughout. And it has that library's one buffer for both
ways: what of a record was not read when it writes, is lost. Spec: RFC 5246, esp8266.md §2.1.
"""

import asyncio
import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final, NoReturn, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.x509.oid import SignatureAlgorithmOID

PATIENCE_S: Final = 30.0
BUFFER: Final = 1_024 + 4_096
LONGEST_RECORD: Final = BUFFER - 5
PIECE: Final = 1_024
"""It sends no more at once."""
VERSION: Final = b"\x03\x03"
CHANGE, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
CLOSE_NOTIFY: Final = b"\x01\x00"
SERVER_HELLO, CERTIFICATE, CERTIFICATE_REQUEST, HELLO_DONE, FINISHED = 2, 11, 13, 14, 20
SIGNATURES: Final = bytes.fromhex("0401 0501 0601 0201")
SIGNED_BY_RSA: Final = frozenset(
    {
        SignatureAlgorithmOID.RSA_WITH_SHA1,
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One of the four."""

    name: str
    code: int
    key_bytes: int
    digest: str

    @property
    def mac_bytes(self) -> int:
        """The length of its MAC, and of the key of that."""
        return hashlib.new(self.digest).digest_size


SUITES: Final = (
    Suite(name="AES128-SHA256", code=0x003C, key_bytes=16, digest="sha256"),
    Suite(name="AES256-SHA256", code=0x003D, key_bytes=32, digest="sha256"),
    Suite(name="AES128-SHA", code=0x002F, key_bytes=16, digest="sha1"),
    Suite(name="AES256-SHA", code=0x0035, key_bytes=32, digest="sha1"),
)


class Trouble(Enum):
    """The library's own codes, where it has one; `-40` is how an alert of the server looks to a board."""

    NO_CIPHER = -40
    RECORD_OVERFLOW = -277
    INVALID_CERT_HASH_ALG = -257
    BAD_CERTIFICATE = -262
    UNEXPECTED = -260
    BAD_RECORD = -263
    ALERT = -256
    """An alert behind the key exchange; the code is in the text."""
    LOST = -9984
    """The server went away in the handshake."""


class AxTlsError(Exception):
    """The board gives up."""

    def __init__(self, trouble: Trouble, what: str) -> None:
        super().__init__(f"{trouble.name} ({trouble.value}): {what}")
        self.trouble = trouble


def give_up(trouble: Trouble, what: str) -> NoReturn:
    """End as the library does."""
    raise AxTlsError(trouble, what)


def prf(secret: bytes, label: bytes, seed: bytes, size: int) -> bytes:
    """RFC 5246 §5."""
    out, chained = b"", label + seed
    while len(out) < size:
        chained = hmac.digest(secret, chained, "sha256")
        out += hmac.digest(secret, chained + label + seed, "sha256")
    return out[:size]


class Way:
    """Keys and record numbers of one direction. Spec: RFC 5246 §6.2.3.2."""

    def __init__(self, suite: Suite, mac_key: bytes, key: bytes) -> None:
        self._suite = suite
        self._mac_key = mac_key
        self._key = algorithms.AES(key)
        self._number = 0

    def seal(self, kind: int, clear: bytes) -> bytes:
        """The body of a record."""
        vector = os.urandom(16)
        data = clear + self._mac(kind, clear)
        padding = 15 - len(data) % 16
        data += bytes((padding,)) * (padding + 1)
        writer = Cipher(self._key, modes.CBC(vector)).encryptor()
        return vector + writer.update(data) + writer.finalize()

    def open(self, kind: int, body: bytes) -> bytes:
        """The clear text of a record."""
        if len(body) < 32 or len(body) % 16:
            give_up(Trouble.BAD_RECORD, f"{len(body)} bytes are no blocks")
        reader = Cipher(self._key, modes.CBC(body[:16])).decryptor()
        data = reader.update(body[16:]) + reader.finalize()
        padding = data[-1]
        end = len(data) - padding - 1
        clear, mac = data[: end - self._suite.mac_bytes], data[end - self._suite.mac_bytes : end]
        if not hmac.compare_digest(mac, self._mac(kind, clear)):
            give_up(Trouble.BAD_RECORD, "wrong MAC")
        return clear

    def _mac(self, kind: int, clear: bytes) -> bytes:
        head = self._number.to_bytes(8, "big") + bytes((kind,)) + VERSION + len(clear).to_bytes(2, "big")
        self._number += 1
        return hmac.digest(self._mac_key, head + clear, self._suite.digest)


class AxTlsClient:
    """One connection. `record_sizes` are the clear texts of all data records so far."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._heard = b""
        self._in: Way | None = None
        self._out: Way | None = None
        self._unread = bytearray()
        self.suite: Suite
        self.certificates: tuple[x509.Certificate, ...] = ()
        self.certificate_message_bytes = 0
        self.record_sizes: list[int] = []
        self.damaged_bytes = 0

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, address: str, port: int, *, name: str | None = None, suites: tuple[Suite, ...] = SUITES
    ) -> AsyncIterator[Self]:
        """A connection past its handshake. Raises AxTlsError if the board would give up."""
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(address, port)
        client = cls(reader, writer)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await client._handshake(name, suites)
            yield client
        finally:
            writer.close()

    async def read(self, most: int) -> bytes:
        """At most so much of the record at hand, or of the next one; nothing at the end."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._unread:
                try:
                    kind, clear = await self._record()
                except asyncio.IncompleteReadError:
                    return b""
                if kind == ALERT:
                    return b""
                if kind != DATA:
                    give_up(Trouble.UNEXPECTED, f"a record of kind {kind} among data")
                self.record_sizes.append(len(clear))
                self._unread += clear
        piece = bytes(self._unread[:most])
        del self._unread[:most]
        return piece

    async def read_exactly(self, count: int) -> bytes:
        """So much, over as many records as it takes; less only at the end."""
        data = b""
        while len(data) < count:
            piece = await self.read(count - len(data))
            if not piece:
                break
            data += piece
        return data

    async def write(self, data: bytes) -> None:
        """Send; what of the record at hand was not read, is overwritten by it."""
        assert self._out is not None
        for at in range(0, len(data), PIECE):
            sealed = self._out.seal(DATA, data[at : at + PIECE])
            self._damage(sealed)
            self._put(DATA, sealed)
        async with asyncio.timeout(PATIENCE_S):
            await self._writer.drain()

    async def close(self) -> None:
        """Say close_notify and close."""
        assert self._out is not None
        self._put(ALERT, self._out.seal(ALERT, CLOSE_NOTIFY))
        self._writer.close()
        async with asyncio.timeout(PATIENCE_S):
            await self._writer.wait_closed()

    def _damage(self, sealed: bytes) -> None:
        count = min(len(self._unread), len(sealed))
        self._unread[:count] = sealed[:count]
        self.damaged_bytes += count

    def sealed_premaster(self, key: RSAPublicKey, premaster: bytes) -> bytes:
        """What goes into ClientKeyExchange. Spec: RFC 5246 §7.4.7.1."""
        return key.encrypt(premaster, PKCS1v15())

    async def send_sealed(self, body: bytes) -> tuple[int, bytes]:
        """Send the body of a data record as it stands; the next record of the server."""
        self._put(DATA, body)
        async with asyncio.timeout(PATIENCE_S):
            return await self._record()

    def seal(self, clear: bytes) -> bytes:
        """The body of the next data record."""
        assert self._out is not None
        return self._out.seal(DATA, clear)

    # The handshake, RFC 5246 §7.3.

    async def _handshake(self, name: str | None, suites: tuple[Suite, ...]) -> None:
        ours = os.urandom(32)
        self._say(1, VERSION + ours + b"\0" + _codes(suites) + b"\x01\x00" + _extensions(name))
        theirs = self._take_hello(await self._message(SERVER_HELLO), suites)
        self._take_certificates(await self._message(CERTIFICATE))
        await self._message(HELLO_DONE)
        premaster = VERSION + os.urandom(46)
        key = self.certificates[0].public_key()
        assert isinstance(key, RSAPublicKey)
        sealed = self.sealed_premaster(key, premaster)
        self._say(16, len(sealed).to_bytes(2, "big") + sealed)
        master = prf(premaster, b"master secret", ours + theirs, 48)
        coming, self._out = self._ways(master, theirs + ours)
        self._put(CHANGE, b"\x01")
        self._say(FINISHED, prf(master, b"client finished", hashlib.sha256(self._heard).digest(), 12))
        kind, body = await self._record()
        if kind == ALERT:
            give_up(Trouble.ALERT, f"the server's alert {body[1]}")
        if (kind, body) != (CHANGE, b"\x01"):
            give_up(Trouble.UNEXPECTED, f"a record of kind {kind} where the keys should change")
        expected = prf(master, b"server finished", hashlib.sha256(self._heard).digest(), 12)
        self._in = coming
        if not hmac.compare_digest(await self._message(FINISHED), expected):
            give_up(Trouble.UNEXPECTED, "the server's Finished is of another handshake")

    def _take_hello(self, body: bytes, suites: tuple[Suite, ...]) -> bytes:
        """The server's random."""
        if body[:2] != VERSION:
            give_up(Trouble.UNEXPECTED, f"version {body[:2].hex()}")
        at = 35 + body[34]
        code, compression, extensions = int.from_bytes(body[at : at + 2], "big"), body[at + 2], body[at + 5 :]
        known = {suite.code: suite for suite in suites}
        if code not in known or compression or extensions.strip(b"\0"):
            give_up(Trouble.UNEXPECTED, f"suite {code:04x}, extensions {extensions.hex()}: not offered")
        self.suite = known[code]
        return body[2:34]

    def _take_certificates(self, body: bytes) -> None:
        self.certificate_message_bytes = len(body) + 4
        found: list[x509.Certificate] = []
        at = 3
        while at < len(body):
            end = at + 3 + int.from_bytes(body[at : at + 3], "big")
            found.append(x509.load_der_x509_certificate(body[at + 3 : end]))
            at = end
        for each in found:
            if each.signature_algorithm_oid not in SIGNED_BY_RSA:
                give_up(Trouble.BAD_CERTIFICATE, f"signed by {each.signature_algorithm_oid.dotted_string}")
            if not isinstance(each.public_key(), RSAPublicKey):
                give_up(Trouble.BAD_CERTIFICATE, "a key that is not RSA")
        self.certificates = tuple(found)

    def _ways(self, master: bytes, seed: bytes) -> tuple[Way, Way]:
        """In, and out. Spec: RFC 5246 §6.3."""
        sizes = [self.suite.mac_bytes] * 2 + [self.suite.key_bytes] * 2
        block = prf(master, b"key expansion", seed, sum(sizes))
        keys = [block[sum(sizes[:at]) : sum(sizes[: at + 1])] for at in range(4)]
        return Way(self.suite, keys[1], keys[3]), Way(self.suite, keys[0], keys[2])

    async def _message(self, wanted: int) -> bytes:
        """The next message of the handshake, which has a record of its own."""
        kind, data = await self._record()
        if kind == ALERT:
            give_up(Trouble.NO_CIPHER, f"the server's alert {data[1]}")
        if kind != HANDSHAKE:
            give_up(Trouble.UNEXPECTED, f"a record of kind {kind} in the handshake")
        if data[0] == CERTIFICATE_REQUEST:
            give_up(Trouble.INVALID_CERT_HASH_ALG, "the server asks for a certificate")
        if data[0] != wanted or int.from_bytes(data[1:4], "big") != len(data) - 4:
            give_up(Trouble.UNEXPECTED, f"message {data[0]} of {len(data)} bytes, where {wanted} should come")
        self._heard += data
        return data[4:]

    def _say(self, kind: int, body: bytes) -> None:
        message = bytes((kind,)) + len(body).to_bytes(3, "big") + body
        self._heard += message
        self._put(HANDSHAKE, message if kind != FINISHED else self._sealed_finished(message))

    def _sealed_finished(self, message: bytes) -> bytes:
        assert self._out is not None
        return self._out.seal(HANDSHAKE, message)

    # Records.

    def _put(self, kind: int, body: bytes) -> None:
        self._writer.write(bytes((kind,)) + VERSION + len(body).to_bytes(2, "big") + body)

    async def _record(self) -> tuple[int, bytes]:
        """Kind and clear text of the next record."""
        try:
            head = await self._reader.readexactly(5)
        except asyncio.IncompleteReadError:
            if self._in is None:
                give_up(Trouble.LOST, "the server went away")
            raise
        size = int.from_bytes(head[3:], "big")
        if size > LONGEST_RECORD:
            give_up(Trouble.RECORD_OVERFLOW, f"a record of {size} bytes")
        body = await self._reader.readexactly(size)
        return head[0], body if self._in is None else self._in.open(head[0], body)


def _codes(suites: tuple[Suite, ...]) -> bytes:
    codes = b"".join(suite.code.to_bytes(2, "big") for suite in suites)
    return len(codes).to_bytes(2, "big") + codes


def _extensions(name: str | None) -> bytes:
    """Server name (RFC 6066 §3) if there is one, signature algorithms (RFC 5246 §7.4.1.4.1), nothing else."""
    extensions = b""
    if name is not None:
        host = b"\0" + len(name).to_bytes(2, "big") + name.encode()
        extensions += _extension(0, len(host).to_bytes(2, "big") + host)
    extensions += _extension(13, len(SIGNATURES).to_bytes(2, "big") + SIGNATURES)
    return len(extensions).to_bytes(2, "big") + extensions


def _extension(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body
