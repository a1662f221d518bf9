import json
from pathlib import Path

from edgewire.message import Message, MessageSource, identity
from gateway.dispatch.connections import MAX_OFFLINE, SUMMARY_S, Connections
from gateway.dispatch.presence import Ending
from gateway.observe.dispatch import ConnectionStateNotKept, MessagesReceived, MessagesUnrouted
from gateway.observe.head import DeviceConnected, DeviceDisconnected, Leaving
from gateway.store.values import StoreLimits
from support.mqtt_site import Site

NAMED = {"states": "FROM /deviceConnectionStateEvents INTO $upstream"}
BY_REASON = {"lost": "FROM /deviceConnectionStateEvents WHERE $body.reason = 'lost' INTO $upstream"}
NOT_NAMED = {"all": "FROM /* INTO $upstream", "telemetry": "FROM /messages/* INTO $upstream"}
AT = 1_800_000_000.0


class Link:
    def end(self, why: Ending) -> None:
        """Nobody to say goodbye to."""

    def judge_again(self) -> None:
        """No token."""


class Clock:
    def __init__(self) -> None:
        self.now = AT

    def __call__(self) -> float:
        return self.now


class House:
    """The connections of a site, told by hand who comes and goes."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.clock = Clock()
        self.links: dict[str, Link] = {}
        self.connections = Connections(
            ingress=site.ingress, presence=site.presence, emit=site.events.append, clock=self.clock
        )

    def come(self, name: str) -> None:
        device, _, module = name.partition("/")
        self.links[name] = Link()
        self.site.presence.enter(identity(device, module or None), self.links[name])
        self.connections.on_event(DeviceConnected(name, "127.0.0.1"))

    def go(self, name: str, reason: Leaving) -> None:
        device, _, module = name.partition("/")
        self.site.presence.leave(identity(device, module or None), self.links[name])
        self.connections.on_event(DeviceDisconnected(name, reason))

    async def stored(self) -> list[Message]:
        await self.site.store.flush()
        return [entry.message for entry in self.site.stored()]


async def test_a_route_that_names_the_source_gets_who_came_and_who_went_and_why(tmp_path: Path) -> None:
    async with Site.open(tmp_path, routes=NAMED) as site:
        house = House(site)
        house.come("d1")
        house.go("d1", Leaving.LOST)
        came, went = await house.stored()
        assert came.envelope.source is MessageSource.CONNECTION_STATE
        assert came.envelope.sender == identity("d1")
        assert came.envelope.properties == {
            "opType": "deviceConnected",
            "operationTimestamp": "2027-01-15T08:00:00Z",
            "deviceId": "d1",
        }
        assert json.loads(came.body) == {"event": "connected", "sequenceNumber": 1}
        assert went.envelope.properties["opType"] == "deviceDisconnected"
        assert json.loads(went.body) == {"event": "disconnected", "sequenceNumber": 2, "reason": "lost"}


async def test_a_module_is_named_with_its_device(tmp_path: Path) -> None:
    async with Site.open(tmp_path, routes=NAMED) as site:
        house = House(site)
        house.come("d1/m1")
        (came,) = await house.stored()
        assert came.envelope.sender == identity("d1", "m1")
        assert came.envelope.properties["opType"] == "moduleConnected"
        assert came.envelope.properties["moduleId"] == "m1"
        assert came.envelope.system["connectionModuleId"] == "m1"


async def test_a_route_may_ask_for_the_reason(tmp_path: Path) -> None:
    async with Site.open(tmp_path, routes=BY_REASON) as site:
        house = House(site)
        for name, reason in (("d1", Leaving.GOODBYE), ("d2", Leaving.LOST)):
            house.come(name)
            house.go(name, reason)
        assert [message.envelope.sender.device for message in await house.stored()] == ["d2"]


async def test_without_a_route_that_names_the_source_nothing_is_made_of_it(tmp_path: Path) -> None:
    async with Site.open(tmp_path, routes=NOT_NAMED) as site:
        house = House(site)
        house.come("d1")
        house.go("d1", Leaving.LOST)
        assert await house.stored() == []
        site.ingress.report()
        assert not any(isinstance(event, MessagesUnrouted | MessagesReceived) for event in site.events)


async def test_a_device_that_connects_again_while_it_is_here_was_never_away(tmp_path: Path) -> None:
    async with Site.open(tmp_path, routes=NAMED) as site:
        house = House(site)
        house.come("d1")
        house.come("d1")
        house.connections.on_event(DeviceDisconnected("d1", Leaving.TAKEN_OVER))
        kinds = [message.envelope.properties["opType"] for message in await house.stored()]
        assert kinds == ["deviceConnected", "deviceConnected"]
        assert house.connections.summary() == {"connected": 1, "offline": {}}


async def test_the_summary_tells_who_is_away_the_latest_first(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        house = House(site)
        for name in ("d1", "d2", "d3"):
            house.come(name)
        house.go("d1", Leaving.LOST)
        house.clock.now += 60
        house.go("d2", Leaving.TOKEN_EXPIRED)
        summary = house.connections.summary()
        assert summary["connected"] == 1
        assert list(summary["offline"].items()) == [
            ("d2", "token_expired 2027-01-15T08:01:00Z"),
            ("d1", "lost 2027-01-15T08:00:00Z"),
        ]
        house.come("d1")
        assert list(house.connections.summary()["offline"]) == ["d2"]


async def test_the_summary_is_due_once_for_what_is_new_and_not_more_often_than_a_twin_bears(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        house = House(site)
        assert not house.connections.is_due()
        house.come("d1")
        assert house.connections.is_due()
        assert not house.connections.is_due()
        house.go("d1", Leaving.LOST)
        assert not house.connections.is_due()
        house.clock.now += SUMMARY_S
        assert house.connections.is_due()
        house.come("d1")
        house.clock.now -= 3600  # the clock was set back
        assert house.connections.is_due()


async def test_of_more_devices_than_are_remembered_those_gone_longest_are_not_told(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        house = House(site)
        for number in range(MAX_OFFLINE + 1):
            house.come(f"d{number}")
            house.go(f"d{number}", Leaving.LOST)
        offline = house.connections.summary()["offline"]
        assert len(offline) == MAX_OFFLINE
        assert "d0" not in offline


async def test_a_message_that_the_store_cannot_keep_is_counted(tmp_path: Path) -> None:
    async with Site.open(tmp_path, routes=NAMED, limits=StoreLimits(max_bytes=65_536, segment_bytes=16_384)) as site:
        house = House(site)
        for _ in range(1_000):  # each takes more than 65 bytes
            house.come("d1")
        await site.store.flush()
        assert ConnectionStateNotKept() in site.events
