"""All ways in and all ways out of a site at once, by its one settings document: docs/examples/site.json."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from edgewire.codec.amqp.message import read_message
from edgewire.iothub import sas
from gateway.identity.publisher_hubs import Hub, Rule
from gateway.identity.publishers import edit_publishers
from project_sources import ROOT
from standin.events import Event
from standin.namespace import OwnEventHub
from support.endpoint_site import EVENT_HUB, NAME, write_key
from support.gateway_site import KEY, GatewaySite, until
from support.mixed_senders import (
    HTTPS_PORT,
    PLAIN_PORT,
    RULE_KEY,
    AmqpSender,
    HttpSender,
    PlainSender,
    Sender,
    all_sending,
    more,
)
from support.numbered_devices import sender_of
from support.paho_device import JSON, let_in
from support.plain_site import user, write_users

EXAMPLE: Final = ROOT / "docs/examples/site.json"
UP: Final = "upstream"
ARCHIVE: Final = "archive"
BOTH: Final = frozenset((UP, ARCHIVE))


def document(site: GatewaySite) -> dict[str, Any]:
    """The example, with shorter times and the stand-in for the Event Hub."""
    found: dict[str, Any] = json.loads(EXAMPLE.read_text())
    del found["tests"]  # they are of the example as it stands
    found["routes"]["archive"]["send"]["batch"]["maxAgeSecs"] = 1
    found["routes"]["means"]["send"]["aggregate"]["windowSecs"] = 1
    found["endpoints"][NAME] |= {"host": f"{site.hub.address}:5671", "caFile": "ca.pem"}
    return found


def without(settings: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A copy that lacks these members, each written as a path."""
    found: dict[str, Any] = json.loads(json.dumps(settings))
    for name in names:
        *way, last = name.split(".")
        inner = found
        for key in way:
            inner = inner[key]
        del inner[last]
    return found


async def opened(site: GatewaySite) -> OwnEventHub:
    """The gateway runs with all of it."""
    event_hub = site.hub.namespace.ensure(EVENT_HUB)
    secrets = site.folder / "secrets"
    secrets.mkdir()
    (secrets / "ca.pem").write_text(site.hub.trust_bundle)
    write_key(site, site.hub)
    write_users(site.data, user("ann"))
    hub = Hub(name="telemetry", rules={"SendRule": Rule(RULE_KEY, RULE_KEY)})
    edit_publishers(site.data / "publishers.json", lambda hubs: hubs.with_hub(hub))
    await site.gateway.start(
        GATEWAY_SETTINGS_FILE=str(site.write_settings(**document(site))),
        GATEWAY_SECRETS_DIR=str(secrets),
        GATEWAY_PLAIN_PORT=str(PLAIN_PORT),
        GATEWAY_PLAIN_ADDRESS=site.address,
        GATEWAY_WEBSOCKET_PORT=str(HTTPS_PORT),
    )
    return event_hub


@dataclass(slots=True)
class Means:
    """What mosquitto_sub hears on `means/#`: windows, by device."""

    process: asyncio.subprocess.Process
    heard: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            topic, _, body = line.decode().partition(" ")
            self.heard[topic.removeprefix("means/")].append(json.loads(body))

    def counted(self, device: str) -> int:
        """Readings in the windows so far."""
        return sum(window["count"] for window in self.heard[device])


@asynccontextmanager
async def listening(site: GatewaySite) -> AsyncIterator[Means]:
    """Somebody hears the means; it connects again by itself."""
    words = f"mosquitto_sub -h {site.address} -p {PLAIN_PORT} -u ann -P tiger -q 1 -t means/#".split()
    process = await asyncio.create_subprocess_exec(*words, "-F", "%t %p", stdout=asyncio.subprocess.PIPE)
    means = Means(process)
    reading = asyncio.ensure_future(means.read())
    try:
        await until(lambda: _hears(site))
        yield means
    finally:
        process.terminate()
        await process.wait()
        await reading


