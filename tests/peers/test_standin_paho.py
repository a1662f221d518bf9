"""The stand-in and paho-mqtt 1.6: a plain MQTT client, and bad things that a plain client can do."""

import asyncio
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho

from edgewire.iothub import sas
from edgewire.message import identity
from standin.app import Ports, StandIn
from standin.client import Control
from support.azure_device import Inbox, blocking
from support.clients import Client
from support.compatibility import Table, each_of, works
from support.gateway_process import START_S
from support.gateway_site import PATIENCE_S

ADDRESS = "127.0.71.3"
ROWS = {"tcp": Client.PAHO.over("mqtt3"), "websockets": Client.PAHO.over("mqtt3-ws")}
"""By paho's names of the transports."""
LEAF = identity("leaf-1")
EVENTS = "devices/leaf-1/messages/events/"


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with StandIn(tmp_path / "run", address=ADDRESS, ports=Ports(mqtt=8883, websocket=0)) as standin:
        standin.add_device("leaf-1")
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


class Device:
    """A paho client and what it heard."""

    def __init__(self, standin: StandIn, *, token: str | None = None, **options: Any) -> None:
        self.connects, self.disconnects, self.acknowledged, self.granted = Inbox(), Inbox(), Inbox(), Inbox()
        self.client = paho.Client(options.pop("client_id", "leaf-1"), **options)
        self.client.tls_set_context(ssl.create_default_context(cadata=standin.trust_bundle))
        self.client.username_pw_set(f"{ADDRESS}/leaf-1/?api-version=2021-04-12", token or good_token(standin))
        self.client.on_connect = lambda *args: self.connects(args[3])
        self.client.on_disconnect = lambda *args: self.disconnects(args[2])
        self.client.on_publish = lambda *args: self.acknowledged(args[2])
        self.client.on_subscribe = lambda *args: self.granted(args[3])


def good_token(standin: StandIn, life_s: int = 3600) -> str:
    entry = standin.hub.registry.get(LEAF)
    assert entry is not None
    return sas.make(sas.resource_of(ADDRESS, LEAF), entry.signing_keys()[0], int(time.time()) + life_s)


@contextmanager
def running(device: Device, port: int = 8883) -> Iterator[Device]:
    device.client.connect(ADDRESS, port)
    device.client.loop_start()
    try:
        yield device
    finally:
        device.client.disconnect()
        device.client.loop_stop()


async def with_device(device: Device, port: int, then: Callable[[Device], Any]) -> None:
    """Connect, and run `then`, which is a coroutine function, with the loop of paho in its thread."""
    connection = running(device, port)
    await blocking(connection.__enter__)
    try:
        await then(device)
    finally:
        await blocking(connection.__exit__, None, None, None)


@pytest.mark.parametrize("transport", each_of(Table.DEVICES, ROWS, "telemetry"))
async def test_a_plain_client_sends_over_both_transports(standin: StandIn, transport: str) -> None:
    async def story(device: Device) -> None:
        assert await device.connects.next() == 0
        device.client.publish(EVENTS + "%24.ct=application%2Fjson&%24.ce=utf-8", b'{"t":31}', qos=1)
        await device.acknowledged.next()

    port = standin.mqtt_port if transport == "tcp" else standin.websocket_port
    assert port is not None
    await with_device(Device(standin, transport=transport), port, story)
    (event,) = standin.events.read()
    assert (event.body, event.system["contentType"]) == (b'{"t":31}', "application/json")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"token": "SharedAccessSignature nonsense"}, 5),
        ({"client_id": "leaf-2"}, 2),
        ({"protocol": paho.MQTTv31}, 1),
    ],
)
@works(Table.DEVICES, ROWS["tcp"], "refusals")
async def test_who_may_not_connect_gets_the_code(standin: StandIn, options: dict[str, Any], code: int) -> None:
    async def story(device: Device) -> None:
        assert await device.connects.next() == code
        await device.disconnects.next()

    await with_device(Device(standin, **options), 8883, story)
    assert standin.hub.connected() == ()


@pytest.mark.parametrize(
    ("topic", "body", "qos"),
    [
        ("devices/leaf-2/messages/events/", b"x", 1),
        ("some/topic", b"x", 1),
        ("$iothub/twin/DELETE/?$rid=1", b"", 1),
        (EVENTS, b"x", 2),
        (EVENTS + "a=1=2", b"x", 1),
        (EVENTS, b"x" * 262_145, 1),
    ],
)
async def test_what_iot_hub_refuses_closes_the_connection(standin: StandIn, topic: str, body: bytes, qos: int) -> None:
    async def story(device: Device) -> None:
        assert await device.connects.next() == 0
        # The first word after CONNACK in paho's own thread; no retry may hide what happened.
        device.client.reconnect_delay_set(60, 60)
        device.client.publish(topic, body, qos=qos)
        assert await device.disconnects.next() != 0

    await with_device(Device(standin), 8883, story)
    assert standin.events.count() == 0


async def test_only_documented_filters_are_granted(standin: StandIn) -> None:
    async def story(device: Device) -> None:
        await device.connects.next()
        device.client.subscribe([("$iothub/twin/res/#", 1), ("#", 1), ("devices/leaf-2/messages/devicebound/#", 0)])
        assert await device.granted.next() == (1, 0x80, 0x80)

    await with_device(Device(standin), 8883, story)


