from collections.abc import Iterable
from pathlib import Path

from edgewire.message import UPSTREAM, Endpoint, EndpointKind, module_input
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
        assert in_force.settings is reading.settings
        assert [route.name for route in in_force.routes] == ["up", "ai"]

        device = site.login()
        device.publish("devices/d1/messages/events/level=low")
        await site.store.flush()
        assert site.stored(UPSTREAM) == []
        assert len(site.stored(module_input("m", "i"))) == 1
        status = site.store.status()
        assert (status.max_bytes, status.when_full) == (2_097_152, WhenFull.DROP_OLDEST)
        assert served == [frozenset({UPSTREAM, module_input("m", "i")})]
        assert in_force.endpoints == served[0]


async def test_what_filters_remember_outlives_settings_that_do_not_change_them(tmp_path: Path) -> None:
    send = {"onChangeOf": "level"}
    routes = {"up": {"route": "FROM /messages/* INTO $upstream", "send": send}}
    async with Site.open(tmp_path) as site:
        in_force = InForce(site.ingress, site.store, lambda _: None)
        device = site.login()
        for more in ({}, {"other": "FROM /messages/* WHERE x = '1' INTO $upstream"}):
            reading = read_settings({"routes": {**routes, **more}})
            assert reading.settings is not None
            assert reading.table is not None
            in_force.apply(reading.settings, reading.table)
            device.publish("devices/d1/messages/events/level=low")
        await site.store.flush()
        assert len(site.stored(UPSTREAM)) == 1


async def test_stages_of_routes_are_served_beside_their_endpoints(tmp_path: Path) -> None:
    reading = read_settings({"routes": {"up": {"route": "FROM /messages/* INTO $upstream", "send": {"batch": {}}}}})
    assert reading.settings is not None
    assert reading.table is not None
    async with Site.open(tmp_path) as site:
        in_force = InForce(site.ingress, site.store, lambda _: None)
        in_force.apply(reading.settings, reading.table)
        assert {endpoint.kind for endpoint in in_force.endpoints} == {EndpointKind.UPSTREAM, EndpointKind.STAGE}
        site.login().publish("devices/d1/messages/events/")
        await site.store.flush()
        (stage,) = in_force.endpoints - {UPSTREAM}
        assert (len(site.stored(stage)), site.stored(UPSTREAM)) == (1, [])
