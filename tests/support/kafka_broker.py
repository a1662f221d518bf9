"""A Kafka broker small enough for tests, from Kafka's protocol guide: one node, one topic, produce and no fetch.

It speaks one version of each call: ApiVersions 0, Metadata 5, SaslHandshake 1, SaslAuthenticate 1 (PLAIN),
InitProducerId 1, Produce 7 with record batches of format 2. Batches are checked as a broker does: CRC-32C, producer id,
sequence; one that came before is answered again and not kept again. What breaks a rule is kept in `violations`.
"""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

API_VERSIONS: Final = 18
METADATA: Final = 3
SASL_HANDSHAKE: Final = 17
SASL_AUTHENTICATE: Final = 36
INIT_PRODUCER_ID: Final = 22
PRODUCE: Final = 0
SPOKEN: Final = {API_VERSIONS: 0, METADATA: 5, SASL_HANDSHAKE: 1, SASL_AUTHENTICATE: 1, INIT_PRODUCER_ID: 1, PRODUCE: 7}

UNKNOWN_TOPIC: Final = 3
TOO_LARGE: Final = 10
NOT_ENOUGH_REPLICAS: Final = 19
"""Passes by itself: the client tries again."""
UNSUPPORTED_VERSION: Final = 35
OUT_OF_ORDER: Final = 45
AUTHENTICATION_FAILED: Final = 58
CORRUPT: Final = 2
_ALL_REPLICAS: Final = -1

