"""A server of pages in this process and somebody who visits it, header by header."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import aiohttp

from gateway.dashboard.server import DashboardServer, Pages
from gateway.observe.metrics import Metrics

TOKEN = "abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE"  # of a test


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAnswer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str


class Visitor:
    """Asks; redirects are not followed, and cookies are sent only once `log_in` got one."""

    def __init__(self, client: aiohttp.ClientSession, host: str) -> None:
        self._client = client
        self.host = host
        self.cookie = ""

    @classmethod
    @asynccontextmanager
    async def at(cls, pages: Sequence[Pages]) -> AsyncIterator[Self]:
        """A visitor of a server with these pages."""
        server = DashboardServer(Metrics(), lambda: pages)
        port = await server.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
                yield cls(client, f"127.0.0.1:{port}")
        finally:
            await server.stop()

    async def ask(
        self, method: str, path: str, *, body: Mapping[str, str] | bytes | None = None, **headers: str
    ) -> PageAnswer:
        """`headers` by their names with `_` for `-`; an empty one is not sent."""
        sent = {"Cookie": self.cookie} | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._client.request(
            method,
            f"http://{self.host}{path}",
            data=body,
            headers={name: value for name, value in sent.items() if value},
            allow_redirects=False,
        ) as answer:
            return PageAnswer(status=answer.status, headers=answer.headers.copy(), text=await answer.text())

    async def send(self, path: str, body: Mapping[str, str] | bytes | None = None, **headers: str) -> PageAnswer:
        """POST, as a browser does from a page of ours."""
        return await self.ask("POST", path, body=body, **{"Origin": f"http://{self.host}"} | headers)

    async def log_in(self, token: str = TOKEN) -> PageAnswer:
        """By the token; the cookie is sent from then on."""
        answer = await self.ask("GET", f"/login?token={token}")
        self.cookie = answer.headers.get("Set-Cookie", "").partition(";")[0]
        return answer
