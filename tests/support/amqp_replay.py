"""The recorded bytes of AMQP clients, sent again frame by frame, each as soon as the client could have sent it.

Only a credential is replaced: a recorded token has expired, or was never valid. All other bytes go out as recorded.
"""

import asyncio
import ssl
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from edgewire.codec.amqp.frames import SASL_HEADER, Frame, FrameReader, write_frame
from edgewire.codec.amqp.performatives import (
    Accepted,
    Attach,
    Begin,
    Close,
    DeliveryState,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    Performative,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Transfer,
)

PATIENCE_S: Final = 30.0
MAX_FRAME: Final = 1 << 20
TOKEN: Final = b"SharedAccessSignature "
CBS: Final = "$cbs"

Sent = tuple[bytes, Frame | None]
"""The bytes of a protocol header, or of a frame and what it says."""


def connections(trace: Path) -> list[bytes]:
    """What the client sent, connection for connection; a line of the file is a connection's number and bytes."""
    found: dict[str, bytes] = defaultdict(bytes)
    for line in trace.read_text().splitlines():
        number, data = line.split()
        found[number] += bytes.fromhex(data)
    return list(found.values())


def pieces(data: bytes) -> Iterator[Sent]:
    """Protocol headers and frames, in order."""
    at = 0
    while at < len(data):
        if data[at : at + 4] == b"AMQP":
            yield data[at : at + 8], None
            at += 8
            continue
        (size,) = struct.unpack_from(">I", data, at)
        reader = FrameReader(MAX_FRAME)
        reader.push(data[at : at + size])
        frame = reader.next()
        assert frame is not None
        yield data[at : at + size], frame
        at += size


def with_token(wire: bytes, frame: Frame | None, token: bytes) -> bytes:
    """The same bytes with another token, where there is one."""
    if frame is not None and isinstance(frame.performative, SaslInit) and frame.performative.mechanism == "PLAIN":
        authorization, user, _ = (frame.performative.initial_response or b"").split(b"\0")
        response = b"\0".join([authorization, user, token])
        return write_frame(0, replace(frame.performative, initial_response=response))
    at = wire.find(TOKEN)
    if at < 0:
        return wire
    # A put-token ends with its value section: 0x00 0x53 0x77, str8 or str32, the token.
    start = wire.rindex(b"\x00\x53\x77", 0, at)
    body = wire[4 : start + 3] + b"\xb1" + struct.pack(">I", len(token)) + token
    return struct.pack(">I", len(body) + 4) + body


@dataclass(slots=True)
class Link:
    """A link of the recorded client. `handle` is the server's, once it has answered."""

    name: str
    address: str
    sends: bool
    handle: int | None = None
    has_credit: bool = False
    refusal: str | None = None
    detached: bool = False


@dataclass(slots=True)
class Replay:
    """What the server made of one connection."""

    settled: list[tuple[str, DeliveryState | None]] = field(default_factory=list)
    """Address and state of each unsettled transfer that was answered."""
    links: list[Link] = field(default_factory=list)
    outcome: int | None = None
    pushed: int = 0
    """Transfers from the server, those of CBS among them."""
    close: Close | None = None
    complete: bool = False
    """All of the trace has been sent; else the server ended the connection before."""
    ended: bool = False
    """The connection is at its end."""

    @property
    def accepted(self) -> list[str]:
        """The addresses of accepted transfers, CBS left out."""
        return [address for address, state in self.settled if state == Accepted() and address != CBS]

    @property
    def refused(self) -> dict[str, str]:
        """Condition by address of the links that the server closed."""
        return {link.address: link.refusal for link in self.links if link.refusal is not None}


