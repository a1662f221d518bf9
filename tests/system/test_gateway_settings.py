"""Routes and settings change in the module twin, or in a file, while devices are connected and send."""

import json
from typing import Any

import pytest

from support.gateway_site import BODY_ROUTES, MODULE, GatewaySite
from support.numbered_devices import all_arrived, judge, numbered, progress, sending
from support.paho_device import JSON, let_in
from support.whole_file import put

EVERYTHING = "FROM /messages/* INTO $upstream"
BROKEN = "FROM /messages/* WHERE lenght(body) > 10 INTO $upstream"


def has_status(code: int, version: int) -> Any:
    return lambda document: (
        document.get("lastDesiredVersion") == version and document["lastDesiredStatus"]["code"] == code
    )


async def test_new_routes_take_effect_without_a_drop_and_without_a_loss(site: GatewaySite) -> None:
    await site.gateway.start()
    devices = numbered(site, 3)
    async with sending(devices):
        for number in range(5):
            await progress(devices, 30)
            other = "everything" if number % 2 else "all"
            routes = {"everything": None, "all": None, other: EVERYTHING, f"r{number}": BODY_ROUTES["alerts"]}
            version = site.hub.set_desired(MODULE, {"routes": routes})
            await site.reported(has_status(200, version))
        await progress(devices, 30)
    findings = judge(devices, await all_arrived(site, devices))
    findings.assert_none()
    assert findings.repeated == 0
    assert [device.connects for device in devices] == [1, 1, 1]


async def test_a_message_follows_the_routes_of_the_moment(site: GatewaySite) -> None:
    await site.gateway.start()
    async with let_in(site, "d1") as device:
        version = site.hub.set_desired(MODULE, {"routes": BODY_ROUTES})
        await site.reported(has_status(200, version))
        await device.publish('{"messageType":"telemetry"}', JSON)
        version = site.hub.set_desired(MODULE, {"routes": {"all": EVERYTHING}})
        await site.reported(has_status(200, version))
        await device.publish('{"messageType":"again"}', JSON)
    (event,) = await site.arrived(1)
    assert json.loads(event.body) == {"messageType": "again"}
    assert await site.counted("gateway_unrouted_messages_total") == 1


async def test_a_bad_route_leaves_the_last_good_in_force_across_restarts_and_is_named(site: GatewaySite) -> None:
    await site.gateway.start()
    good = site.hub.set_desired(MODULE, {"routes": BODY_ROUTES})
    await site.reported(has_status(200, good))
    bad = site.hub.set_desired(MODULE, {"routes": {"long": BROKEN}})
    document = await site.reported(has_status(400, bad))
    assert document["lastGoodVersion"] == good
    problem = document["routes"]["long"]
    assert (problem["status"], problem["line"], problem["column"]) == ("error", 1, 24)
    assert "lenght" in problem["message"]
    assert "length" in json.dumps(problem, ensure_ascii=False)
    assert document["routes"]["alerts"] == {"status": "ok"}
    for _ in range(2):
        async with let_in(site, "d1") as device:
            await device.publish('{"messageType":"telemetry"}', JSON)
            await device.publish('{"messageType":"alert"}', JSON)
        await site.nothing_waits()
        await site.gateway.stop()
        await site.gateway.start()
        await site.gateway.said(f"settings version {good} from lastGood in force")
    events = await site.arrived(2)
    assert [json.loads(event.body)["messageType"] for event in events] == ["alert", "alert"]


async def test_a_settings_file_stands_in_for_the_twin_and_is_followed(site: GatewaySite) -> None:
    path = site.write_settings(routes=BODY_ROUTES)
    site.hub.set_desired(MODULE, {"routes": {"all": EVERYTHING}})
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(path))
    document = await site.reported(lambda document: "lastDesiredStatus" in document)
    assert sorted(document["routes"]) == ["alerts", "hot"]
    async with let_in(site, "d1") as device:
        await device.publish('{"messageType":"telemetry"}', JSON)
        site.write_settings(routes={"all": EVERYTHING})
        await site.reported(lambda document: sorted(document["routes"]) == ["all"])
        await device.publish('{"messageType":"telemetry","n":2}', JSON)
        put(path, '{"routes": ')
        document = await site.reported(lambda document: document["lastDesiredStatus"]["code"] == 400)
        assert "line 1, column 12" in document["lastDesiredStatus"]["description"]
        await device.publish('{"messageType":"telemetry","n":3}', JSON)
        said = len(site.gateway.lines)
        path.unlink()
        await site.gateway.said(f"{path}", after=said)
        await device.publish('{"messageType":"telemetry","n":4}', JSON)
    assert [json.loads(event.body).get("n") for event in await site.arrived(3)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory"),
        ("directory", "Is a directory"),
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("\x00\xff", "not JSON"),
        ('{"schemaVersion":"1.0","routes":{"a":"FROM"}}', "route 'a'"),
    ],
)
async def test_a_settings_file_that_is_of_no_use_is_named_and_devices_are_served(
    site: GatewaySite, content: str | None, says: str
) -> None:
    path = site.folder / "bad.json"
    if content == "directory":
        path.mkdir()
    elif content is not None:
        path.write_text(content)
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(path))
    line = await site.gateway.said(says)
    assert str(path) in line or "route 'a'" in line
    async with let_in(site, "d1") as device:
        await device.publish("by the default route")
    assert len(await site.arrived(1)) == 1


async def test_ping_and_get_status_are_answered_through_the_hub(site: GatewaySite) -> None:
    await site.gateway.start()
    assert await site.method("ping", {"a": [1, None]}) == (200, {"a": [1, None]})
    async with let_in(site, "d1") as device:
        await device.publish("one")
        await site.arrived(1)
        status = await site.status()
    assert (status["devices"], status["connections"]) == (1, 1)
    assert status["upstream"]["state"] == "connected"
    assert status["settings"] == {
        "version": 1,
        "source": "default",
        "lastOfferWasGood": True,
        "batchesWithoutSender": [],
    }
    assert status["store"]["state"] == "ready"
    assert await site.method("reboot") == (404, (await site.method("reboot"))[1])
    code, answer = await site.method("getStatus", {"deep": True})
    assert (code, answer["message"]) == (400, "getStatus takes no payload: send null or {}")
