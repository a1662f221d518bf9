"""The control socket in the data folder: what commands ask of the gateway that runs.

One question and its answer per connection, each one line of JSON: `{"ask": "status"}` gives `{"answer": {…}}`, or
`{"error": {"status": 404, "message": "…"}}`. Who may open the socket may ask everything: its mode is 0600.

Some answers have no end: `{"ask": "tap"}` gives line after line, `{"message": {…}}` or `{"leftOut": 12}`, until who
asked closes the connection, or the gateway stops. Nothing waits for a reader that is slow.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import orjson

SOCKET_NAME: Final = "control.sock"
MAX_QUESTION_BYTES: Final = 262_144
"""One line: a method's payload of 128 KiB as JSON, escapes included, and what is around it."""
MAX_ASKING: Final = 32
"""Who asks at once; a method may take its five minutes each."""
QUESTION_S: Final = 10.0
"""For the question to arrive."""
STUCK_S: Final = 60.0
"""For a reader of an answer without end to take what was written; then it is gone."""
MAX_PATH_BYTES: Final = 107
"""unix(7): the name of a socket has 108 bytes with the zero at its end."""

Answerer = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Takes the question whole. Raises QuestionError."""
Streamer = Callable[[Mapping[str, Any]], AsyncGenerator[bytes]]
"""The same, for an answer without end: whole lines of JSON, several at once. Raises QuestionError before the first."""


class QuestionError(Exception):
    """What is asked cannot be had; `status` as in HTTP, the text says why and what to do."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


class ControlSocketError(Exception):
    """The socket cannot be opened; the text says why and what to do."""


class ControlSocket:
    """Answers questions, each by the answerer, or the streamer, of its name."""

    def __init__(
        self, answerers: Mapping[str, Answerer], streamers: Mapping[str, Streamer] = MappingProxyType({})
    ) -> None:
        self._answerers = dict(answerers)
        self._streamers = dict(streamers)
        self._asking: set[asyncio.Task[None]] = set()
        self._closed = False

    async def open(self, folder: Path) -> None:
        """Listen in this folder; one that a killed gateway left gives way. Raises ControlSocketError."""
        self._path = folder / SOCKET_NAME
        if len(os.fsencode(self._path)) > MAX_PATH_BYTES:
            raise ControlSocketError(
                f"'{self._path}' is too long for a socket's name, of {MAX_PATH_BYTES} bytes at most: `gateway method` "
                "and `gateway status` cannot reach this gateway. Use a data folder with a shorter name"
            )
        try:
            self._path.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._on_connected, self._path, limit=MAX_QUESTION_BYTES)
            finally:
                os.umask(before)
        except OSError as error:
            raise ControlSocketError(
                f"'{self._path}' cannot be made: {error.strerror or error}. `gateway method` and `gateway status` "
                "cannot reach this gateway"
            ) from error

    async def close(self) -> None:
        """Stop answering; who waits is told nothing more."""
        self._closed = True
        self._server.close()
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _on_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:  # accepted before, begun only now
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        try:
            await self._converse(reader, writer)
        except (OSError, TimeoutError):
            pass  # whoever asked has gone, or never asked
        finally:
            self._asking.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = await _read(reader)
            streamer = self._streamers.get(str(question.get("ask")))
            if streamer is not None:
                self._check_room()
                await _stream(streamer(question), reader, writer)
                return
            answer: Mapping[str, Any] = {"answer": await self._answer(question)}
        except QuestionError as error:
            answer = {"error": {"status": error.status, "message": str(error)}}
        writer.write(orjson.dumps(answer, default=str) + b"\n")
        await writer.drain()

    def _check_room(self) -> None:
        if len(self._asking) > MAX_ASKING:
            raise QuestionError(429, f"{MAX_ASKING} commands wait for their answers already; try again later")

    async def _answer(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        self._check_room()
        answerer = self._answerers.get(str(question.get("ask")))
        if answerer is None:
            known = ", ".join(sorted([*self._answerers, *self._streamers]))
            raise QuestionError(400, f"this gateway answers {known}; another version's command may have asked")
        return await answerer(question)


async def _stream(lines: AsyncGenerator[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Write until whoever asked has closed the connection, or does not read. Raises what the first line raised."""
    async with aclosing(lines):
        feeding = asyncio.ensure_future(_feed(lines, writer))
        gone = asyncio.ensure_future(reader.read(1))  # nobody says more than one question: this is the end
        try:
            await asyncio.wait((feeding, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (feeding, gone):
                each.cancel()
            fed, _ = await asyncio.gather(feeding, gone, return_exceptions=True)
        if isinstance(fed, QuestionError | OSError | TimeoutError):
            raise fed


async def _feed(lines: AsyncGenerator[bytes], writer: asyncio.StreamWriter) -> None:
    async for lot in lines:
        writer.write(lot)
        async with asyncio.timeout(STUCK_S):
            await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Mapping[str, Any]:
    try:
        async with asyncio.timeout(QUESTION_S):
            question = orjson.loads(await reader.readuntil(b"\n"))
    except (asyncio.LimitOverrunError, asyncio.IncompleteReadError, orjson.JSONDecodeError) as error:
        raise QuestionError(400, f"a question is one line of JSON of at most {MAX_QUESTION_BYTES} bytes") from error
    if not isinstance(question, dict):
        raise QuestionError(400, "a question is a JSON object")
    return question