class Replayer:
    """One connection, replayed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.replay = Replay()
        self._reader, self._writer = reader, writer
        self._frames = FrameReader(MAX_FRAME)
        self._headers: list[bytes] = []
        self._seen: set[type[Performative]] = set()
        self._mine: dict[tuple[int, int], Link] = {}
        self._theirs: dict[tuple[int, int], Link] = {}
        self._named: dict[tuple[int, str], Link] = {}
        self._waiting: dict[tuple[int, int], str] = {}
        self._channels: dict[int, int] = {}
        self._next_channel: list[int] = []
        self._puts = 0

    @classmethod
    async def dial(cls, address: str, tls: ssl.SSLContext, *, source: str | None = None, port: int = 5671) -> Self:
        """A connection that has said nothing yet."""
        local = None if source is None else (source, 0)
        async with asyncio.timeout(PATIENCE_S):
            return cls(
                *await asyncio.open_connection(address, port, ssl=tls, server_hostname=address, local_addr=local)
            )

    async def run(self, data: bytes, token: bytes | None = None) -> Replay:
        """Send all of it, or up to the server's end; then read to the end of the connection."""
        try:
            for wire, frame in pieces(data):
                await self._send(wire if token is None else with_token(wire, frame, token), frame)
                if self.replay.ended:
                    break
            else:
                self.replay.complete = True
            await self._until(lambda: False)
        finally:
            self._writer.close()
        return self.replay

    async def _send(self, wire: bytes, frame: Frame | None) -> None:
        before = self._before(frame)
        if before is not None:
            await self._until(before)
        if self.replay.ended:
            return
        self._writer.write(wire)
        await self._until(self._answer(wire, frame))

    def _before(self, frame: Frame | None) -> Callable[[], bool] | None:
        """What the client waited for before it sent this."""
        said = None if frame is None else frame.performative
        if isinstance(said, Attach) and _address(said) != CBS:
            # A token is put and answered before another link is opened.
            return lambda: self.replay.pushed >= self._puts or self.replay.close is not None
        if isinstance(said, Transfer) and frame is not None:
            link = self._mine[frame.channel, said.handle]
            return lambda: link.has_credit or link.detached
        return None

    def _answer(self, wire: bytes, frame: Frame | None) -> Callable[[], bool]:
        """What the client waited for after it had sent this; it may be nothing."""
        if frame is None:
            count = len(self._headers) + 1
            return lambda: len(self._headers) >= count and (wire != SASL_HEADER or SaslMechanisms in self._seen)
        said, channel = frame.performative, frame.channel
        match said:
            case SaslInit():
                return lambda: self.replay.outcome is not None
            case Open():
                return lambda: Open in self._seen
            case Begin():
                self._next_channel.append(channel)
                return lambda: channel in self._channels.values()
            case Attach():
                link = Link(said.name, _address(said), not said.role)
                self.replay.links.append(link)
                self._mine[channel, said.handle] = self._named[channel, said.name] = link
                return lambda: link.handle is not None
            case Transfer(settled=False, more=False) if not self._mine[channel, said.handle].detached:
                return self._after_transfer(channel, said)
            case Detach():
                link = self._mine[channel, said.handle]
                return lambda: link.detached
            case End() | Close():
                return lambda: type(said) in self._seen
        return lambda: True

    def _after_transfer(self, channel: int, said: Transfer) -> Callable[[], bool]:
        link = self._mine[channel, said.handle]
        self._puts += link.address == CBS
        assert said.delivery_id is not None
        key = (channel, said.delivery_id)
        self._waiting[key] = link.address
        return lambda: key not in self._waiting or link.detached

    # What the server says

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition() and not self.replay.ended:
                try:
                    data = await self._reader.read(65_536)
                except (ConnectionError, ssl.SSLError):
                    data = b""
                self.replay.ended = not data
                self._frames.push(data)
                self._read()

    def _read(self) -> None:
        while True:
            if self._expects_header():
                header = self._frames.next_header()
                if header is None:
                    return
                self._headers.append(header)
            elif (frame := self._frames.next()) is not None:
                if frame.performative is not None:
                    self._seen.add(type(frame.performative))
                    self._take(frame.channel, frame.performative)
            else:
                return

    def _expects_header(self) -> bool:
        return not self._headers or (self._headers == [SASL_HEADER] and self.replay.outcome == 0)

    def _take(self, channel: int, said: Performative) -> None:
        match said:
            case SaslOutcome():
                self.replay.outcome = said.code
            case Begin():
                self._channels[channel] = self._next_channel.pop(0)
            case Attach():
                link = self._named[self._channels[channel], said.name]
                link.handle = said.handle
                self._theirs[channel, said.handle] = link
            case Flow(handle=int()):
                assert said.handle is not None
                link = self._theirs[channel, said.handle]
                link.has_credit = link.has_credit or bool(link.sends and said.link_credit)
            case Transfer():
                self.replay.pushed += not said.more
            case Disposition(role=True):
                self._settle(self._channels[channel], said)
            case Detach():
                link = self._theirs[channel, said.handle]
                link.detached = True
                link.refusal = None if said.error is None else str(said.error.condition)
            case Close():
                self.replay.close = said

    def _settle(self, channel: int, said: Disposition) -> None:
        for number in range(said.first, (said.first if said.last is None else said.last) + 1):
            address = self._waiting.pop((channel, number))
            self.replay.settled.append((address, said.state))


def _address(said: Attach) -> str:
    """Where this link leads, from our side."""
    end = said.source if said.role else said.target
    address = getattr(end, "address", None)
    return "" if address is None else str(address)
