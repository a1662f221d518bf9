import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from edgewire.message import UPSTREAM, Outcome, module_input
from gateway.app.settings import read_environment
from gateway.app.upstream import Upstream, has_upstream
from gateway.upstream.proxy import (
    CloudListener,
    Document,
    Entry,
    LinkState,
    LinkStatus,
    NotConnectedError,
    Sent,
    Window,
)
from support.mqtt_site import Site

if TYPE_CHECKING:
    from gateway.app.devices_upstream import DevicesUpstream

PATIENCE_S = 5


@pytest.mark.parametrize(
    ("setting", "environ", "there"),
    [
        ("auto", {}, False),
        ("auto", {"IOTEDGE_WORKLOADURI": "unix:///w.sock"}, True),
        ("auto", {"EdgeHubConnectionString": "HostName=h"}, True),
        ("none", {"IOTEDGE_WORKLOADURI": "unix:///w.sock"}, False),
        ("edgehub", {}, True),
    ],
)
def test_whether_there_is_an_edge_hub(setting: str, environ: dict[str, str], there: bool) -> None:  # noqa: FBT001
    assert has_upstream(read_environment({"GATEWAY_UPSTREAM": setting}), environ) is there


class AgreeableProxy:
    """A link that is up and takes everything."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.all_there = asyncio.Event()
        self.expected = 0

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def connected(self) -> None:
        """Always."""

    def send(self, entry: Entry, endpoint: object) -> asyncio.Future[Sent]:
        self.sent.append(entry.message.body)
        if len(self.sent) == self.expected:
            self.all_there.set()
        done: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        done.set_result(Sent(Outcome.ACCEPTED))
        return done

    def status(self) -> LinkStatus:
        return LinkStatus(state=LinkState.CLOSED, reason="", since_at=0.0, last_success_at=None, in_flight=0)

    def window(self) -> Window:
        return Window()

    def on_wider(self, call: object) -> None:
        """It never is."""

    def listen(self, listener: CloudListener) -> None:
        """Nobody is told."""

    async def twin(self) -> Document:
        raise NotConnectedError

    async def report(self, patch: Document) -> None:
        raise NotConnectedError


def upstream(site: Site, proxy: AgreeableProxy) -> Upstream:
    return Upstream(store=site.store, emit=site.events.append, module=proxy)


async def test_a_backlog_and_what_comes_later_are_sent_and_settled(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        device = site.login()
        proxy = AgreeableProxy()
        proxy.expected = 2
        ours = upstream(site, proxy)
        assert ours.links() == (proxy.status(), None)
        device.publish("devices/d1/messages/events/", b"before", packet_id=1)
        await site.store.flush()
        async with asyncio.TaskGroup() as tasks:
            ours.start(tasks, [])
            device.publish("devices/d1/messages/events/", b"after", packet_id=2)
            await asyncio.wait_for(proxy.all_there.wait(), PATIENCE_S)
            await asyncio.wait_for(ours.stop(), PATIENCE_S)
        assert proxy.sent == [b"before", b"after"]
        assert site.store.status().messages == 0


async def test_without_a_module_its_inputs_wait_and_the_cloud_is_served(tmp_path: Path) -> None:
    class OnBehalf:
        """A way on behalf of devices that is another proxy."""

        def __init__(self) -> None:
            self.proxy = AgreeableProxy()

        def beside(self, module: object) -> AgreeableProxy:
            assert module is None
            return self.proxy

        async def run(self) -> None:
            await asyncio.Event().wait()

    async with Site.open(tmp_path) as site:
        ours = Upstream(store=site.store, emit=site.events.append, devices=cast("DevicesUpstream", OnBehalf()))
        assert ours.links() == (None, AgreeableProxy().status())
        async with asyncio.TaskGroup() as tasks:
            ours.start(tasks, [UPSTREAM, module_input("ai", "in")])
            assert list(ours._forwarders) == [UPSTREAM]
            await asyncio.wait_for(ours.stop(), PATIENCE_S)


async def test_an_endpoint_is_served_once_however_often_it_is_named(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        ours = upstream(site, AgreeableProxy())
        ours.serve([UPSTREAM])
        assert not ours._forwarders
        async with asyncio.TaskGroup() as tasks:
            ours.start(tasks, [UPSTREAM])
            ours.serve([UPSTREAM])
            assert list(ours._forwarders) == [UPSTREAM]
            await asyncio.wait_for(ours.stop(), PATIENCE_S)