async def test_a_will_is_published_when_the_line_is_cut(standin: StandIn) -> None:
    device = Device(standin)
    device.client.will_set(EVENTS, b"gone", qos=1)
    device.client.reconnect_delay_set(60, 60)

    async def story(device: Device) -> None:
        await device.connects.next()
        standin.drop_connections()
        await device.disconnects.next()

    await with_device(device, 8883, story)
    (event,) = await standin.events.wait(0, timeout_s=PATIENCE_S)
    assert (event.body, event.properties) == (b"gone", {"iothub-MessageType": "Will"})


async def test_an_expired_token_ends_the_connection(standin: StandIn) -> None:
    async def story(device: Device) -> None:
        assert await device.connects.next() == 0
        assert await device.disconnects.next() != 0

    device = Device(standin, token=good_token(standin, life_s=5))  # it must not end before the client is let in
    device.client.reconnect_delay_set(60, 60)
    await with_device(device, 8883, story)
    assert standin.counters["closed: token expired"] == 1


@asynccontextmanager
async def other_process(directory: Path, address: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A stand-in of its own process, ready; killed at the end, whatever happened."""
    command = [sys.executable, "-m", "standin", "run", "--dir", str(directory), "--address", address]
    process = await asyncio.create_subprocess_exec(
        *command, "--websocket-port", "-1", "--device", "leaf-1", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_S):
            assert (await process.stdout.readline()).startswith(b"READY")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_what_was_acknowledged_is_there_after_kill_9(tmp_path: Path) -> None:
    directory, address, acknowledged = tmp_path / "run", "127.0.71.4", Inbox()
    async with other_process(directory, address) as process:
        answer = await blocking(Control(directory).ask, "GET", "/devices")
        (key,) = [each["primaryKey"] for each in answer["devices"] if each["identity"] == "leaf-1"]
        client = paho.Client("leaf-1")
        client.tls_set_context(ssl.create_default_context(cafile=str(directory / "trust-bundle.pem")))
        token = sas.make(f"{address}/devices/leaf-1", sas.decode_key(key), int(time.time()) + 3600)
        client.username_pw_set(f"{address}/leaf-1/?api-version=2021-04-12", token)
        client.on_publish = lambda *args: acknowledged(args[2])
        await blocking(client.connect, address, 8883)
        client.loop_start()
        try:
            for number in range(20):
                client.publish(EVENTS, str(number).encode(), qos=1)
            for _ in range(20):
                await acknowledged.next()
            process.kill()
            await process.wait()
        finally:
            client.disconnect()
            await blocking(client.loop_stop)
    async with StandIn(directory, address=address, ports=Ports(mqtt=0, websocket=None)) as standin:
        assert [event.body for event in standin.events.read()] == [str(number).encode() for number in range(20)]


async def test_a_lost_acknowledgement_is_one_the_client_never_gets_though_the_message_is_kept(
    standin: StandIn,
) -> None:
    standin.hub.faults.change({"lose_acknowledgements": 1})

    async def story(device: Device) -> None:
        assert await device.connects.next() == 0
        lost = device.client.publish(EVENTS, b"lost", qos=1)
        heard = device.client.publish(EVENTS, b"heard", qos=1)
        assert await device.acknowledged.next() == heard.mid
        assert not lost.is_published()

    await with_device(Device(standin), 8883, story)
    assert [event.body for event in await standin.events.wait(0, 2, timeout_s=PATIENCE_S)] == [b"lost", b"heard"]


async def test_all_connections_are_cut_with_the_message_that_was_asked_for(standin: StandIn) -> None:
    standin.hub.faults.change({"drop_after": 2})

    async def story(device: Device) -> None:
        assert await device.connects.next() == 0
        device.client.reconnect_delay_set(60)
        for body in (b"first", b"second"):
            device.client.publish(EVENTS, body, qos=1)
        assert await device.disconnects.next() != 0

    await with_device(Device(standin), 8883, story)
    assert standin.hub.faults.drop_after == 0


async def test_acknowledgements_come_late(standin: StandIn) -> None:
    standin.hub.faults.change({"acknowledgement_delay_s": 0.5})

    async def story(device: Device) -> None:
        assert await device.connects.next() == 0
        sent_at = time.monotonic()
        device.client.publish(EVENTS, b"late", qos=1)
        await device.acknowledged.next()
        assert time.monotonic() - sent_at >= 0.5

    await with_device(Device(standin), 8883, story)


@pytest.mark.parametrize("fault", [{"refusing_tokens": True}, {"clock_skew_s": 2 * 3600.0}], ids=str)
async def test_a_good_token_is_refused_on_purpose_or_by_a_clock_that_is_wrong(
    standin: StandIn, fault: dict[str, Any]
) -> None:
    standin.hub.faults.change(fault)

    async def refused(device: Device) -> None:
        assert await device.connects.next() == 5

    async def let_in(device: Device) -> None:
        assert await device.connects.next() == 0

    await with_device(Device(standin), 8883, refused)
    standin.behave()
    await with_device(Device(standin), 8883, let_in)


async def test_who_publishes_over_the_quota_is_closed(standin: StandIn) -> None:
    standin.hub.faults.change({"over_quota": True})

    async def story(device: Device) -> None:
        assert await device.connects.next() == 0
        device.client.publish(EVENTS, b"too much", qos=1)
        assert await device.disconnects.next() != 0

    await with_device(Device(standin), 8883, story)
    assert standin.events.count() == 0
