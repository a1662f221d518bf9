import asyncio
import json
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.app import control
from gateway.app.asking import NobodyAnswersError, ask
from gateway.app.control import (
    MAX_ASKING,
    MAX_QUESTION_BYTES,
    SOCKET_NAME,
    ControlSocket,
    ControlSocketError,
    QuestionError,
)


async def echo(question: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"heard": question}


async def refuse(_question: Mapping[str, Any]) -> Mapping[str, Any]:
    raise QuestionError(404, "it is not here")


class Never:
    """Answers nobody; `asked` is set once somebody has asked."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(self, _question: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


@asynccontextmanager
async def listening(folder: Path, never: Never | None = None) -> AsyncIterator[ControlSocket]:
    socket = ControlSocket({"echo": echo, "refuse": refuse, "never": never or Never()})
    await socket.open(folder)
    try:
        yield socket
    finally:
        await socket.close()


async def say(folder: Path, line: bytes) -> Any:
    """Say this and give what comes back."""
    reader, writer = await asyncio.open_unix_connection(folder / SOCKET_NAME)
    writer.write(line)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return json.loads(answer)


async def test_a_question_gets_its_answer(tmp_path: Path) -> None:
    async with listening(tmp_path):
        answer = await asyncio.to_thread(ask, tmp_path, {"ask": "echo", "more": "ä\n"})
    assert answer == {"heard": {"ask": "echo", "more": "ä\n"}}


async def test_a_refusal_reaches_who_asked_with_its_status(tmp_path: Path) -> None:
    async with listening(tmp_path):
        with pytest.raises(QuestionError, match="it is not here") as refused:
            await asyncio.to_thread(ask, tmp_path, {"ask": "refuse"})
    assert refused.value.status == 404


async def test_nobody_else_may_open_it(tmp_path: Path) -> None:
    async with listening(tmp_path):
        assert stat.S_IMODE((tmp_path / SOCKET_NAME).stat().st_mode) == 0o600


async def test_the_socket_of_a_killed_gateway_gives_way(tmp_path: Path) -> None:
    (tmp_path / SOCKET_NAME).touch()
    async with listening(tmp_path):
        assert await say(tmp_path, b'{"ask":"echo"}\n') == {"answer": {"heard": {"ask": "echo"}}}


async def test_at_the_end_the_socket_is_gone_and_who_waits_is_let_go(tmp_path: Path) -> None:
    never = Never()
    async with listening(tmp_path, never):
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        writer.write(b'{"ask":"never"}\n')
        await never.asked.wait()
    assert await reader.read() == b""
    writer.close()
    assert not (tmp_path / SOCKET_NAME).exists()
    with pytest.raises(NobodyAnswersError, match="Run the command where the gateway runs"):
        ask(tmp_path, {"ask": "echo"})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "one line of JSON"),
        (b"nonsense\n", "one line of JSON"),
        (b'{"ask":"echo"}', "one line of JSON"),
        (b"[]\n", "a JSON object"),
        (b"{}\n", "answers echo, never, refuse"),
        (b'{"ask":["echo"]}\n', "answers echo, never, refuse"),
        (b'{"ask":"' + b"x" * MAX_QUESTION_BYTES + b'"}\n', "one line of JSON"),
    ],
)
async def test_what_is_no_question_is_told_so(tmp_path: Path, line: bytes, words: str) -> None:
    async with listening(tmp_path):
        answer = await say(tmp_path, line)
        assert answer["error"]["status"] == 400
        assert words in answer["error"]["message"]
        assert await say(tmp_path, b'{"ask":"echo"}\n')  # and the next one is served


async def test_who_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "QUESTION_S", 0.01)
    async with listening(tmp_path):
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        assert await reader.read() == b""
        writer.close()


async def test_only_so_many_ask_at_once(tmp_path: Path) -> None:
    async with listening(tmp_path):
        lines = [await asyncio.open_unix_connection(tmp_path / SOCKET_NAME) for _ in range(MAX_ASKING)]
        for _, writer in lines:
            writer.write(b'{"ask":"never"}\n')
            await writer.drain()
        answer = await say(tmp_path, b'{"ask":"echo"}\n')
        assert answer["error"]["status"] == 429
        for _, writer in lines:
            writer.close()


async def test_a_folder_whose_name_is_too_long_is_refused_in_words(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with pytest.raises(ControlSocketError, match="Use a data folder with a shorter name"):
        await ControlSocket({}).open(folder)


async def test_a_folder_that_cannot_be_written_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ControlSocketError, match="cannot be made"):
        await ControlSocket({}).open(tmp_path / "missing")


# Answers without end.


class Counting:
    """Streams numbers as fast as they are taken; `ended` is set once nobody takes them any more."""

    def __init__(self, size: int = 1) -> None:
        self._size = size
        self.ended = asyncio.Event()
        self.count = 0

    async def __call__(self, question: Mapping[str, Any]) -> AsyncGenerator[bytes]:
        if question.get("bad"):
            raise QuestionError(400, "it is bad")
        try:
            while True:
                self.count += 1
                yield b"%d%s\n" % (self.count, b" " * self._size)
                await asyncio.sleep(0)
        finally:
            self.ended.set()


@asynccontextmanager
async def streaming(folder: Path, counting: Counting) -> AsyncIterator[ControlSocket]:
    socket = ControlSocket({"echo": echo}, {"count": counting})
    await socket.open(folder)
    try:
        yield socket
    finally:
        await socket.close()


async def test_a_stream_goes_on_until_who_asked_has_gone(tmp_path: Path) -> None:
    counting = Counting()
    async with streaming(tmp_path, counting), asyncio.timeout(10):
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        writer.write(b'{"ask": "count"}\n')
        assert [int(await reader.readline()) for _ in range(3)] == [1, 2, 3]
        writer.close()
        await counting.ended.wait()


async def test_a_stream_ends_with_the_gateway(tmp_path: Path) -> None:
    counting = Counting()
    async with asyncio.timeout(10):
        async with streaming(tmp_path, counting):
            reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
            writer.write(b'{"ask": "count"}\n')
            await reader.readline()
        await counting.ended.wait()
        while await reader.readline():
            pass
        writer.close()


async def test_a_stream_waits_for_a_slow_reader_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "STUCK_S", 0.1)
    counting = Counting(size=100_000)
    async with streaming(tmp_path, counting), asyncio.timeout(10):
        _, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        writer.transport.pause_reading()  # type: ignore[attr-defined] # of the read side, which asyncio's type hides
        writer.write(b'{"ask": "count"}\n')
        await counting.ended.wait()
        assert counting.count < 100
        writer.close()


async def test_a_stream_that_is_refused_is_answered_like_any_question(tmp_path: Path) -> None:
    async with streaming(tmp_path, Counting()):
        assert await say(tmp_path, b'{"ask": "count", "bad": true}\n') == {
            "error": {"status": 400, "message": "it is bad"}
        }
        unknown = await say(tmp_path, b'{"ask": "what"}\n')
        assert "answers count, echo" in unknown["error"]["message"]
