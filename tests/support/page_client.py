"""Somebody at the gateway's page who speaks its JSON: logged in by the command's address, by the standard library."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp

from support.gateway_site import GatewaySite

PORT: Final = 9600
PATIENCE_S: Final = 60.0
"""Longer than the gateway gives those whom it asks for an answer."""


@dataclass(frozen=True, slots=True)
class Row:
    """An event of the live stream."""

    event: str
    data: Any


class PageClient:
    """One visitor. `cookie` is sent once `log_in` got one."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.cookie = ""

    @classmethod
    async def at(cls, site: GatewaySite) -> Self:
        """Logged in at the page of this site's gateway, as `gateway page` leads there."""
        said = await site.command("page", "--json")
        assert said.code == 0, said.error
        url = urlsplit(json.loads(said.out)["url"])
        client = cls(f"{site.address}:{PORT}")
        await client.ask("GET", f"{url.path}?{url.query}")
        return client

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status, and the JSON of the answer if it is any."""
        return await asyncio.to_thread(self._ask, method, path, body, dict(headers or {}))

    async def get(self, path: str) -> Any:
        """What is answered with 200."""
        status, said = await self.ask("GET", path)
        assert status == 200, (path, status, said)
        return said

    async def send(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """As a page of this host does."""
        headers = {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        return await self.ask(method, path, json.dumps(body), headers)

    @asynccontextmanager
    async def live(self, query: str = "") -> AsyncIterator["Stream"]:
        """The live stream, from now on."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=PATIENCE_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{self.host}/api/live{query}", headers={"Cookie": self.cookie}) as answer,
        ):
            assert answer.status == 200, await answer.text()
            assert answer.headers["Content-Type"] == "text/event-stream"
            yield Stream(answer)

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, Any]:
        connection = HTTPConnection(self.host, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers | ({"Cookie": self.cookie} if self.cookie else {}))
            answer = connection.getresponse()
            self.cookie = answer.headers.get("Set-Cookie", self.cookie).partition(";")[0]
            text = answer.read().decode()
            is_json = answer.headers.get("Content-Type", "").startswith("application/json")
            return answer.status, json.loads(text) if is_json else text
        finally:
            connection.close()


class Stream:
    """What comes down the live stream."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def next(self, event: str) -> Any:
        """The data of the next row of this kind; others are passed over."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                row = await self._row()
                if row.event == event:
                    return row.data

    async def _row(self) -> Row:
        said: dict[str, str] = {}
        while line := (await self._answer.content.readline()).decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            said[name] = value
        return Row(said["event"], json.loads(said["data"]))
