"""Seeded AMQP bytes that are nearly right, for a gateway that must not care. Blind, structure-aware, and recorded."""

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edgewire.codec.amqp.frames import AMQP_HEADER, SASL_HEADER, write_frame
from edgewire.codec.amqp.message import MESSAGE_FORMAT_BATCH, write_batch
from edgewire.codec.amqp.performatives import SaslInit
from edgewire.codec.amqp.types import Array, Described, Symbol, UByte, UInt, ULong, UShort, write_value
from support.amqp_replay import connections, pieces, with_token
from support.amqp_traces import BY_NAME, DEV1, fresh_token
from support.raw_amqp import CBS, MESSAGE, OPEN, events_of, put_token, transfer_of

MAX_FRAME: Final = 65_536
HEADER: Final = 8
CODES: Final = (*range(0x12, 0x18), 0x12, 0x13, 0x14, 0x14, 0x15, 0x10, 0x11, 0x18, 0x00, 0x1D, 0x70, 0xFF)
SECTIONS: Final = (0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x75, 0x76, 0x77, 0x78, 0x00, 0x79)
NUMBERS: Final = (
    0,
    1,
    2,
    3,
    7,
    127,
    128,
    255,
    256,
    1_023,
    1_024,
    65_535,
    65_536,
    1 << 31,
    (1 << 31) - 1,
    (1 << 32) - 1,
)
SIZES: Final = (0, 1, 7, 8, 9, 11, 255, 512, 65_535, 65_536, 65_537, 1 << 24, 1 << 31, (1 << 32) - 1)
TEXTS: Final = ("", "a", "$cbs", "$", "/", "é", "\0", "\U0010ffff", "%ZZ", "x" * 300, "x" * 5_000, "amqp:accepted:list")
FIRST_HEADERS: Final = (
    AMQP_HEADER,
    SASL_HEADER,
    b"AMQP\x02\x01\0\0",
    b"AMQP\0\x02\0\0",
    b"AMQP\x03\x01\0\0",
    b"HTTP/1.1",
    b"",
)


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes to send: on a connection with a session 0 and links on handles 0 to 3, or as all of a connection."""

    wire: bytes
    after_login: bool
    kind: str


class AmqpFuzz:
    """Cases for the device `device`, whose right SASL init is `init`; equal seeds give equal cases."""

    def __init__(self, seed: int, device: str, init: SaslInit, token: str) -> None:
        self._random = random.Random(seed)
        self._device = device
        self._init = init
        self._token = token
        self._next_id = 1_000
        self._traces = [self._recorded(name) for name in sorted(BY_NAME)]
        self._simple: Sequence[Callable[[int], Any]] = (
            lambda _: None,
            lambda _: self._random.random() < 0.5,
            lambda _: self._number(),
            lambda _: self._random.choice((UByte(255), UShort(65_535), ULong((1 << 64) - 1), -(1 << 63), 1.5)),
            lambda _: self._random.choice(TEXTS),
            lambda _: Symbol(self._text()),
            lambda _: self._random.randbytes(self._random.randrange(40)),
            lambda _: uuid.UUID(int=self._random.getrandbits(128)),
        )
        self._makers: Sequence[Callable[[], bytes]] = (
            self._performative,
            self._performative,
            self._performative,
            self._telemetry,
            self._telemetry,
            self._batch,
            self._token_request,
            self._any_frame,
            self._recorded_frames,
        )

    def case(self) -> Case:
        """The next case."""
        after_login = self._random.random() < 0.92
        chance = self._random.random()
        if not after_login:
            return self._opening()
        if chance < 0.1:
            return Case(self._random.randbytes(self._random.randrange(1, 200)), after_login, "blind")
        if chance < 0.2:
            return Case(self._frame(self._random.randbytes(self._random.randrange(1, 200))), after_login, "blind body")
        wire = b"".join(self._random.choice(self._makers)() for _ in range(self._random.randrange(1, 3)))
        if chance < 0.4:
            return Case(self._mutated(wire), after_login, "mutated")
        return Case(wire, after_login, "structure")

    def _opening(self) -> Case:
        """All of a connection: a recorded one, mutated, or headers and opens that are not as they should be."""
        if self._random.random() < 0.6:
            wire = b"".join(self._random.choice(self._traces))
            return Case(self._mutated(wire, times=self._random.randrange(0, 4)), False, "recorded")
        wire = self._random.choice(FIRST_HEADERS)
        if self._random.random() < 0.5:
            wire = SASL_HEADER + write_frame(0, self._init) + AMQP_HEADER
        wire += write_frame(0, OPEN) if self._random.random() < 0.7 else self._performative()
        wire += b"".join(self._random.choice(self._makers)() for _ in range(self._random.randrange(3)))
        return Case(self._mutated(wire) if self._random.random() < 0.5 else wire, False, "opening")

    def _recorded(self, name: str) -> list[bytes]:
        """The headers and frames of a recorded client, with a token that is good today."""
        token = fresh_token(DEV1)
        return [with_token(wire, frame, token) for data in connections(BY_NAME[name]) for wire, frame in pieces(data)]

    def _mutated(self, wire: bytes, times: int | None = None) -> bytes:
        data = bytearray(wire)
        for _ in range(self._random.randrange(1, 4) if times is None else times):
            at = self._random.randrange(len(data)) if data else 0
            match self._random.randrange(6):
                case 0 if data:
                    data[at] ^= 1 << self._random.randrange(8)
                case 1 if data:
                    data[at] = self._random.choice((0, 1, 0x40, 0x45, 0x53, 0x7F, 0x80, 0xC0, 0xD0, 0xD1, 0xF0, 0xFF))
                case 2:
                    del data[at : at + self._random.randrange(1, 9)]
                case 3:
                    data[at:at] = self._random.randbytes(self._random.randrange(1, 9))
                case 4 if data:
                    data[0:4] = self._random.choice(SIZES).to_bytes(4)
                case _:
                    data[at:at] = data[at : at + self._random.randrange(1, 60)]
        return bytes(data) or b"\0"

    # Frames: well formed, with values that nobody needs.

    def _frame(self, body: bytes) -> bytes:
        channel = 0 if self._random.random() < 0.95 else self._random.choice((1, 1_023, 1_024, 65_535))
        kind = 0 if self._random.random() < 0.99 else self._random.randrange(256)
        offset = 2 if self._random.random() < 0.99 else self._random.randrange(256)
        size = len(body) + HEADER if self._random.random() < 0.99 else self._random.choice(SIZES)
        return size.to_bytes(4) + bytes((offset, kind)) + channel.to_bytes(2) + body

    def _performative(self) -> bytes:
        """A list of fields, most of them of some type that is wrong there."""
        code = self._random.choice(CODES)
        fields = [self._field() for _ in range(self._random.randrange(0, 15))]
        if code in (0x12, 0x13, 0x14, 0x15, 0x16) and self._random.random() < 0.8:
            fields = self._plausible(code)
        payload = MESSAGE if code == 0x14 else b""
        return self._frame(write_value(Described(ULong(code), fields)) + payload)

    def _plausible(self, code: int) -> list[Any]:
        """The fields that this performative has, with numbers and texts that nobody expects."""
        number, pick = self._number, self._random.choice
        match code:
            case 0x12:
                address = pick((events_of(self._device), CBS, f"/devices/{self._device}/twin", pick(TEXTS)))
                end = Described(ULong(pick((0x28, 0x29, 0x29, 0x30))), [address, *self._some(self._field, 6)])
                start = [pick(TEXTS), number(), pick((True, False)), UByte(pick((0, 1, 2, 3))), UByte(pick((0, 1)))]
                return [*start, end, end, None, None, number(), ULong(number()), *self._some(self._field, 3)]
            case 0x13:
                flags = [pick((None, True, False)), pick((None, True))]
                return [number(), number(), number(), number(), self._handle(), *self._some(number, 3), *flags]
            case 0x14:
                self._next_id += pick((0, 1, 1, 1, 1, 1, 1, 2))
                tag = pick((b"t", b"t", b"", b"x" * 33, None))
                flags = [pick((None, True, False)) for _ in range(2)]
                return [self._handle(), UInt(self._next_id), tag, UInt(pick((0, 0, MESSAGE_FORMAT_BATCH, 1))), *flags]
            case 0x15:
                state = Described(ULong(pick((0x23, 0x24, 0x25, 0x26, 0x27, 0x33))), self._some(self._field, 2))
                return [pick((True, False)), number(), pick((None, number())), pick((True, False)), state]
            case _:
                return [self._handle(), pick((True, False)), pick((None, self._field()))]

    def _telemetry(self) -> bytes:
        """A message whose sections are some, in some order, with some values."""
        sections = b"".join(
            write_value(Described(ULong(self._random.choice(SECTIONS)), self._section()))
            for _ in range(self._random.randrange(4))
        )
        return self._transfer(sections + self._random.choice((MESSAGE, b"")))

    def _section(self) -> Any:
        """A value for a section."""
        match self._random.randrange(5):
            case 0:
                return self._some(self._field, 13)
            case 1:
                return {Symbol(self._text()): self._field() for _ in range(self._random.randrange(4))}
            case 2:
                return {self._text(): self._field() for _ in range(self._random.randrange(4))}
            case 3:
                return self._random.randbytes(self._random.randrange(300))
            case _:
                return self._field()

    def _batch(self) -> bytes:
        parts = [self._random.choice((MESSAGE, b"", b"\0", self._random.randbytes(20))) for _ in range(40)]
        good = [MESSAGE] * self._random.choice((0, 1, 100, 600))
        return self._transfer(write_batch(self._random.choice((good, parts))), message_format=MESSAGE_FORMAT_BATCH)

    def _token_request(self) -> bytes:
        request = put_token(self._random.choice((self._token, self._token[:-9], self._text(), "x" * 5_000)))
        self._next_id += 1
        return transfer_of(1, self._next_id, self._random.choice((request, request, self._mutated(request))))

    def _transfer(self, payload: bytes, **fields: Any) -> bytes:
        self._next_id += 1
        return transfer_of(self._random.choice((0, 0, 0, 1, 3)), self._next_id, payload, **fields)

    def _any_frame(self) -> bytes:
        return self._random.choice(
            (self._frame(b""), self._frame(b"") * 50, self._frame(write_value(self._field())), self._frame(b"\0" * 90))
        )

    def _recorded_frames(self) -> bytes:
        """Some frames of a recorded client behind its opening."""
        frames = self._random.choice(self._traces)
        at = self._random.randrange(len(frames))
        return b"".join(frames[at : at + 3])

    # Fields.

    def _some(self, make: Callable[[], Any], most: int) -> list[Any]:
        return [make() for _ in range(self._random.randrange(most + 1))]

    def _number(self) -> UInt:
        common = self._random.random() < 0.5
        return UInt(self._random.randrange(2_000) if common else self._random.choice(NUMBERS) & 0xFFFFFFFF)

    def _handle(self) -> UInt:
        return self._number() if self._random.random() < 0.2 else UInt(self._random.randrange(5))

    def _text(self) -> str:
        text = self._random.choice(TEXTS)
        return text if text.isascii() else "a"

    def _field(self, depth: int = 0) -> Any:
        return self._random.choice(self._simple if depth > 3 else (*self._simple, self._compound))(depth)

    def _compound(self, depth: int) -> Any:
        inner = [self._field(depth + 1) for _ in range(self._random.randrange(4))]
        return self._random.choice(
            (
                inner,
                {Symbol(f"k{number}"): one for number, one in enumerate(inner)},
                Described(ULong(self._random.randrange(0x80)), inner),
                Array((Symbol("a"),) * len(inner)),
            )
        )


def asks_for_more(wire: bytes) -> bool:
    """Whether a reader of frames would wait for bytes behind these: then a ping behind them is not heard."""
    at = 0
    while at < len(wire):
        if at + HEADER > len(wire):
            return True
        size = int.from_bytes(wire[at : at + 4])
        if not HEADER <= size <= MAX_FRAME:
            return False
        at += size
    return at > len(wire)
