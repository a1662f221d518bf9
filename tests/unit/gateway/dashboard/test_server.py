import aiohttp
import pytest

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
        assert "gateway_received_messages_total 3.0" in await answer.text()
    await server.stop()


async def test_after_stop_nobody_answers() -> None:
    server = DashboardServer(Metrics())
    port = await server.start("127.0.0.1", 0)
    await server.stop()
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get(f"http://127.0.0.1:{port}/metrics")
