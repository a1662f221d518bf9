"""What the gateway sends on behalf of its devices, read by an AMQP server of another make: rhea, as a hub."""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from edgeca.folder import Folder
from edgewire.codec.amqp.message import MESSAGE_FORMAT, MESSAGE_FORMAT_BATCH
from edgewire.iothub import sas
from support.amqp_peers import (
    AMQPS,
    BODIES,
    MESSAGES,
    NODE_DEVICE,
    PYAMQP,
    RHEA_HUB,
    Peer,
    Server,
    accepted,
    peer,
    succeed,
)
from support.gateway_site import KEY, GatewaySite
from support.paho_device import JSON, let_in

COUNT: Final = 20
BAG: Final = JSON + "&%24.mid=m%201&a%20b=c%2Fd%26e"
SECTIONS: Final = {
    "message_id": "m 1",
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "application_properties": {"a b": "c/d&e"},
}
ASKED: Final = {
    ("GET", None, " "),
    ("PATCH", "/properties/reported", '{"r":1}'),
    ("PUT", "/notifications/twin/properties/desired", " "),
}
"""What is asked of a twin."""


@asynccontextmanager
async def hub_of(site: GatewaySite, certificates: Path, address: str, **more: Any) -> AsyncIterator[Peer]:
    """A hub by rhea that runs and, as far as it is up to the tokens, takes all of the site's devices."""
    server = Server(hub=site.hub.hub_name, address=address, root=site.root_file)
    credential = Folder(certificates).authority().issue_server([address])
    plan = server.certificate("hub", credential, site.folder) | {"port": AMQPS, **more}
    async with peer(RHEA_HUB, plan) as running:
        await running.until("ready")
        yield running


