"""Routes that send less, from a device through the gateway's process to the hub: held back, batched, counted."""

import json
from collections import Counter
from typing import Any

from standin.events import Event
from support.gateway_site import GatewaySite, until
from support.numbered_devices import numbered, progress, sending
from support.paho_device import JSON, let_in

ALL = "FROM /messages/* INTO $upstream"
STOPS = 2


def settings(site: GatewaySite, **sends: dict[str, Any]) -> dict[str, str]:
    routes = {name: {"route": ALL, **more} for name, more in sends.items()}
    return {"GATEWAY_SETTINGS_FILE": str(site.write_settings(routes=routes))}


async def test_what_does_not_change_is_acknowledged_and_held_back(site: GatewaySite) -> None:
    send = {"onChangeOf": "$body.t", "deadBand": 0.5}
    await site.gateway.start(**settings(site, climate={"send": send}))
    async with let_in(site, "d1") as device:
        for value in (20, 20.2, 20.4, 20.6, 20.7):
            await device.publish(json.dumps({"t": value}), JSON)
    events = await site.arrived(2)
    assert [json.loads(event.body)["t"] for event in events] == [20, 20.6]
    assert await site.counted('gateway_held_back_messages_total{reason="unchanged"}', 3) == 3
    await site.gateway.stop()


async def test_batches_lose_nothing_when_the_gateway_is_killed_and_repeat_nothing_when_it_is_stopped(
    site: GatewaySite,
) -> None:
    batch = {"maxMessages": 40, "maxAgeSecs": 1}
    environment = settings(site, many={"send": {"batch": batch}})
    devices = numbered(site, 3, burst_pause_s=0.02)
    async with sending(devices):
        for _ in range(STOPS):
            await site.gateway.start(**environment)
            await progress(devices, 100)
            await site.gateway.kill()
        await site.gateway.start(**environment)
        await progress(devices, 50)
    items = await all_items(site, [(device.device, number) for device in devices for number in device.acknowledged])
    for device in devices:
        came = [int(item["body"]) for item in items if item["deviceId"] == device.device]
        firsts = list(dict.fromkeys(came))
        assert firsts == sorted(firsts)
        assert device.acknowledged <= set(came)
    await site.gateway.stop()


async def all_items(site: GatewaySite, wanted: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """The items of all batches that arrived, once all that is wanted is among them."""
    items: list[dict[str, Any]] = []
    seen = 0
    ids: set[str] = set()
    missing = set(wanted)
    while missing:
        events = await site.arrived(1, after=seen)
        seen = events[-1].sequence
        for event in events:
            if event.system["messageId"] in ids:  # a whole batch, that came just before an end and is sent again
                continue
            ids.add(event.system["messageId"])
            found = json.loads(event.body)
            assert event.properties["sendCount"] == str(len(found))
            assert event.properties["leafDeviceId"] == found[0]["deviceId"]
            items += found
        missing -= {(item["deviceId"], int(item["body"])) for item in items}
    return items


async def test_a_stop_in_good_order_repeats_no_message_of_a_batch(site: GatewaySite) -> None:
    batch = {"maxMessages": 1000, "maxAgeSecs": 3600}
    environment = settings(site, many={"send": {"batch": batch}})
    devices = numbered(site, STOPS)
    for device in devices:
        await site.gateway.start(**environment)
        async with sending([device]):
            await progress([device], 30)
        await site.gateway.stop()
    await site.gateway.start(**environment)
    items = await all_items(site, [(device.device, number) for device in devices for number in device.acknowledged])
    assert max(Counter(item["messageId"] for item in items).values()) == 1
    await site.gateway.stop()


async def test_windows_go_on_across_a_kill_and_count_each_reading_once(site: GatewaySite) -> None:
    aggregate = {"windowSecs": 2, "values": {"t": "$body.t"}, "measures": ["sum", "last"]}
    environment = settings(site, mean={"send": {"aggregate": aggregate}})
    total = 0
    for life in range(STOPS):
        await site.gateway.start(**environment)
        async with let_in(site, "d1") as device:
            for number in range(20):
                await device.publish(json.dumps({"t": number}), JSON)
                total += 1
        if life:
            await site.gateway.stop()
        else:
            await site.gateway.kill()
    await site.gateway.start(**environment)
    windows = await all_windows(site, total)
    assert sum(window["count"] for window in windows) == total
    assert sum(window["values"]["t"]["sum"] for window in windows) == STOPS * sum(range(20))
    await site.gateway.stop()


async def all_windows(site: GatewaySite, count: int) -> list[dict[str, Any]]:
    """The windows that arrived, each once, as soon as they count so many messages."""
    windows: dict[str, Any] = {}
    seen = 0
    while sum(window["count"] for window in windows.values()) < count:
        events = await site.arrived(1, after=seen)
        seen = events[-1].sequence
        windows |= {event.system["messageId"]: json.loads(event.body) for event in events}
    return list(windows.values())


async def test_what_waits_is_sent_as_it_was_to_be_when_the_route_has_changed(site: GatewaySite) -> None:
    batch = {"maxMessages": 1000, "maxAgeSecs": 3600}
    aggregate = {"windowSecs": 3600, "values": {"t": "$body.t"}}
    sends: dict[str, dict[str, Any]] = {"many": {"send": {"batch": batch}}, "mean": {"send": {"aggregate": aggregate}}}
    await site.gateway.start(**settings(site, **sends))
    async with let_in(site, "d1") as device:
        await device.publish(json.dumps({"t": 1}), JSON)
        await site.gateway.stop()
        await site.gateway.start(**settings(site, plain={}))
    batched, *_ = await site.arrived(1)
    assert [item["body"] for item in json.loads(batched.body)] == [{"t": 1}]
    assert_is_json(batched)
    # The window of an hour goes on.
    await until(lambda: len(list((site.data / "sending").glob("*.json"))) == 1)
    await site.gateway.stop()


def assert_is_json(event: Event) -> None:
    assert event.system["contentType"] == "application/json"
    assert event.system["contentEncoding"] == "utf-8"
