"""A byte stream cut into frames, and frames written. Spec: AMQP 1.0 §2.2, §2.3, §5.3.1."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from edgewire.codec.amqp.composites import AMQP, SASL, read_performative
from edgewire.codec.amqp.conditions import FRAMING_ERROR
from edgewire.codec.amqp.performatives import (
    Disposition,
    Performative,
    SaslChallenge,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    SaslResponse,
    Transfer,
)
from edgewire.codec.amqp.transfers import read_transfer, write_disposition, write_transfer
from edgewire.codec.amqp.types import malformed
from edgewire.codec.amqp.writing import FAULTS_OF_WRITING
from edgewire.errors import ProtocolError, UsageError

AMQP_HEADER: Final = b"AMQP\x00\x01\x00\x00"
"""AMQP 1.0 §2.2: the protocol header of AMQP 1.0.0."""

TLS_HEADER: Final = b"AMQP\x02\x01\x00\x00"
"""AMQP 1.0 §5.2.1: asks for TLS inside the connection, which we have outside."""

SASL_HEADER: Final = b"AMQP\x03\x01\x00\x00"
"""AMQP 1.0 §5.3.2."""

HEADER_BYTES: Final = 8
"""A protocol header, and a frame's, have as many."""

EMPTY_FRAME: Final = b"\x00\x00\x00\x08\x02\x00\x00\x00"
"""AMQP 1.0 §2.4.5: says that we live."""

_HEADER: Final = struct.Struct(">IBBH").unpack_from
_WRITE_HEADER: Final = struct.Struct(">IBBH").pack


class FrameType(IntEnum):
    """What a frame's body is. Spec: AMQP 1.0 §2.3.1, §5.3.1."""

    AMQP = 0
    SASL = 1


_AMQP: Final = FrameType.AMQP


# Made once per message, so it is neither frozen nor keyword-only.
@dataclass(slots=True)
class Frame:
    """A frame; without a performative it is empty and says that the peer lives (AMQP 1.0 §2.4.5)."""

    channel: int
    type: FrameType
    performative: Performative | None
    payload: bytes


def _framing_error(what: str, spec: str) -> ProtocolError:
    return ProtocolError(what, reply=FRAMING_ERROR, spec=spec)


