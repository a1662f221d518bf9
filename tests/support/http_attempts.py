"""One request of an attempt over HTTPS, and what comes back before the connection is closed."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final

from support.attempts import Answer, Stage
from support.http_reading import read_answers
from support.raw_peer import PATIENCE_S, RawPeer

PORT: Final = 8443


async def exchange(stage: Stage, source: str, data: bytes, tls: ssl.SSLContext | None = None) -> Answer:
    """Send this; gives the status of the one answer, None if there is none before the connection is closed."""
    peer = await RawPeer.dial(stage.site, source=source, port=PORT, tls=tls)
    peer.send(data)
    told = b""
    while part := await _read(peer):
        told += part
    answers = read_answers(told, data.partition(b" ")[0].decode("latin-1") or "GET") if told else []
    assert len(answers) <= 1, answers
    return answers[0].status if answers else None


def written(method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> bytes:
    """A request as it is sent; the last on its connection."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


async def _read(peer: RawPeer) -> bytes:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await peer.reader.read(65_536)
    except (ConnectionError, ssl.SSLError):
        return b""
