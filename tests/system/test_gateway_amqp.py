"""Devices that speak AMQP, on port 5671 and over WebSocket, with a gateway's process and all that is behind it."""

import asyncio
import json

import pytest
from paho.mqtt import client as paho

from edgewire.codec.amqp.conditions import STOLEN, UNAUTHORIZED_ACCESS
from edgewire.codec.amqp.message import MESSAGE_FORMAT_BATCH, AmqpMessage, Properties, write_batch, write_message
from edgewire.codec.amqp.performatives import ACCEPTED
from support.amqp_device import AmqpDevice
from support.gateway_site import GatewaySite
from support.paho_device import Dial, let_in

WEBSOCKET_PORT = 8443


async def test_what_a_device_sends_by_amqp_arrives(site: GatewaySite) -> None:
    await site.gateway.start()
    async with AmqpDevice.plain(site, "d1", site.token("d1")) as device:
        link = await device.telemetry(await device.begin(), "d1")
        assert await device.tell(link, b'{"t":1}') == ACCEPTED
        await site.connected(1)
    (event,) = await site.arrived(1)
    assert (event.body, event.properties["leafDeviceId"]) == (b'{"t":1}', "d1")
    await site.connected(0)


async def test_many_devices_send_by_one_connection_and_a_batch_arrives_whole(site: GatewaySite) -> None:
    devices = [f"leaf-{number}" for number in range(20)]
    site.register(*devices)
    await site.gateway.start()
    async with AmqpDevice.dial(site, "MSSBCBS") as connection:
        for device in devices:
            session = await connection.begin()
            assert (await connection.put(session, site.token(device))).status == 200
            link = await connection.telemetry(session, device)
            parts = [write_message(AmqpMessage(body=b"%d" % number)) for number in range(10)]
            delivery = connection.send(link, write_batch(parts), message_format=MESSAGE_FORMAT_BATCH)
            assert await connection.outcome(delivery) == ACCEPTED
        await site.connected(len(devices))
    events = await site.arrived(10 * len(devices))
    for device in devices:
        bodies = [event.body for event in events if event.properties["leafDeviceId"] == device]
        assert bodies == [b"%d" % number for number in range(10)]


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        (("AMQPWSB10",), "AMQPWSB10"),
        (("amqpwsb10",), "amqpwsb10"),
        (("amqp",), "amqp"),
        (("soap", "AMQPWSB10", "mqtt"), "AMQPWSB10"),
    ],
)
async def test_over_websocket_the_sub_protocol_is_echoed(
    site: GatewaySite, offered: tuple[str, ...], taken: str
) -> None:
    await site.gateway.start(GATEWAY_WEBSOCKET_PORT=str(WEBSOCKET_PORT))
    token = site.token("d1")
    async with AmqpDevice.plain(site, "d1", token, port=WEBSOCKET_PORT, protocols=offered) as device:
        assert device.subprotocol == taken
        link = await device.telemetry(await device.begin(), "d1")
        assert await device.tell(link, b"by websocket") == ACCEPTED
    (event,) = await site.arrived(1)
    assert event.body == b"by websocket"


async def test_one_message_by_each_protocol_and_the_newer_connection_wins(site: GatewaySite) -> None:
    await site.gateway.start()
    async with let_in(site, "d1", Dial(version=paho.MQTTv5)) as by_mqtt:
        await by_mqtt.publish("by mqtt")
        async with AmqpDevice.plain(site, "d1", site.token("d1")) as by_amqp:
            link = await by_amqp.telemetry(await by_amqp.begin(), "d1")
            await by_mqtt.disconnects.next()
            assert await by_amqp.tell(link, b"by amqp") == ACCEPTED
            async with let_in(site, "d1") as again:
                await by_amqp.until(lambda: by_amqp.refusal_of(link) == STOLEN)
                await again.publish("by mqtt again")
    bodies = [event.body for event in await site.arrived(3)]
    assert bodies == [b"by mqtt", b"by amqp", b"by mqtt again"]
    assert await site.counted('gateway_disconnected_devices_total{reason="taken_over"}', 2) == 2


async def test_a_device_that_may_not_connect_any_more_is_cut_and_its_neighbour_stays(site: GatewaySite) -> None:
    await site.gateway.start()
    async with AmqpDevice.dial(site, "ANONYMOUS") as connection:
        links = []
        for device in ("d1", "d2"):
            session = await connection.begin()
            assert (await connection.put(session, site.token(device))).status == 200
            links.append(await connection.telemetry(session, device))
        assert (await site.command("devices", "disable", "d1")).code == 0
        await connection.until(lambda: connection.refusal_of(links[0]) is not None)
        assert connection.refusal_of(links[0]) == UNAUTHORIZED_ACCESS
        assert await connection.tell(links[1], b"undisturbed") == ACCEPTED
    assert await site.counted('gateway_disconnected_devices_total{reason="credentials_changed"}') == 1


async def test_what_was_accepted_survives_a_kill(site: GatewaySite) -> None:
    await site.gateway.start(GATEWAY_UPSTREAM="none")
    async with AmqpDevice.plain(site, "d1", site.token("d1")) as device:
        link = await device.telemetry(await device.begin(), "d1")
        for number in range(20):
            assert await device.tell(link, b"%d" % number) == ACCEPTED
        await site.gateway.kill()
    await site.gateway.start(GATEWAY_UPSTREAM="auto")
    assert [event.body for event in await site.arrived(20)] == [b"%d" % number for number in range(20)]


async def test_a_gateway_that_stops_closes_the_socket_without_a_close_of_amqp(site: GatewaySite) -> None:
    await site.gateway.start()
    async with AmqpDevice.plain(site, "d1", site.token("d1")) as device:
        await device.telemetry(await device.begin(), "d1")
        stopping = asyncio.ensure_future(site.gateway.stop())
        assert await device.closed() == ""
        assert device.gone
        await stopping


async def test_a_route_reads_the_body_of_a_message_by_amqp(site: GatewaySite) -> None:
    routes = {"hot": "FROM /messages/* WHERE $body.t > 30 AND kind = 'x' INTO $upstream"}
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(site.write_settings(routes=routes)))
    async with AmqpDevice.plain(site, "d1", site.token("d1")) as device:
        link = await device.telemetry(await device.begin(), "d1")
        for value in (10, 40):
            message = AmqpMessage(
                properties=Properties(content_type="application/json", content_encoding="utf-8"),
                application_properties={"kind": "x"},
                body=json.dumps({"t": value}).encode(),
            )
            assert await device.outcome(device.send(link, write_message(message))) == ACCEPTED
    assert [event.body for event in await site.arrived(1)] == [b'{"t": 40}']


async def test_without_its_port_there_is_no_amqp(site: GatewaySite) -> None:
    await site.gateway.start(GATEWAY_AMQP_PORT="0")
    with pytest.raises(ConnectionRefusedError):
        async with AmqpDevice.plain(site, "d1", site.token("d1")):
            pass
