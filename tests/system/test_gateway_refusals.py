"""What the gateway refuses at a login or in a message: the right code, a counter, and nobody else disturbed."""

from dataclasses import replace

from paho.mqtt import client as paho

from support.gateway_site import GatewaySite
from support.paho_device import Dial, dial, let_in, message_properties

LOGINS = "gateway_refused_logins_total"


def bad_logins(site: GatewaySite) -> list[tuple[str, Dial, tuple[int, int]]]:
    """The reason that is counted, a login, and the codes in MQTT 3.1.1 and 5."""
    token, username = site.token, site.username
    return [
        ("wrong_key", Dial(token=token("d1", key=b"x" * 32)), (5, 135)),
        ("expired", Dial(token=token("d1", life_s=-301)), (5, 135)),
        ("foreign_audience", Dial(token=token("d2")), (5, 135)),
        ("malformed_token", Dial(token="SharedAccessSignature nonsense"), (5, 135)),
        ("no_credentials", Dial(token=""), (5, 135)),
        ("malformed_username", Dial(client_id="d2"), (4, 134)),
        ("foreign_hub", Dial(username="another.hub/d1/?api-version=2021-04-12"), (5, 135)),
        ("unknown_device", Dial(client_id="d9", username=username("d9"), token=token("d9")), (5, 135)),
    ]


async def test_a_login_that_fails_gets_its_code_and_is_counted_by_its_reason(site: GatewaySite) -> None:
    await site.gateway.start()
    for reason, how, codes in bad_logins(site):
        for version, code in zip((paho.MQTTv311, paho.MQTTv5), codes, strict=True):
            async with dial(site, "d1", replace(how, version=version)) as device:
                assert await device.connects.next() == code, reason
                await device.disconnects.next()
        assert await site.counted(f'{LOGINS}{{reason="{reason}"}}', 2) == 2
        async with let_in(site, "d1") as device:  # and is forgiven: more than ten failures in a row would be held
            await device.publish("with the right token")
    assert len(await site.arrived(len(bad_logins(site)))) == len(bad_logins(site))
    assert not any("SharedAccessSignature" in line or "sig=" in line for line in site.gateway.lines)


REFUSED_MESSAGES = [
    ("foreign_device", "devices/d2/messages/events/", b"x", 1),
    ("foreign_device", "devices/d2/messages/events/", b"x", 0),
    ("unknown_topic", "some/topic", b"x", 1),
    ("malformed_properties", "devices/d1/messages/events/a=1=2", b"x", 1),
    ("too_large", "devices/d1/messages/events/", b"x" * 262_145, 1),
]


async def test_a_message_that_is_refused_closes_the_connection_and_is_counted(site: GatewaySite) -> None:
    await site.gateway.start()
    async with let_in(site, "d2") as bystander:
        for reason, topic, body, qos in REFUSED_MESSAGES:
            async with let_in(site, "d1") as device:
                device.client.publish(topic, body, qos=qos)
                assert await device.disconnects.next() != 0, reason
        await bystander.publish("undisturbed")
    for reason in {row[0] for row in REFUSED_MESSAGES}:
        count = sum(row[0] == reason for row in REFUSED_MESSAGES)
        assert await site.counted(f'gateway_refused_messages_total{{reason="{reason}"}}', count) == count
    (event,) = await site.arrived(1)
    assert event.body == b"undisturbed"


async def test_mqtt_5_hears_why_a_message_was_refused_and_stays_connected(site: GatewaySite) -> None:
    await site.gateway.start()
    async with let_in(site, "d1", Dial(version=paho.MQTTv5)) as device:
        device.client.publish("devices/d2/messages/events/", b"x", qos=1)
        await device.acknowledged.next()
        await device.publish("and goes on", properties=message_properties(("a", "b")))
    (event,) = await site.arrived(1)
    assert event.body == b"and goes on"
    assert await site.counted('gateway_refused_messages_total{reason="foreign_device"}') == 1


async def test_qos_2_is_refused_as_iot_hub_refuses_it(site: GatewaySite) -> None:
    await site.gateway.start()
    async with let_in(site, "d1") as device:
        device.client.publish(device.events_topic, b"x", qos=2)
        assert await device.disconnects.next() != 0
    assert await site.counted('gateway_disconnected_devices_total{reason="protocol_error"}') == 1
    assert site.hub.events.count() == 0


async def test_an_expired_token_ends_the_connection(site: GatewaySite) -> None:
    await site.gateway.start(GATEWAY_TOKEN_SKEW_S="0")
    assert await is_good_and_expires(site, 3) or await is_good_and_expires(site, 30)
    assert await site.counted('gateway_disconnected_devices_total{reason="token_expired"}') >= 1


async def is_good_and_expires(site: GatewaySite, life_s: float) -> bool:
    """Whether a token of this life was good for a login and a message, until the connection was ended.

    A machine that is busy may let it expire before the login, or before the message.
    """
    async with dial(site, "d1", Dial(token=site.token("d1", life_s=life_s))) as device:
        code = await device.connects.next()
        sent = device.client.publish(device.events_topic, "while it is good", qos=1)
        await device.disconnects.next()
        return bool(code == 0 and sent.is_published())