async def _hears(site: GatewaySite) -> bool:
    return bool((await site.status())["plain"]["subscriptions"] == 1)


async def put_in_force(site: GatewaySite, settings: Mapping[str, Any]) -> None:
    """Write settings, and return when they hold."""
    said = len(site.gateway.lines)
    site.write_settings(**{name: value for name, value in settings.items() if name != "schemaVersion"})
    await site.gateway.said("settings from file in force", after=said)


async def test_three_ways_in_and_three_ways_out_lose_nothing_whatever_is_changed(site: GatewaySite) -> None:
    event_hub = await opened(site)
    plain = PlainSender(site, "plain-lab")
    senders: list[Sender] = [plain, AmqpSender(site, "d1"), HttpSender(site, "wipy-01")]
    owe(senders, BOTH)
    async with listening(site) as means, all_sending(senders):
        await more(senders, 20)
        await until(lambda: all(means.counted(sender.device) >= 20 for sender in senders))
        assert all(means.counted(sender.device) <= len(sender.tries) for sender in senders), "each reading once"
        await change_settings(site, senders)
        await more(senders, 5)
        await site.gateway.kill()
        means.heard.clear()
        await site.gateway.start()
        await more(senders, 20)
        await until(lambda: all(means.counted(sender.device) >= 20 for sender in senders))
    await site.counted('gateway_held_back_messages_total{reason="unchanged"}', 8 * len(senders))
    await until(lambda: _nothing_waits(site))
    cloud, archive = Arrived.upstream(site), Arrived.archive(event_hub)
    for sender in senders:
        changes = {number for number in sender.owed_at(UP) if number % 2 == 0}
        assert changes <= set(cloud.ids[sender.device])
        assert sender.owed_at(ARCHIVE) <= set(archive.ids[sender.device])
        for number, tries in sender.tries.items():
            ids = cloud.ids[sender.device][number] | archive.ids[sender.device][number]
            assert len(ids) <= tries, "what comes again has the same id, and it has the same at both ends"
    assert archive.kinds == {"batch", "as it came"}
    await site.gateway.stop()


async def change_settings(site: GatewaySite, senders: Sequence[Sender]) -> None:
    """Take away a rule, two `send`, an endpoint, while all of it runs; and give it all back."""
    whole, (plain, *_) = document(site), senders
    owe([plain], frozenset())
    await put_in_force(site, without(whole, "topics", "topicDevices", "routes.climate.send", "routes.archive.send"))
    await site.counted('gateway_unmatched_publications_total{listener="plain"}', 3)
    await put_in_force(site, whole)
    owe([plain], BOTH)
    site.write_settings(**without(whole, "schemaVersion", "endpoints"))
    await site.reported(names_the_missing_endpoint)
    owe(senders, frozenset((UP,)))
    await put_in_force(site, without(whole, "endpoints", "routes.archive"))
    await site.gateway.said("do not name any more")
    await more(senders, 5)
    await put_in_force(site, whole)
    owe(senders, BOTH)


def names_the_missing_endpoint(twin: dict[str, Any]) -> bool:
    """Whether the settings are refused for this reason, and the route is named."""
    route = twin.get("routes", {}).get("archive", {})
    return twin["lastDesiredStatus"]["code"] == 400 and "there is no endpoint 'archive'" in route.get("message", "")


def owe(senders: Sequence[Sender], owed: frozenset[str]) -> None:
    """From now on what is acknowledged is owed there."""
    for sender in senders:
        sender.owed = owed


