"""One HTTP call to a program of this machine, by Unix socket or port, for an API that is called a few times a month.

Written on h11, which WebSockets bring along: a whole HTTP client takes 9 MB, for as long as the process lives.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import h11

UNIX: Final = "unix://"
HTTP: Final = "http://"
MAX_ANSWER_BYTES: Final = 1 << 20
"""Of a body: certificates and trust bundles take some kilobytes."""
_READ_BYTES: Final = 65_536


class BadAddressError(Exception):
    """The address is none that can be called."""


class UnreachableError(Exception):
    """Nobody listens there, or we may not ask; `cause` says which."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class BrokenOffError(Exception):
    """Somebody listens there, but gave no whole answer; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an API listens: a Unix socket, or host and port; `base` is what its paths begin with."""

    socket: str = ""
    host: str = ""
    port: int = 80
    base: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is asked. `target` is the path with its query, escaped; a body is JSON."""

    method: str
    target: str
    body: bytes | None = None


@dataclass(slots=True)
class Answer:
    """The whole of what was answered."""

    status: int = 0
    body: bytearray = field(default_factory=bytearray)


def read_address(uri: str) -> Address:
    """The address that a `unix://` or `http://` URI names. Raises BadAddressError."""
    if uri.startswith(UNIX):
        return Address(socket=uri.removeprefix(UNIX).rstrip("/"))
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise BadAddressError(str(error)) from error
    if not uri.startswith(HTTP) or not parts.hostname:
        raise BadAddressError(f"it must begin with {UNIX} or {HTTP}")
    return Address(host=parts.hostname, port=port or 80, base=parts.path.rstrip("/"))


async def exchange(address: Address, call: Call) -> Answer:
    """Make the call on a connection of its own; the caller keeps the deadline.

    Raises UnreachableError if there is nobody to ask, BrokenOffError if no whole answer came.
    """
    try:
        reader, writer = await _connect(address)
    except OSError as error:
        raise UnreachableError(error) from error
    try:
        connection = h11.Connection(h11.CLIENT)
        writer.write(_request(connection, address, call))
        return await _answer(connection, reader)
    except OSError as error:
        raise BrokenOffError(error.strerror or str(error)) from error
    except h11.RemoteProtocolError as error:
        raise BrokenOffError(f"what it sent is no whole HTTP answer ({error})") from error
    finally:
        writer.transport.abort()  # everything that was wanted has been read, or nothing is wanted any more


async def _connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.socket:
        return await asyncio.open_unix_connection(address.socket)
    return await asyncio.open_connection(address.host, address.port)


def _request(connection: h11.Connection, address: Address, call: Call) -> bytes:
    headers = [("Host", address.host or "localhost"), ("Accept", "application/json"), ("Connection", "close")]
    if call.body is not None:
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(call.body)))]
    target = address.base + call.target
    parts = [connection.send(h11.Request(method=call.method, target=target, headers=headers))]
    if call.body is not None:
        parts.append(connection.send(h11.Data(data=call.body)))
    parts.append(connection.send(h11.EndOfMessage()))
    return b"".join(filter(None, parts))


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    answer = Answer()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            answer.status = event.status_code
        elif isinstance(event, h11.Data):
            answer.body += event.data
            if len(answer.body) > MAX_ANSWER_BYTES:
                raise BrokenOffError(f"its answer is larger than {MAX_ANSWER_BYTES} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return answer
