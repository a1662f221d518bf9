"""The link upstream comes back also where a thousand devices hold all descriptors that select() can watch."""

import resource

import pytest

from soak.soak import register
from soak.swarm import Swarm, SwarmDevice
from support.gateway_site import GatewaySite, until
from support.process_watch import open_files

DEVICES = 1_030
SELECTABLE = 1_024


@pytest.mark.timeout(400)  # so many handshakes take long where others work beside it
async def test_the_link_upstream_is_built_anew_with_a_thousand_devices_connected(site: GatewaySite) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4 * DEVICES, hard)), hard))
    names = [f"s{number}" for number in range(DEVICES)]
    register(site, names)
    swarm = Swarm([SwarmDevice(site, name, 2.0, 0) for name in names])
    await site.gateway.start()
    site.hub.refuse_connections()
    site.hub.drop_connections()
    await site.gateway.said("cannot connect upstream")
    await swarm.start()
    assert open_files(site.gateway.pid) > SELECTABLE
    site.hub.behave()
    await until(lambda: site.hub.events.last_sequence > 0, 90)
    await swarm.stop()
    await site.gateway.stop()