class Arrived:
    """Readings at a far end: their ids, by device and number; and how they were made."""

    def __init__(self) -> None:
        self.ids: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.kinds: set[str] = set()

    def _add(self, device: str, body: Any, message_id: str) -> None:
        self.ids[device][body["n"]].add(message_id)

    @classmethod
    def upstream(cls, site: GatewaySite) -> "Arrived":
        found = cls()
        for event in site.hub.events.read(0, 1_000_000):
            found._add(sender_of(event), json.loads(event.body), event.system["messageId"])
        return found

    @classmethod
    def archive(cls, event_hub: OwnEventHub) -> "Arrived":
        """Of batches and of events."""
        found, log = cls(), event_hub.log
        for partition in range(log.partitions):
            for kept in log.read_partition(partition, 0, 1_000_000):
                message = read_message(kept.payload)
                assert isinstance(message.body, bytes)
                assert message.properties is not None
                said = message.application_properties or {}
                found.kinds.add(str(said.get("sendKind", "as it came")))
                body, device = json.loads(message.body), str(said["iothub-connection-device-id"])
                if not isinstance(body, list):
                    body = [{"deviceId": device, "body": body, "messageId": message.properties.message_id}]
                for item in body:
                    assert item["deviceId"] == device
                    found._add(device, item["body"], item["messageId"])
        return found


async def _nothing_waits(site: GatewaySite) -> bool:
    return not any(queue["messages"] for queue in (await site.status())["store"]["queues"])


async def test_what_is_made_goes_as_its_device_and_of_all_devices_as_the_module(site: GatewaySite) -> None:
    site.hub.add_device("d1", keys=(sas.encode_key(KEY),))
    write_users(site.data, user("ann"))
    source = "FROM /messages/* INTO $upstream"
    routes: dict[str, Any] = {
        "each": {"route": source, "send": {"batch": {"maxMessages": 2}}},
        "mean": {"route": source, "send": {"aggregate": {"windowSecs": 1, "values": {"n": "$body.n"}}}},
        "all": {"route": source, "send": {"batch": {"maxMessages": 2, "per": "route"}}},
    }
    settings = {"routes": routes, "topics": document(site)["topics"], "topicDevices": {"create": True}}
    await site.gateway.start(
        GATEWAY_SETTINGS_FILE=str(site.write_settings(**settings)),
        GATEWAY_UPSTREAM_AMQP="edgehub",
        GATEWAY_UPSTREAM="none",
        GATEWAY_PLAIN_PORT=str(PLAIN_PORT),
        GATEWAY_PLAIN_ADDRESS=site.address,
    )
    await site.gateway.said("batches of route 'all' are of all devices and go as 'edge-1/gateway'")
    async with let_in(site, "d1") as device:
        for number in range(2):
            await device.publish(json.dumps({"n": number}), JSON)
    for event in await made(site, {("each", "d1"), ("mean", "d1")}):
        assert (event.device, event.module) == ("d1", None)
        assert "leafDeviceId" not in event.properties
    assert "batches of route 'all' wait" in (await site.command("status")).out
    await site.gateway.stop()
    before = site.hub.events.last_sequence
    await site.gateway.start(GATEWAY_UPSTREAM="edgehub")
    for number in range(2):
        await publish_plainly(site, "site/lab/climate", json.dumps({"n": number}))
    found = await made(site, {("all", "edge-1"), ("each", "plain-lab"), ("mean", "plain-lab")}, before)
    as_module = [event for event in found if sender_of(event) != "d1"]  # whose second window may be among them
    assert {(event.device, event.module) for event in as_module} == {("edge-1", "gateway")}
    assert json.loads(as_module[0].body)[0]["deviceId"] == "d1", "the batch of before the stop"
    assert "of all devices" not in site.gateway.transcript()
    await site.gateway.stop()


async def made(site: GatewaySite, wanted: set[tuple[str, str]], after: int = 0) -> list[Event]:
    """What arrived behind a sequence number, once there is something of each route and sender."""
    events: list[Event] = []
    while wanted - {(event.properties["sendRoute"], sender_of(event)) for event in events}:
        events = await site.arrived(len(events) + 1, after=after)
    return events


async def publish_plainly(site: GatewaySite, topic: str, payload: str) -> None:
    """As ann, at the plain listener, with Debian's program."""
    words = f"mosquitto_pub -h {site.address} -p {PLAIN_PORT} -u ann -P tiger -q 1 -t {topic} -m".split()
    process = await asyncio.create_subprocess_exec(*words, payload)
    assert await process.wait() == 0
