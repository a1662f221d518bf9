import asyncio
from pathlib import Path

from edgewire.message import UPSTREAM, Endpoint, EndpointKind, module_input, named_endpoint
from gateway.app.forwarding import Forwarding
from support.agreeable_proxy import AgreeableProxy
from support.mqtt_site import Site

PATIENCE_S = 30


def forwarding(site: Site, proxy: AgreeableProxy | None) -> Forwarding:
    ours = Forwarding(site.store, site.events.append)
    ours.use(EndpointKind.UPSTREAM, lambda _endpoint: proxy)
    ours.use(EndpointKind.MODULE, lambda _endpoint: None)
    return ours


async def test_a_backlog_and_what_comes_later_are_sent_and_settled(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        device = site.login()
        proxy = AgreeableProxy()
        proxy.expected = 2
        ours = forwarding(site, proxy)
        device.publish("devices/d1/messages/events/", b"before", packet_id=1)
        await site.store.flush()
        async with asyncio.TaskGroup() as tasks:
            ours.start(tasks, [])
            device.publish("devices/d1/messages/events/", b"after", packet_id=2)
            await asyncio.wait_for(proxy.all_there.wait(), PATIENCE_S)
            await asyncio.wait_for(ours.stop(), PATIENCE_S)
        assert proxy.sent == [b"before", b"after"]
        assert site.store.status().messages == 0


async def test_an_endpoint_without_a_way_waits_and_the_others_are_served(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        ours = forwarding(site, AgreeableProxy())
        async with asyncio.TaskGroup() as tasks:
            ours.start(tasks, [UPSTREAM, module_input("ai", "in"), named_endpoint("archive")])
            assert ours.endpoints == (UPSTREAM,)
            await asyncio.wait_for(ours.stop(), PATIENCE_S)


async def test_an_endpoint_is_served_once_however_often_it_is_named(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        asked: list[Endpoint] = []
        ours = forwarding(site, None)

        def way(endpoint: Endpoint) -> AgreeableProxy:
            asked.append(endpoint)
            return AgreeableProxy()

        ours.use(EndpointKind.UPSTREAM, way)
        ours.serve([UPSTREAM])
        assert not ours.endpoints
        async with asyncio.TaskGroup() as tasks:
            ours.start(tasks, [UPSTREAM])
            ours.serve([UPSTREAM])
            assert (ours.endpoints, asked) == ((UPSTREAM,), [UPSTREAM])
            await asyncio.wait_for(ours.stop(), PATIENCE_S)
