import json
from pathlib import Path

from edgewire.message import MessageSource, identity
from gateway.dispatch.twin_changes import TwinChanges
from gateway.observe.dispatch import MessagesReceived, MessagesUnrouted, TwinChangeNotKept
from gateway.store.values import StoreLimits
from support.mqtt_site import Site

NAMED = {
    "twins": "FROM /twinChangeNotifications WHERE $body.properties.reported.firmware.state = 'failed' INTO $upstream"
}
EVERYTHING = {"all": "FROM /* INTO $upstream"}
TELEMETRY = {"telemetry": "FROM /messages/* INTO $upstream"}
D1 = identity("d1")


async def test_a_report_is_a_message_of_its_device_with_the_version_it_was_told(tmp_path: Path) -> None:
    async with Site.open(tmp_path, routes=EVERYTHING) as site:
        TwinChanges(site.ingress, site.events.append).on_reported(D1, {"free": 9000}, 7)
        await site.store.flush()
        (entry,) = site.stored()
        envelope = entry.message.envelope
        assert envelope.source is MessageSource.TWIN_CHANGE
        assert envelope.sender == D1
        assert envelope.system["messageSchema"] == "twinChangeNotification"
        assert json.loads(entry.message.body) == {"properties": {"reported": {"free": 9000, "$version": 7}}}


async def test_a_module_is_named_and_a_version_that_nobody_knows_is_not(tmp_path: Path) -> None:
    async with Site.open(tmp_path, routes=EVERYTHING) as site:
        TwinChanges(site.ingress, site.events.append).on_reported(identity("d1", "m1"), {"a": None}, None)
        await site.store.flush()
        (entry,) = site.stored()
        assert entry.message.envelope.system["connectionModuleId"] == "m1"
        assert json.loads(entry.message.body) == {"properties": {"reported": {"a": None}}}


async def test_a_route_filters_by_what_was_reported(tmp_path: Path) -> None:
    async with Site.open(tmp_path, routes=NAMED) as site:
        changes = TwinChanges(site.ingress, site.events.append)
        for state in ("running", "failed"):
            changes.on_reported(D1, {"firmware": {"state": state}}, 2)
        await site.store.flush()
        assert len(site.stored()) == 1


async def test_without_a_route_for_twin_changes_none_is_made(tmp_path: Path) -> None:
    async with Site.open(tmp_path, routes=TELEMETRY) as site:
        TwinChanges(site.ingress, site.events.append).on_reported(D1, {"a": 1}, 2)
        await site.store.flush()
        site.ingress.report()
        assert site.stored() == []
        assert not any(isinstance(event, MessagesReceived | MessagesUnrouted) for event in site.events)


async def test_one_that_the_store_cannot_keep_is_counted(tmp_path: Path) -> None:
    limits = StoreLimits(max_bytes=65_536, segment_bytes=16_384)
    async with Site.open(tmp_path, routes=EVERYTHING, limits=limits) as site:
        changes = TwinChanges(site.ingress, site.events.append)
        for _ in range(1_000):
            changes.on_reported(D1, {"text": "x" * 100}, 2)
        await site.store.flush()
        assert TwinChangeNotKept() in site.events
