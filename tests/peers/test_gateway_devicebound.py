"""Messages from the cloud and direct methods, from the hub through the gateway to clients that others wrote."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from azure.iot.device import IoTHubDeviceClient, MethodResponse
from paho.mqtt import client as paho

from edgewire.iothub import sas
from edgewire.iothub.bag import Bag
from edgewire.message import identity
from standin.devicebound import C2dMessage
from support.amqp_peers import NODE_DEVICE, UAMQP, UAMQP_RUNS_HERE, Peer, Server, peer, succeed
from support.azure_device import Inbox, blocking, connected, listen
from support.clients import PLAIN, Client
from support.compatibility import Table, each_of, works
from support.gateway_site import KEY, PATIENCE_S, GatewaySite, until
from support.paho_device import ROWS, Dial, PahoDevice, let_in

# azure-iot-device pins its TLS context to 1.2, which Python calls deprecated (iothub_wire.md §0.5).
pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")

D1 = identity("d1")
C2D = "devices/d1/messages/devicebound/#"
METHODS = "$iothub/methods/POST/#"


async def start(site: GatewaySite) -> None:
    """The gateway, connected upstream on behalf of devices; the hub knows d1 by the same key."""
    site.hub.add_device("d1", keys=(sas.encode_key(KEY),))
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub")
    await site.gateway.said("connected upstream on behalf of devices")


def send(site: GatewaySite, body: bytes, **system: str) -> None:
    """A message to d1, about which the sender wants to hear everything."""
    site.hub.hub.send_c2d(D1, C2dMessage(Bag({"color": "r/d", "iothub-ack": "full"}, system), body))


async def settled(site: GatewaySite, outcome: str, count: int) -> None:
    """Return when the hub has heard so many of this outcome, and has nothing left."""
    await until(lambda: site.hub.counters[f"c2d {outcome}"] == count)


async def call(site: GatewaySite, payload: Any, name: str = "re boot") -> tuple[int, Any]:
    """Call a method of d1 at the hub, as soon as it takes calls."""
    result = await site.hub.hub.invoke_method(D1, name, payload, connect_timeout_s=PATIENCE_S)
    return result.status, json.loads(result.payload)


@pytest.mark.parametrize("version", each_of(Table.GATEWAY, ROWS, "C2D", "method"))
async def test_paho_gets_messages_and_answers_methods(site: GatewaySite, version: int) -> None:
    await start(site)
    send(site, b"waited", messageId="m 1", contentType="text/plain")
    async with let_in(site, "d1", Dial(version=version)) as device:
        messages = await device.subscribed(1, C2D, METHODS)
        message = await messages.next()
        bag = "%24.mid=m%201&%24.to=%2Fdevices%2Fd1%2Fmessages%2Fdevicebound&%24.ct=text%2Fplain"
        assert message.topic.startswith(f"devices/d1/messages/devicebound/{bag}")
        assert "&color=r%2Fd" in message.topic
        assert (message.payload, message.qos) == (b"waited", 1)
        await settled(site, "completed", 1)
        calling = asyncio.create_task(call(site, {"a": 1}))
        request = await messages.next()
        assert request.topic.startswith("$iothub/methods/POST/re%20boot/?$rid=")
        assert request.payload == b'{"a":1}'
        rid = request.topic.partition("$rid=")[2]
        device.client.publish(f"$iothub/methods/res/201/?$rid={rid}", b'{"ok":true}', qos=1)
        assert await calling == (201, {"ok": True})


async def test_what_a_device_did_not_acknowledge_comes_again(
    site: GatewaySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(site)
    async with let_in(site, "d1", Dial(clean=False)) as device:
        monkeypatch.setattr(device.client, "_send_puback", lambda _: paho.MQTT_ERR_SUCCESS)  # 1.6 has no manual one
        messages = await device.subscribed(1, C2D)
        send(site, b"important")
        assert (await messages.next()).payload == b"important"
    again = PahoDevice(site, "d1", Dial(clean=False))
    messages = Inbox()
    again.client.on_message = lambda _client, _data, message: messages(message)
    await blocking(again.start, site.address, 8883)
    assert (await messages.next()).payload == b"important"  # by the stored session, nothing was subscribed
    await settled(site, "completed", 1)
    await blocking(again.stop)
    assert site.hub.counters["c2d completed"] == 1


async def test_what_is_on_its_way_survives_a_kill_in_the_hub(
    site: GatewaySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(site)
    async with let_in(site, "d1") as device:
        monkeypatch.setattr(device.client, "_send_puback", lambda _: paho.MQTT_ERR_SUCCESS)
        messages = await device.subscribed(1, C2D)
        send(site, b"important")
        await messages.next()
        await site.gateway.kill()
        await device.disconnects.next()
    said = len(site.gateway.lines)
    await site.gateway.start()
    await site.gateway.said("connected upstream on behalf of devices", after=said)
    async with let_in(site, "d1") as device:
        messages = await device.subscribed(1, C2D)
        assert (await messages.next()).payload == b"important"
        await settled(site, "completed", 1)


async def test_a_connection_that_takes_over_gets_what_the_older_one_did_not_acknowledge(
    site: GatewaySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(site)
    async with let_in(site, "d1") as older:
        monkeypatch.setattr(older.client, "_send_puback", lambda _: paho.MQTT_ERR_SUCCESS)
        messages = await older.subscribed(1, C2D)
        send(site, b"important")
        await messages.next()
        async with let_in(site, "d1") as newer:
            messages = await newer.subscribed(1, C2D)
            assert (await messages.next()).payload == b"important"
            await settled(site, "completed", 1)
            await older.disconnects.next()


async def test_qos_0_and_many_messages_in_their_order(site: GatewaySite) -> None:
    await start(site)
    for number in range(30):
        send(site, b"%d" % number)
    async with let_in(site, "d1") as device:
        messages = await device.subscribed(0, C2D)
        got = [await messages.next() for _ in range(30)]
        assert [message.payload for message in got] == [b"%d" % number for number in range(30)]
        assert {message.qos for message in got} == {0}
        await settled(site, "completed", 30)


async def test_azure_iot_device_gets_messages_and_answers_methods(site: GatewaySite) -> None:
    await start(site)
    client = IoTHubDeviceClient.create_from_connection_string(
        f"HostName={site.hub.hub_name};DeviceId=d1;SharedAccessKey={sas.encode_key(KEY)};GatewayHostName={site.address}",
        server_verification_cert=site.hub.trust_bundle,
        connection_retry=False,
    )
    async with connected(client):
        messages, requests = Inbox(), Inbox()
        await listen(client, "on_message_received", messages)
        await listen(client, "on_method_request_received", requests)
        send(site, b"hello", messageId="m 1", contentType="text/plain", contentEncoding="utf-8")
        message = await messages.next()
        assert (message.data, message.message_id, message.custom_properties["color"]) == (b"hello", "m 1", "r/d")
        assert (message.content_type, message.content_encoding, message.ack) == ("text/plain", "utf-8", "full")
        await settled(site, "completed", 1)
        calling = asyncio.create_task(call(site, {"a": 1}))
        request = await requests.next()
        assert (request.name, request.payload) == ("re boot", {"a": 1})
        await blocking(client.send_method_response, MethodResponse.create_from_method_request(request, 207, [1]))
        assert await calling == (207, [1])


# paho 1.6.1 forgets the pair of sockets that wakes its thread when it starts that thread once more.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
async def test_azure_iot_device_without_its_session_listens_again_once_its_handlers_are_set_anew(
    site: GatewaySite,
) -> None:
    """It leaves its subscriptions to the session and, told that there is none, subscribes nothing (docs/fleet.md)."""
    await start(site)
    client = IoTHubDeviceClient.create_from_connection_string(
        f"HostName={site.hub.hub_name};DeviceId=d1;SharedAccessKey={sas.encode_key(KEY)};GatewayHostName={site.address}",
        server_verification_cert=site.hub.trust_bundle,
        connection_retry_interval=1,
    )
    changes, messages = Inbox(), Inbox()
    async with connected(client):
        await listen(client, "on_message_received", messages)
        await blocking(setattr, client, "on_connection_state_change", lambda: changes(None))
        async with let_in(site, "d1", Dial(clean=True)):
            pass  # takes its place, and its session
        for _ in range(2):
            await changes.next()  # away, and back; its threads may tell of the first when the second has happened
        assert client.connected
        send(site, b"hello")
        await blocking(client.send_message, "here")
        await site.arrived(1)
        assert site.hub.hub.c2d_waiting(D1) == 1
        await blocking(setattr, client, "on_message_received", None)
        await listen(client, "on_message_received", messages)
        assert (await messages.next()).data == b"hello"


async def lines(running: Peer, event: str, count: int) -> Sequence[dict[str, Any]]:
    return [await running.until(event) for _ in range(count)]


@pytest.mark.parametrize("transport", ["mqtt", "amqp"])
async def test_nodes_device_gets_messages_and_answers_methods(site: GatewaySite, transport: str) -> None:
    await start(site)
    plan = Server.of(site).node("d1", transport=transport)
    # Over MQTT it does not decode names: one with a blank finds no handler, at a hub neither.
    name = "reboot" if transport == "mqtt" else "re boot"
    plan = {**plan, "await": ["message", "method"], "method": name}
    async with peer(NODE_DEVICE, plan) as running:
        await running.until("listening")
        send(site, b"hello", messageId="m 1")
        (message,) = await lines(running, "message", 1)
        assert (message["body"], message["id"]) == ("hello", "m 1")
        assert {"key": "color", "value": "r/d"} in message["properties"]
        await settled(site, "completed", 1)
        assert await call(site, {"a": 1}, name) == (207, {"got": {"a": 1}})
        await running.succeed()


async def test_nodes_device_settles_each_way_over_amqp(site: GatewaySite) -> None:
    await start(site)
    plan = {**Server.of(site).node("d1"), "await": ["message"], "settle": ["complete", "reject", "abandon", "complete"]}
    async with peer(NODE_DEVICE, plan) as running:
        await running.until("listening")
        for body in (b"1", b"2", b"3"):
            send(site, body)
        said = await running.succeed()
    bodies = [line["body"] for line in said if line["event"] == "message"]
    assert sorted(bodies) == ["1", "2", "3", "3"]
    await until(lambda: site.hub.hub.c2d_waiting(D1) == 0)  # the device is not told that the hub knows
    assert site.hub.counters["c2d completed"] == 2
    assert site.hub.counters["c2d rejected"] == 1
    assert site.hub.counters["c2d abandoned"] == 1


if UAMQP_RUNS_HERE:

    @works(Table.GATEWAY, Client.UAMQP.over("amqp", PLAIN), "C2D")
    async def test_uamqp_receives(site: GatewaySite) -> None:
        await start(site)
        for body in (b"1", b"2"):
            send(site, body, messageId=f"m {body.decode()}")
        said = await succeed(UAMQP, Server.of(site).token("d1", receive_ms=20_000))
        assert [(line["body"], line["id"]) for line in said if line["event"] == "message"] == [("1", "m 1")]
        # It accepts whatever its credit has brought by its end, read or not.
        await until(lambda: site.hub.counters["c2d completed"] >= 1)
