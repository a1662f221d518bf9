import asyncio
from contextlib import suppress

import aiohttp
import pytest
from aiohttp import web

from gateway.dashboard import server as servers
from gateway.dashboard.server import DashboardServer
from gateway.observe.dispatch import MessagesReceived
from gateway.observe.metrics import Metrics


async def test_the_counters_are_served_in_prometheus_form() -> None:
    metrics = Metrics()
    metrics.count(MessagesReceived(3))
    server = DashboardServer(metrics)
    port = await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "gateway_received_messages_total 3\n" in await answer.text()
    await server.stop()


async def test_after_stop_nobody_answers() -> None:
    server = DashboardServer(Metrics())
    address = "127.0.0.144"  # nobody else's: at 127.0.0.1 another program may have the port by now
    port = await server.start(address, 0)
    await server.stop()
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get(f"http://{address}:{port}/metrics")


async def test_stop_does_not_wait_for_a_first_visitor_who_is_not_served_yet() -> None:
    server = DashboardServer(Metrics())
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await server.stop()
    writer.close()
    with suppress(ConnectionResetError):  # the kernel's word for a connection that nobody had accepted
        assert await reader.read() == b""


async def test_later_visitors_are_served_too_and_other_pages_do_not_exist() -> None:
    server = DashboardServer(Metrics())
    port = await server.start("127.0.0.1", 0)
    statuses = []
    for page in ("metrics", "metrics", "other"):
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/{page}") as answer:
            statuses.append(answer.status)
    await server.stop()
    assert statuses == [200, 200, 404]


async def test_a_port_that_is_taken_is_an_error_at_once() -> None:
    first, second = DashboardServer(Metrics()), DashboardServer(Metrics())
    port = await first.start("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        await second.start("127.0.0.1", port)
    await second.stop()
    await first.stop()


async def test_who_says_nothing_or_half_of_it_is_sent_off_and_one_too_many_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servers, "SILENT_S", 1.0)
    monkeypatch.setattr(servers, "MAX_VISITORS", 3)
    server = DashboardServer(Metrics())
    port = await server.start("127.0.0.1", 0)
    visitors = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
    for half, (_, writer) in zip(
        (b"", b"GET /metrics HT", b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: "), visitors, strict=False
    ):
        writer.write(half)
    async with asyncio.timeout(20):
        assert await visitors[3][0].read() == b""
        assert not any(reader.at_eof() for reader, _ in visitors[:3])
        assert [await reader.read() for reader, _ in visitors[:3]] == [b"", b"", b""]
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.status == 200
    for _, writer in visitors:
        writer.close()
    await server.stop()


class Greeting:
    """One page."""

    def add_to(self, application: web.Application) -> None:
        application.router.add_get("/hello", self._greet)

    async def _greet(self, _request: web.Request) -> web.Response:
        return web.Response(text="hello")


async def test_pages_are_opened_with_the_first_visitor() -> None:
    opened = []

    def open_pages() -> list[Greeting]:
        opened.append(Greeting())
        return opened

    server = DashboardServer(Metrics(), open_pages)
    port = await server.start("127.0.0.1", 0)
    assert not opened
    for _ in range(2):
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/hello") as answer:
            assert await answer.text() == "hello"
    assert len(opened) == 1
    await server.stop()