TURNS: Final = 10
"""Of the loop, in which asyncio makes a connection of what was dialled: one that is half made cannot be closed."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was kept."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: dict[str, bytes]
    timestamp_ms: int


@dataclass
class Faults:
    """What the broker does wrong. `refuse`: with this error, every batch; `forget`: keep, and cut before the answer."""

    refuse: int = 0
    forget: int = 0
    largest: int = 1_048_576


@dataclass
class KafkaBroker:
    """`users`: names and passwords of SASL PLAIN; without any nobody need log in."""

    host: str
    users: dict[str, str] = field(default_factory=dict)
    topic: str = "telemetry"
    partitions: int = 3
    port: int = 0
    records: list[Record] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    producers: int = 0
    _sequences: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    """By producer and partition: the sequence that comes next, and the first of the last batch."""
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @asynccontextmanager
    async def running(self, security: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        """Listen; on the same port when it was stopped before."""
        await self.start(security)
        try:
            yield
        finally:
            await self.stop()

    async def start(self, security: ssl.SSLContext | None = None) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=security)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be away: no port, no connection."""
        assert self._server is not None
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    def of(self, key: str) -> list[bytes]:
        """What was kept of one key, in its order."""
        return [record.value for record in self.records if record.key == key.encode()]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        connection = _Connection(self)
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4))
                answer = connection.answer(await reader.readexactly(size))
                if answer is None:
                    break
                writer.write(len(answer).to_bytes(4) + answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    def keep(self, partition: int, batch: bytes) -> tuple[int, int]:
        """Keep a batch. Returns the error, and the offset of its first record."""
        if len(batch) > self.faults.largest:
            return TOO_LARGE, -1
        if self.faults.refuse:
            return self.faults.refuse, -1
        found = _Batch(batch)
        if not found.whole:
            return CORRUPT, -1
        following, last = self._sequences.get((found.producer, partition), (0, -1))
        if found.producer < 0:
            self.violations.append("a batch of a producer that is not idempotent")
        elif found.sequence == last:
            return 0, -1  # DUPLICATE_SEQUENCE_NUMBER is answered as a success
        elif found.sequence != following:
            return OUT_OF_ORDER, -1
        offset = sum(record.partition == partition for record in self.records)
        rows = list(found.records(partition, offset))
        self._sequences[found.producer, partition] = (found.sequence + len(rows), found.sequence)
        self.records += rows
        return 0, offset


class _Connection:
    def __init__(self, broker: KafkaBroker) -> None:
        self._broker = broker
        self._may = not broker.users

    def answer(self, request: bytes) -> bytes | None:
        """The answer to a request; None ends the connection."""
        call, version = struct.unpack_from(">hh", request)
        head = request[4:8]
        if call == API_VERSIONS:
            return head + _versions(0 if version == 0 else UNSUPPORTED_VERSION)
        if SPOKEN.get(call) != version:
            self._broker.violations.append(f"call {call} in version {version}")
            return None
        read = _Reader(request, 8)
        read.text()  # client id
        if call not in (SASL_HANDSHAKE, SASL_AUTHENTICATE) and not self._may:
            self._broker.violations.append(f"call {call} before the login")
            return None
        match call:
            case 17:
                return head + _i16(0 if read.text() == "PLAIN" else 33) + _i32(1) + _text("PLAIN")
            case 36:
                return head + self._log_in(read.binary())
            case 3:
                return head + self._metadata(read)
            case 22:
                self._broker.producers += 1
                return head + _i32(0) + _i16(0) + _i64(self._broker.producers) + _i16(0)
            case _:
                answer = self._produce(read)
                return None if answer is None else head + answer

    def _log_in(self, response: bytes) -> bytes:
        _, user, password = response.decode().split("\0")
        self._may = self._broker.users.get(user) == password
        error = 0 if self._may else AUTHENTICATION_FAILED
        return _i16(error) + (_i16(-1) if self._may else _text("Invalid credentials")) + _i32(0) + _i64(0)

    def _metadata(self, read: "_Reader") -> bytes:
        broker = self._broker
        wanted = [read.text() for _ in range(max(read.i32(), 0))]
        topics = [_topic(name, broker.partitions if name == broker.topic else None) for name in wanted]
        node = _i32(1) + _text(broker.host) + _i32(broker.port) + _i16(-1)
        return _i32(0) + _i32(1) + node + _text("cluster") + _i32(1) + _i32(len(topics)) + b"".join(topics)

    def _produce(self, read: "_Reader") -> bytes | None:
        broker = self._broker
        if read.text() or read.i16() != _ALL_REPLICAS:
            broker.violations.append("a transaction, or not the acknowledgement of all replicas")
        read.i32()  # time-out
        topics = []
        for _ in range(read.i32()):
            name, partitions = read.text(), []
            for _ in range(read.i32()):
                partition, batch = read.i32(), read.binary()
                error, offset = broker.keep(partition, batch) if name == broker.topic else (UNKNOWN_TOPIC, -1)
                partitions.append(_i32(partition) + _i16(error) + _i64(offset) + _i64(-1) + _i64(0))
            topics.append(_text(name) + _i32(len(partitions)) + b"".join(partitions))
        if broker.faults.forget:
            broker.faults.forget -= 1
            return None
        return _i32(len(topics)) + b"".join(topics) + _i32(0)


class _Batch:
    """A record batch, format 2: KIP-98."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        (magic, self._crc) = struct.unpack_from(">bI", data, 16)
        self.whole = magic == 2 and len(data) == 12 + int.from_bytes(data[8:12]) and crc32c(data[21:]) == self._crc
        (attributes, _, self._at_ms, _, self.producer, _, self.sequence, self._count) = struct.unpack_from(
            ">hiqqqhii", data, 21
        )
        self.whole = self.whole and attributes & 0x17 == 0  # neither compressed nor of a transaction

    def records(self, partition: int, offset: int) -> Iterator[Record]:
        """Its records."""
        read = _Reader(self._data, 61)
        for number in range(self._count):
            read.varint()  # length
            read.take(1)  # attributes
            at_ms = self._at_ms + read.varint()
            read.varint()  # offset
            key, value = read.short(), read.short()
            headers = {read.short().decode(): read.short() for _ in range(read.varint())}
            yield Record(partition, offset + number, key, value, headers, at_ms)


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def take(self, count: int) -> bytes:
        self._at += count
        assert self._at <= len(self._data), "a request that ends too soon"
        return self._data[self._at - count : self._at]

    def i16(self) -> int:
        return int.from_bytes(self.take(2), signed=True)

    def i32(self) -> int:
        return int.from_bytes(self.take(4), signed=True)

    def text(self) -> str:
        return self.take(max(self.i16(), 0)).decode()

    def binary(self) -> bytes:
        return self.take(max(self.i32(), 0))

    def varint(self) -> int:
        """Zigzag, as protocol buffers have it."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)

    def short(self) -> bytes:
        """Bytes with a varint before them; -1 stands for none."""
        return self.take(max(self.varint(), 0))


def crc32c(data: bytes) -> int:
    """The checksum with Castagnoli's polynomial. Spec: RFC 3720 appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _shifted(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE: Final = tuple(_shifted(value) for value in range(256))


def _versions(error: int) -> bytes:
    rows = [_i16(call) + _i16(version) + _i16(version) for call, version in SPOKEN.items()]
    return _i16(error) + _i32(len(rows)) + b"".join(rows)


def _topic(name: str, partitions: int | None) -> bytes:
    rows = [
        _i16(0) + _i32(each) + _i32(1) + _i32(1) + _i32(1) + _i32(1) + _i32(1) + _i32(0)
        for each in range(partitions or 0)
    ]
    error = UNKNOWN_TOPIC if partitions is None else 0
    return _i16(error) + _text(name) + b"\0" + _i32(len(rows)) + b"".join(rows)


def _i16(value: int) -> bytes:
    return value.to_bytes(2, signed=True)


def _i32(value: int) -> bytes:
    return value.to_bytes(4, signed=True)


def _i64(value: int) -> bytes:
    return value.to_bytes(8, signed=True)


def _text(value: str) -> bytes:
    return _i16(len(value.encode())) + value.encode()