class FrameReader:
    """Takes bytes as they arrive and gives the protocol headers and frames that are whole.

    What arrives is cut in place; only the start of a frame whose end is still to come is copied, once, into a buffer
    that grows until the frame is whole: many small pieces cost linear time.
    """

    __slots__ = ("_at", "_data", "_needed", "_pending", "max_frame_bytes")

    def __init__(self, max_frame_bytes: int) -> None:
        """`max_frame_bytes` counts a whole frame, its header included; it may be set anew at any time."""
        self.max_frame_bytes = max_frame_bytes
        self._data = b""
        self._at = 0
        self._pending = bytearray()
        self._needed = 0

    @property
    def held(self) -> int:
        """How many bytes have arrived and are not yet given."""
        return len(self._data) - self._at + len(self._pending)

    def push(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._pending:
            self._pending += data
        elif self._at == len(self._data):
            self._data = data
            self._at = 0
        else:
            self._hold(HEADER_BYTES)
            self._pending += data

    def drop(self) -> None:
        """Forget what has arrived, for a connection that ends."""
        self._data = b""
        self._at = 0
        self._pending.clear()

    def next_header(self) -> bytes | None:
        """The protocol header that must come next, or None if it is not whole yet.

        It is one of the three here, or of a version that is not ours: eight bytes of which the first four are right.
        Raises ProtocolError if they are not.
        """
        if self._pending:
            self._take_pending()
        found = self._data[self._at : self._at + HEADER_BYTES]
        if not found.startswith(b"AMQP"[: len(found)]):
            raise _framing_error("bytes that are no AMQP protocol header", "AMQP 1.0 §2.2")
        if len(found) < HEADER_BYTES:
            self._hold(HEADER_BYTES)
            return None
        self._at += HEADER_BYTES
        return found

    def next(self) -> Frame | None:
        """The next frame, or None if it is not whole yet. Raises ProtocolError for one that may not be."""
        if self._pending:
            if len(self._pending) < self._needed:
                return None
            self._take_pending()
        data, at = self._data, self._at
        left = len(data) - at
        if left < HEADER_BYTES:
            if left:
                self._hold(HEADER_BYTES)
            return None
        size, offset, kind, channel = _HEADER(data, at)
        if size > self.max_frame_bytes or offset != 2 or size < HEADER_BYTES or kind > 1:
            self._check(size, offset, kind)
        if size > left:
            self._hold(size)
            return None
        stop = at + size
        start = at + 4 * offset
        self._at = stop
        if kind == 0 and data[start : start + 3] == b"\x00\x53\x14":
            found = read_transfer(data, start + 3, stop)
            if found is not None:
                return Frame(channel, _AMQP, found[0], data[found[1] : stop])
        return read_body(channel, kind, data[start:stop])

    def _check(self, size: int, offset: int, kind: int) -> None:
        """Raise ProtocolError for a frame header that may not be."""
        if size > self.max_frame_bytes:
            what = f"a frame of {size} bytes, where {self.max_frame_bytes} are the most"
            raise _framing_error(what, "AMQP 1.0 §2.3.1, §2.7.1")
        if offset < 2 or 4 * offset > size:
            raise _framing_error(f"a frame of {size} bytes whose body begins at {4 * offset}", "AMQP 1.0 §2.3.1")
        if kind > 1:
            raise _framing_error(f"a frame of type {kind}, which is none", "AMQP 1.0 §2.3.1")

    def _hold(self, needed: int) -> None:
        """Keep what is left for when there is more; `needed` bytes there must be before it is worth a look."""
        self._pending += memoryview(self._data)[self._at :]
        self._data, self._at, self._needed = b"", 0, needed

    def _take_pending(self) -> None:
        self._data, self._at = bytes(self._pending), 0
        self._pending.clear()


def read_body(channel: int, kind: int, body: bytes) -> Frame:
    """The frame with this body, by the tables."""
    if not body:
        if kind == FrameType.SASL:
            raise _framing_error("an empty SASL frame", "AMQP 1.0 §5.3.1")
        return Frame(channel, FrameType.AMQP, None, b"")
    # The channel of a SASL frame means nothing: its bytes are to be ignored (§5.3.1).
    frame_type, group, channel = (FrameType.SASL, SASL, 0) if kind else (FrameType.AMQP, AMQP, channel)
    performative, at = read_performative(body, group)
    payload = body[at:]
    if payload and type(performative) is not Transfer:
        what = f"{len(payload)} bytes after a performative that has no payload"
        raise malformed(what, "AMQP 1.0 §2.3.2")
    return Frame(channel, frame_type, performative, payload)


_SASL_PERFORMATIVES: Final = (SaslMechanisms, SaslInit, SaslChallenge, SaslResponse, SaslOutcome)


def write_frame(channel: int, performative: Performative, payload: bytes = b"") -> bytes:
    """The frame of a performative; only a transfer has a payload."""
    try:
        short = None
        if type(performative) is Transfer:
            short = write_transfer(channel, performative, payload)
        elif type(performative) is Disposition:
            short = write_disposition(channel, performative)
        return short if short is not None else write_by_table(channel, performative, payload)
    except FAULTS_OF_WRITING as error:
        raise UsageError(f"a frame that AMQP cannot hold: {error}") from error


def write_by_table(channel: int, performative: Performative, payload: bytes = b"") -> bytes:
    """The frame of a performative, by the tables."""
    kind = FrameType.SASL if isinstance(performative, _SASL_PERFORMATIVES) else FrameType.AMQP
    body = (SASL if kind else AMQP).write(performative)
    return b"".join((_WRITE_HEADER(HEADER_BYTES + len(body) + len(payload), 2, kind, channel), body, payload))
