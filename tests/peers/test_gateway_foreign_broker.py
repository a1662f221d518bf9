"""The gateway as client of Debian's mosquitto: what is published there goes through the topic rules to the hub."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from standin.events import Event
from support.broker_load import machine
from support.certificates import Credential, authority, signed
from support.foreign_broker import PASSWORD, TLS, USER, ForeignBroker
from support.gateway_site import GatewaySite, until

RULE: Final = {
    "listener": "broker",
    "match": "site/+room/+kind",
    "device": "{room}",
    "properties": {"kind": "{kind}"},
    "contentType": "application/json",
    "contentEncoding": "utf-8",
}
ROUTES: Final = {"all": "FROM /messages/* INTO $upstream"}
COUNT: Final = 400
PATIENCE_S: Final = 60.0
"""The start of a gateway is in it, or a broker's."""
BOTH: Final = pytest.mark.parametrize("version", ["5", "3.1.1"])


@pytest.fixture
async def broker(tmp_path: Path, loopback: Iterator[str]) -> AsyncIterator[ForeignBroker]:
    async with ForeignBroker.open(tmp_path / "broker", next(loopback)) as broker:
        yield broker


def settings(site: GatewaySite, rule: dict[str, Any] = RULE, **more: Any) -> str:
    return str(site.write_settings(routes=ROUTES, topics=[rule], topicDevices={"create": True}, **more))


async def start(site: GatewaySite, broker: ForeignBroker, **more: str) -> None:
    more = {"GATEWAY_SETTINGS_FILE": more.get("GATEWAY_SETTINGS_FILE") or settings(site), **more}
    await site.gateway.spawn(**{"GATEWAY_BROKER": f"mqtt://{broker.address}", **more})


async def hears(site: GatewaySite) -> None:
    await site.gateway.said("subscribed at the broker to", PATIENCE_S)


def number_of(event: Event) -> int:
    return int(event.body.removeprefix(b'{"n": ').removesuffix(b"}"))


async def numbers(site: GatewaySite, wanted: set[int]) -> list[Event]:
    await until(lambda: wanted <= {number_of(one) for one in site.hub.events.read(0, 1_000_000)}, PATIENCE_S)
    return site.hub.events.read(0, 1_000_000)


@BOTH
async def test_what_is_published_there_arrives_as_its_device(
    site: GatewaySite, broker: ForeignBroker, version: str
) -> None:
    await start(site, broker, GATEWAY_BROKER_VERSION=version)
    await hears(site)
    await broker.publish("site/kitchen/temperature", "-m", '{"t": 21}')
    await broker.publish("elsewhere/x", "-m", "nobody asks")
    (event,) = await site.arrived(1)
    assert (event.body, event.system["contentType"]) == (b'{"t": 21}', "application/json")
    assert event.properties["kind"] == "temperature"
    assert event.properties["topic"] == "site/kitchen/temperature"
    assert event.properties["leafDeviceId"] == "kitchen"
    assert event.system["messageId"]
    status = (await site.status())["broker"]
    assert (status["state"], status["filters"]) == ("connected", ["site/+/+"])
    assert "broker    " in (await site.command("status")).out


