"""paho-mqtt 1.6 through the gateway: both versions of MQTT, of TLS, over TCP and WebSocket, to the hub."""

import asyncio
import os
import ssl

import pytest
from paho.mqtt import client as paho

from support.azure_device import blocking
from support.compatibility import Table, each_of
from support.gateway_site import BODY_ROUTES, MODULE, GatewaySite
from support.paho_device import JSON, ROWS, ROWS_OVER_WEBSOCKET, Dial, let_in, message_properties

ALERT = '{"messageType":"alert","pressure":3.2}'
WEBSOCKET_PORT = 443 if os.geteuid() == 0 else 8443


@pytest.mark.parametrize("tls", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
@pytest.mark.parametrize("version", each_of(Table.GATEWAY, ROWS, "telemetry"))
async def test_what_a_route_wants_arrives_with_all_it_had_and_the_rest_does_not(
    site: GatewaySite, version: int, tls: ssl.TLSVersion
) -> None:
    site.hub.set_desired(MODULE, {"routes": BODY_ROUTES})
    await site.gateway.start()
    await site.reported(lambda document: "hot" in document.get("routes", {}))
    bag = f"{JSON}&%24.mid=m-1&site=k%C3%B6ln"
    async with let_in(site, "d1", Dial(version=version, tls=site.client_tls(version=tls))) as device:
        await device.publish(ALERT, bag)
        await device.publish('{"messageType":"telemetry"}', JSON)
        await device.publish('{"messageType":"alert"}', "%24.ct=text%2Fplain")
        await device.publish('{"temperature":31}', JSON, qos=0)
        await device.publish('{"temperature":32}', JSON)
    events = await site.arrived(3)
    await site.gateway.stop()
    assert [event.body.decode() for event in events] == [ALERT, '{"temperature":31}', '{"temperature":32}']
    assert events[0].properties == {"site": "köln", "leafDeviceId": "d1"}
    assert events[0].output == "upstream"
    assert events[0].system["messageId"] == "m-1"
    assert events[0].system["contentType"] == "application/json"
    assert events[0].system["contentEncoding"] == "utf-8"
    assert site.hub.events.count() == 3


async def test_user_properties_and_content_type_of_mqtt_5_count_as_those_of_the_topic(site: GatewaySite) -> None:
    site.hub.set_desired(MODULE, {"routes": {"hot": "FROM /messages/* WHERE kind = 'climate' INTO $upstream"}})
    await site.gateway.start()
    await site.reported(lambda document: "hot" in document.get("routes", {}))
    async with let_in(site, "d1", Dial(version=paho.MQTTv5)) as device:
        properties = message_properties(("kind", "climate"), ("room", "b 1"), content_type="application/json")
        await device.publish('{"temperature":31}', properties=properties)
        await device.publish("{}", properties=message_properties(("kind", "other")))
    (event,) = await site.arrived(1)
    assert event.properties == {"kind": "climate", "room": "b 1", "leafDeviceId": "d1"}
    assert event.system["contentType"] == "application/json"


@pytest.mark.parametrize("version", each_of(Table.GATEWAY, ROWS_OVER_WEBSOCKET, "telemetry"))
async def test_websocket_carries_the_same(site: GatewaySite, version: int) -> None:
    await site.gateway.start(GATEWAY_WEBSOCKET_PORT=str(WEBSOCKET_PORT))
    how = Dial(version=version, websocket=True, port=WEBSOCKET_PORT)
    async with let_in(site, "d1", how) as device:
        await device.publish("over websocket")
        await device.publish("x" * 200_000)
    events = await site.arrived(2)
    assert [len(event.body) for event in events] == [14, 200_000]


async def test_two_devices_of_two_versions_are_told_apart(site: GatewaySite) -> None:
    await site.gateway.start()
    async with let_in(site, "d1") as first, let_in(site, "d2", Dial(version=paho.MQTTv5)) as second:
        await asyncio.gather(first.publish("one"), second.publish("two"))
        assert (await site.status())["devices"] == 2
    events = await site.arrived(2)
    assert {event.properties["leafDeviceId"]: event.body for event in events} == {"d1": b"one", "d2": b"two"}


async def test_a_device_that_comes_twice_takes_its_place_over(site: GatewaySite) -> None:
    await site.gateway.start()
    async with let_in(site, "d1", Dial(version=paho.MQTTv5)) as old, let_in(site, "d1") as new:
        await old.disconnects.next()
        await new.publish("mine")
        assert (await site.status())["devices"] == 1
    assert await site.counted('gateway_disconnected_devices_total{reason="taken_over"}') == 1


async def test_a_will_goes_upstream_when_the_device_vanishes(site: GatewaySite) -> None:
    await site.gateway.start()
    device = paho.Client("d1")
    device.tls_set_context(site.client_tls())
    device.username_pw_set(site.username("d1"), site.token("d1"))
    device.will_set("devices/d1/messages/events/", "gone", qos=1)
    await blocking(device.connect, site.address, 8883)
    await site.connected()
    device.socket().close()
    (event,) = await site.arrived(1)
    assert (event.body, event.properties) == (b"gone", {"MessageType": "Will", "leafDeviceId": "d1"})
