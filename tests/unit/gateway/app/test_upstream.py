import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from edgewire.message import UPSTREAM, Identity, identity, module_input
from gateway.app.settings import ConfigError, read_environment
from gateway.app.upstream import Upstream, has_upstream, lower_gateways
from support.agreeable_proxy import AgreeableProxy

if TYPE_CHECKING:
    from gateway.app.devices_upstream import DevicesUpstream

PATIENCE_S = 30


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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", set()),
        ("edge-2/gateway", {identity("edge-2", "gateway")}),
        (" edge-2/gateway , edge-3/gateway,", {identity("edge-2", "gateway"), identity("edge-3", "gateway")}),
    ],
)
def test_gateways_below(text: str, found: set[Identity]) -> None:
    assert lower_gateways(text) == found


@pytest.mark.parametrize("text", ["edge-2", "edge-2/", "/gateway", "edge 2/gateway", "edge-2/gateway;edge-3/gateway"])
def test_what_names_no_gateway_below_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="written DEVICE/MODULE, as edge-2/gateway"):
        lower_gateways(text)


class OnBehalf:
    """A way on behalf of devices that is another proxy."""

    def __init__(self) -> None:
        self.proxy = AgreeableProxy()

    def beside(self, _module: object) -> AgreeableProxy:
        return self.proxy

    async def run(self) -> None:
        await asyncio.Event().wait()


async def test_without_another_way_the_module_carries_all() -> None:
    module = AgreeableProxy()
    ours = Upstream(module=module)
    assert ours.links() == (module.status(), None)
    assert (ours.carrier(UPSTREAM), ours.carrier(module_input("ai", "in"))) == (module, module)


async def test_without_a_module_its_inputs_are_not_reached_and_the_cloud_is() -> None:
    devices = OnBehalf()
    ours = Upstream(devices=cast("DevicesUpstream", devices))
    assert ours.links() == (None, devices.proxy.status())
    assert (ours.carrier(UPSTREAM), ours.carrier(module_input("ai", "in"))) == (devices.proxy, None)


async def test_links_run_until_they_are_closed() -> None:
    ours = Upstream(module=AgreeableProxy())
    async with asyncio.TaskGroup() as tasks:
        ours.start(tasks)
        [link] = ours._links
        await asyncio.sleep(0)
        assert not link.done()
        async with asyncio.timeout(PATIENCE_S):
            await ours.stop()
        assert link.cancelled()
