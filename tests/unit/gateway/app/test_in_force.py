from collections.abc import Iterable
from pathlib import Path

from edgewire.message import UPSTREAM, Endpoint, module_input
from gateway.app.document import read_settings
from gateway.app.in_force import InForce
from gateway.store.values import WhenFull
from support.mqtt_site import Site

DOCUMENT = {
    "routes": {
        "up": "FROM /messages/* WHERE level = 'high' INTO $upstream",
        "ai": 'FROM /messages/* INTO BrokeredEndpoint("/modules/m/inputs/i")',
    },
    "storeAndForward": {"timeToLiveSecs": 60, "maxBytes": 2_097_152, "whenFull": "dropOldest"},
    "boards": {"settings": {"interval": 60}},
}


async def test_settings_reach_the_routes_the_store_and_the_ways_out(tmp_path: Path) -> None:
    served: list[Iterable[Endpoint]] = []
    async with Site.open(tmp_path) as site:
        reading = read_settings(DOCUMENT)
        assert reading.settings is not None
        assert reading.table is not None
        in_force = InForce(site.ingress, site.store, served.append)
        assert in_force.board_settings == {}
        in_force.apply(reading.settings, reading.table)
        assert in_force.board_settings == {"interval": 60}

        device = site.login()
        device.publish("devices/d1/messages/events/level=low")
        await site.store.flush()
        assert site.stored(UPSTREAM) == []
        assert len(site.stored(module_input("m", "i"))) == 1
        status = site.store.status()
        assert (status.max_bytes, status.when_full) == (2_097_152, WhenFull.DROP_OLDEST)
        assert served == [frozenset({UPSTREAM, module_input("m", "i")})]
        assert in_force.endpoints == served[0]
