"""Who may connect is changed by commands while the gateway runs."""

import json

import pytest
from paho.mqtt import client as paho

from edgewire.iothub import sas
from support.gateway_site import KEY, GatewaySite
from support.paho_device import Dial, dial, let_in

SECONDARY = sas.encode_key(b"fedcba9876543210" * 2)
NOT_AUTHORIZED = 5


async def test_a_device_that_is_added_can_connect_at_once(site: GatewaySite) -> None:
    await site.gateway.start()
    async with dial(site, "new-1") as device:
        assert await device.connects.next() == NOT_AUTHORIZED
    added = await site.command("devices", "add", "new-1", "--key", sas.encode_key(KEY))
    assert added.code == 0, added.error
    async with let_in(site, "new-1") as device:
        await device.publish("here I am")
    (event,) = await site.arrived(1)
    assert event.properties["leafDeviceId"] == "new-1"


@pytest.mark.parametrize(
    "command", [("remove", "d1"), ("disable", "d1"), ("regenerate-key", "d1", "--which", "both")], ids=lambda c: c[0]
)
async def test_a_device_that_may_not_connect_any_more_is_cut_and_stays_out(
    site: GatewaySite, command: tuple[str, ...]
) -> None:
    await site.gateway.start()
    async with let_in(site, "d2") as bystander, let_in(site, "d1", Dial(version=paho.MQTTv5)) as device:
        await device.publish("before")
        assert (await site.command("devices", *command)).code == 0
        await device.disconnects.next()
        async with dial(site, "d1") as again:
            assert await again.connects.next() == NOT_AUTHORIZED
        await bystander.publish("undisturbed")
    assert [event.body for event in await site.arrived(2)] == [b"before", b"undisturbed"]
    assert await site.counted('gateway_disconnected_devices_total{reason="credentials_changed"}') == 1


async def test_keys_are_rotated_while_devices_are_connected(site: GatewaySite) -> None:
    await site.gateway.start()
    async with let_in(site, "d2") as bystander, let_in(site, "d1", Dial(version=paho.MQTTv5)) as device:
        await device.publish("by the old key")
        changed = await site.command("devices", "regenerate-key", "d1", "--which", "primary")
        assert changed.code == 0, changed.error
        await device.disconnects.next()
        await site.gateway.said("the credentials of 1 are no longer what they were")
        async with dial(site, "d1") as again:
            assert await again.connects.next() == NOT_AUTHORIZED
        keys = json.loads((await site.command("devices", "show", "d1", "--keys", "--json")).out)
        for key, body in ((keys["primaryKey"], "by the new key"), (SECONDARY, "by the other key, which stays")):
            token = site.token("d1", key=sas.decode_key(key))
            async with let_in(site, "d1", Dial(token=token)) as renewed:
                await renewed.publish(body)
        await bystander.publish("undisturbed")
    assert [event.body for event in await site.arrived(4)] == [
        b"by the old key",
        b"by the new key",
        b"by the other key, which stays",
        b"undisturbed",
    ]


async def test_a_registry_broken_by_hand_leaves_everybody_as_they_were(site: GatewaySite) -> None:
    await site.gateway.start()
    async with let_in(site, "d1") as device:
        (site.data / "devices.json").write_text('{"version": 1, "devices": {')
        await site.gateway.said("is no registry of devices")
        await device.publish("still here")
        async with let_in(site, "d2") as other:
            await other.publish("still let in")
    assert len(await site.arrived(2)) == 2
    await site.gateway.stop()
    await site.gateway.spawn()
    assert await site.gateway.exit_code() == 2
    assert "Correct it there, or put back an earlier copy" in site.gateway.transcript()