@BOTH
async def test_a_gateway_killed_under_load_loses_nothing_and_its_repeats_are_known(
    site: GatewaySite, broker: ForeignBroker, version: str
) -> None:
    await start(site, broker, GATEWAY_BROKER_VERSION=version)
    await hears(site)
    async with machine(broker.address) as mine:
        for number in range(COUNT):
            mine.publish("site/kitchen/n", number)
        await site.arrived(COUNT // 10)
        await site.gateway.kill()
        for number in range(COUNT, 2 * COUNT):
            mine.publish("site/kitchen/n", number)
        await site.gateway.spawn()
        events = await numbers(site, set(range(2 * COUNT)))
    by_message = {event.system["messageId"]: number_of(event) for event in events}
    assert sorted(by_message.values()) == list(range(2 * COUNT))
    await site.gateway.said("kept the session", PATIENCE_S)


async def test_a_broker_that_is_killed_and_comes_back_is_found(site: GatewaySite, broker: ForeignBroker) -> None:
    await start(site, broker)
    await hears(site)
    await broker.end(signal.SIGTERM)
    await site.gateway.said("connection to the broker lost", PATIENCE_S)
    await broker.start()
    await site.gateway.said("it has kept the session", PATIENCE_S)
    await broker.publish("site/kitchen/n", "-m", "1")
    await site.arrived(1)
    await broker.end(signal.SIGKILL)
    for file in broker.folder.glob("mosquitto.db"):
        file.unlink()
    await broker.start()
    await site.gateway.said("has forgotten the session", PATIENCE_S)
    await until(lambda: "Received SUBSCRIBE" in broker.log, PATIENCE_S)


async def test_it_speaks_tls_and_what_is_wrong_is_found_when_it_is_put_right(
    site: GatewaySite, broker: ForeignBroker
) -> None:
    await broker.end()
    root, other = broker.use_tls(), authority("somebody else")
    files = {name: broker.folder / f"our-{name}.pem" for name in ("CA_FILE", "CERTIFICATE", "KEY")}

    def hand_out(trusted: Credential, own: Credential) -> None:
        for name, pem in (("CA_FILE", trusted.pem), ("CERTIFICATE", own.pem), ("KEY", own.key_pem)):
            files[name].write_bytes(pem)

    await broker.start()
    hand_out(other, signed("gateway", other))
    await start(
        site,
        broker,
        GATEWAY_BROKER=f"mqtts://{broker.address}:{TLS}",
        **{f"GATEWAY_BROKER_{name}": str(path) for name, path in files.items()},
    )
    assert "GATEWAY_BROKER_CA_FILE" in await site.gateway.said("is not accepted", PATIENCE_S)
    hand_out(root, signed("gateway", other))
    assert "GATEWAY_BROKER_KEY" in await site.gateway.said("wants a certificate of ours", PATIENCE_S)
    hand_out(root, signed("gateway", root))
    await hears(site)
    await broker.publish("site/kitchen/n", "-m", "1")
    await site.arrived(1)


async def test_a_wrong_password_is_told_and_the_right_one_is_found_without_a_restart(
    site: GatewaySite, broker: ForeignBroker
) -> None:
    await broker.end()
    password = broker.use_password()
    password.write_text("wrong\n")
    await broker.start()
    await start(
        site,
        broker,
        GATEWAY_BROKER_USER=USER,
        GATEWAY_BROKER_PASSWORD_FILE=str(password),
    )
    said = await site.gateway.said("Try 2 failed", PATIENCE_S)
    assert "GATEWAY_BROKER_PASSWORD_FILE" in said
    assert "wrong" not in said
    password.write_text(PASSWORD)
    await hears(site)


async def test_a_change_of_rules_changes_the_subscriptions(site: GatewaySite, broker: ForeignBroker) -> None:
    await start(site, broker)
    await hears(site)
    settings(site, rule={**RULE, "match": "plant/+room/+kind"})
    await site.gateway.said("subscribed at the broker to plant/+/+", PATIENCE_S)
    await until(lambda: "Received UNSUBSCRIBE" in broker.log, PATIENCE_S)
    await broker.publish("site/kitchen/n", "-m", "1")
    await broker.publish("plant/kitchen/n", "-m", "2")
    (event,) = await site.arrived(1)
    assert event.body == b"2"
    assert site.gateway.transcript().count("connected to the broker") == 1


async def test_retained_messages_are_taken_once(site: GatewaySite, broker: ForeignBroker) -> None:
    await broker.publish("site/kitchen/state", "-m", "on", "-r")
    await start(site, broker, GATEWAY_BROKER_VERSION="3.1.1")
    (event,) = await site.arrived(1)
    assert event.properties["mqtt-retain"] == "true"
    # Else the broker sends it again as a message that was not acknowledged, and not as one that it has retained.
    await until(lambda: "Received PUBACK" in broker.log, PATIENCE_S)
    await broker.end(signal.SIGTERM)
    await broker.start()
    await until(lambda: "Received SUBSCRIBE" in broker.log, PATIENCE_S)
    await broker.publish("site/kitchen/state", "-m", "off", "-r")
    events = await site.arrived(2)
    assert [event.body for event in events] == [b"on", b"off"]
    assert "mqtt-retain" not in events[1].properties


async def test_a_full_store_stops_the_reading_and_nothing_is_lost(site: GatewaySite, broker: ForeignBroker) -> None:
    small = settings(site, storeAndForward={"maxBytes": 1_048_576, "whenFull": "refuse"})
    await start(site, broker, GATEWAY_SETTINGS_FILE=small)
    await hears(site)
    padding = "x" * 10_000
    async with site.without_hub():
        process = await asyncio.create_subprocess_exec(
            *("mosquitto_pub", "-h", broker.address, "-q", "1", "-t", "site/kitchen/n", "-l"),
            stdin=asyncio.subprocess.PIPE,
        )
        await process.communicate("".join(f"{number} {padding}\n" for number in range(COUNT)).encode())
        assert process.returncode == 0
        await site.gateway.said("are refused, unacknowledged", PATIENCE_S)
    events = await site.arrived(COUNT)
    assert [int(event.body.split()[0]) for event in events] == list(range(COUNT))


@pytest.mark.parametrize("bridge", ["mqttv311", "mqttv50"])
async def test_a_loop_over_a_bridge_is_cut(
    site: GatewaySite, broker: ForeignBroker, loopback: Iterator[str], bridge: str
) -> None:
    """Heard as a client, published locally under the same topic, taken by the same broker's bridge, heard again."""
    plain = next(loopback)
    user = ("users", "add", "bridge", "--from", "127.0.0.0/8", "--publish", "site/#", "--subscribe", "site/#")
    assert (await site.command(*user)).code == 0
    site.write_settings(
        routes={**ROUTES, "local": 'FROM /messages/* INTO Topic("{topic}")'},
        topics=[RULE],
        topicDevices={"create": True},
    )
    await broker.end()
    broker.lines += [
        "connection gateway",
        f"address {plain}:1883",
        "restart_timeout 1",
        f"bridge_protocol_version {bridge}",
        "topic site/# both 1",
    ]
    await broker.start()
    await start(
        site,
        broker,
        GATEWAY_SETTINGS_FILE=str(site.folder / "settings.json"),
        GATEWAY_PLAIN_PORT="1883",
        GATEWAY_PLAIN_ADDRESS=plain,
    )
    await hears(site)
    await until(lambda: "Received SUBACK" in broker.log, PATIENCE_S)
    few = 20
    async with machine(broker.address) as mine:
        for number in range(few):
            mine.publish("site/kitchen/n", number)
    await site.counted('gateway_broker_known_messages_total{why="echo"}', few)
    events = await numbers(site, set(range(few)))
    if bridge == "mqttv50":  # messages carry our name
        assert len(events) == few
    else:  # what takes longer than a second on its way round, on a busy machine, goes round once more
        assert len(events) < 5 * few
    await site.gateway.said("messages come back over the broker", PATIENCE_S)