@pytest.fixture
async def hub(site: GatewaySite, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[Peer]:
    """A hub, and a gateway that sends to it on behalf of its devices."""
    address = next(loopback)
    async with hub_of(site, certificates, address) as running:
        await site.gateway.start(GATEWAY_UPSTREAM_AMQP=address)
        yield running


async def messages(hub: Peer, count: int) -> list[dict[str, Any]]:
    """The next messages that the hub reads."""
    return [await hub.until("message") for _ in range(count)]


def asked_of(hub: Peer) -> set[tuple[str, str | None, str]]:
    """What the hub was asked of twins, as far as it was read."""
    return {(line["operation"], line.get("resource"), line["body"]) for line in hub.said if line["event"] == "twin"}


async def test_messages_keep_all_they_say_whichever_way_they_came(site: GatewaySite, hub: Peer) -> None:
    async with let_in(site, "d1") as device:
        await device.publish("0", BAG)
        by_mqtt = await messages(hub, 1)
        hub.process.send_signal(signal.SIGSTOP)  # while one waits for its answer, those behind it gather
        for number in range(1, COUNT):
            await device.publish(f"{number}", BAG)
        hub.process.send_signal(signal.SIGCONT)
        by_mqtt += await messages(hub, COUNT - 1)
    assert accepted(await succeed(PYAMQP, Server.of(site).token("d2", messages=MESSAGES))) == 2
    by_amqp = await messages(hub, len(MESSAGES))
    assert [one["body"] for one in by_mqtt] == [f"{number}" for number in range(COUNT)]
    assert [one["body"].encode() for one in by_amqp] == BODIES
    assert {one["address"] for one in by_mqtt} == {"/devices/d1/messages/events"}
    assert {one["address"] for one in by_amqp} == {"/devices/d2/messages/events"}
    formats = {one["format"] for one in by_mqtt + by_amqp}
    assert MESSAGE_FORMAT_BATCH in formats
    assert formats <= {MESSAGE_FORMAT, MESSAGE_FORMAT_BATCH}  # one that found the lane empty goes alone
    assert [one["sections"] for one in by_mqtt] == [SECTIONS] * COUNT
    assert by_amqp[0]["sections"] == SECTIONS
    assert list(by_amqp[1]["sections"]) == ["message_id"]  # the gateway gives one, so that a repetition can be told


async def test_each_device_puts_a_token_of_its_own_once(site: GatewaySite, hub: Peer) -> None:
    for device in ("d1", "d2", "d1"):
        async with let_in(site, device) as client:
            await client.publish("x")
        await hub.until("message")
    tokens = [line for line in hub.said if line["event"] == "token"]
    assert [line["name"] for line in tokens] == [f"{site.hub.hub_name}/devices/{device}" for device in ("d1", "d2")]
    for line in tokens:
        token = sas.parse(line["token"])
        assert sas.is_signed_by(token, [KEY])
        assert sas.audience(token).path == tuple(line["name"].split("/")[1:])


async def test_a_device_that_the_hub_refuses_holds_up_no_other(
    site: GatewaySite, certificates: Path, loopback: Iterator[str]
) -> None:
    address = next(loopback)
    async with hub_of(site, certificates, address, refused=["d2"]) as hub:
        await site.gateway.start(GATEWAY_UPSTREAM_AMQP=address)
        async with let_in(site, "d2") as refused, let_in(site, "d1") as device:
            await refused.publish("waits")
            while (await hub.until("token"))["status"] != 401:
                pass
            await device.publish("passes")
            (got,) = await messages(hub, 1)
    assert (got["address"], got["body"]) == ("/devices/d1/messages/events", "passes")


async def test_it_goes_over_websocket_too(site: GatewaySite, certificates: Path, loopback: Iterator[str]) -> None:
    address = next(loopback)
    async with hub_of(site, certificates, address, websocket=True) as hub:
        await site.gateway.start(
            GATEWAY_UPSTREAM_AMQP=f"{address}:{AMQPS}", GATEWAY_UPSTREAM_AMQP_TRANSPORT="websocket"
        )
        async with let_in(site, "d1") as device:
            await device.publish("x" * 100_000)
            await device.publish("and a short one")
            long, short = await messages(hub, 2)
    asked = next(line for line in hub.said if line["event"] == "websocket")
    assert (asked["path"], asked["subprotocol"]) == ("/$iothub/websocket", "AMQPWSB10")
    assert (long["body"], short["body"]) == ("x" * 100_000, "and a short one")


async def test_what_it_has_for_a_device_reaches_it_and_its_word_comes_back(
    site: GatewaySite, certificates: Path, loopback: Iterator[str]
) -> None:
    address = next(loopback)
    has = {
        "messages": {"d1": ["on", "off"]},
        "calls": {"d1": [["reboot", '{"in":3}']]},
        "desired": {"d1": ['{"interval":5,"$version":2}']},
    }
    plan = Server.of(site).node("d1", transport="mqtt", twin=True, report={"r": 1}, method="reboot", known_version=1)
    plan |= {"settle": ["complete", "complete"], "await": ["message", "method", "desired"]}
    async with hub_of(site, certificates, address, **has) as hub:
        await site.gateway.start(GATEWAY_UPSTREAM_AMQP=address)
        async with peer(NODE_DEVICE, plan) as device:
            await device.succeed()
        answer = await hub.until("answer")
        while len([line for line in hub.said if line["event"] == "settled"]) < 2:
            await hub.until("settled")
        while not asked_of(hub) >= ASKED:
            await hub.until("twin")
    bodies = [line["body"] for line in device.said if line["event"] == "message"]
    assert bodies == ["on", "off"]
    assert [line["outcome"] for line in hub.said if line["event"] == "settled"] == ["accepted", "accepted"]
    assert (answer["address"], answer["status"], answer["body"]) == (
        "/devices/d1/methods/devicebound",
        207,
        '{"got":{"in":3}}',
    )
    patches = [line["patch"] for line in device.said if line["event"] == "desired"]
    assert patches[-1] == {"interval": 5, "$version": 2}
    assert len([line for line in hub.said if line["event"] == "token"]) == 1
    links = [line for line in hub.said if line["event"] == "link"]
    for kind, name in (("methods/devicebound", "methods"), ("twin", "twin")):
        pair = [line for line in links if line["address"] == f"/devices/d1/{kind}"]
        assert {line["role"] for line in pair[:2]} == {"sender", "receiver"}
        assert len({line["channel"] for line in pair[:2]}) == 1
        assert pair[0]["channel"].startswith(f"{name}:")
        assert all(line["version"] for line in pair)
