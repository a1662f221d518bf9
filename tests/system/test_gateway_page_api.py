"""What stands behind the page of a gateway's process: a device publishes over TLS, and a person sees and answers it."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from edgewire.iothub import sas
from edgewire.message import identity
from support.answering_device import hearing
from support.gateway_site import KEY, GatewaySite, until
from support.page_client import PageClient
from support.paho_device import JSON, PahoDevice, let_in

KEYS: Final = (sas.encode_key(KEY),)
D1: Final = identity("d1")
HOT: Final = "FROM /messages/* WHERE $body.temperature > 30 AND kind = 'climate' INTO $upstream"
ROUTES: Final = {"hot": HOT, "all": "FROM /messages/* INTO $upstream"}


@pytest.fixture
async def site(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[GatewaySite]:
    """A site whose hub has its service API at the port that a connection string means."""
    async with GatewaySite.open(tmp_path, certificates, next(loopback), next(loopback), https_port=443) as site:
        site.register("d1")
        yield site


async def test_a_person_sees_what_flows_and_answers_the_device(site: GatewaySite) -> None:
    site.hub.add_device("d1", keys=KEYS)
    site.write_settings(routes=ROUTES)
    service = site.hub.service_connection_string()
    await site.gateway.start(
        GATEWAY_SETTINGS_FILE=str(site.folder / "settings.json"), GATEWAY_SERVICE_CONNECTION_STRING=service
    )
    page = await PageClient.at(site)
    async with let_in(site, "d1") as device, page.live("?device=d1") as stream:
        assert (await stream.next("overview"))["counts"]["connected"] == 1
        await device.publish('{"temperature": 31}', f"{JSON}&kind=climate")
        seen = await stream.next("message")
        assert (seen["device"], seen["body"], seen["routes"]) == ("d1", '{"temperature": 31}', ["hot", "all"])
        assert seen["endpoints"] == ["$upstream"]
        assert seen["properties"] == {"kind": "climate"}
        await look(page, seen["n"])
        await try_routes(page, seen["n"])
        await answer(site, page, device)
    assert "ServiceConnect" not in site.gateway.transcript()
    assert service.partition("SharedAccessKey=")[2] not in site.gateway.transcript()


async def look(page: PageClient, number: int) -> None:
    """Everything that tells of the message."""

    async def is_counted() -> bool:
        routes = (await page.get("/api/routes"))["routes"]
        devices = (await page.get("/api/devices?search=D1"))["devices"]
        return [each["hits"] for each in routes] == [1, 1] and [each["messages"] for each in devices] == [1]

    await until(is_counted)
    (message,) = (await page.get("/api/messages?last=5"))["messages"]
    assert message["n"] == number
    whole = await page.get(f"/api/messages/{number}")
    assert json.loads(whole["sample"]["body"]) == {"temperature": 31}
    (device,) = [row for row in (await page.get("/api/devices?search=D1"))["devices"] if row["id"] == "d1"]
    assert (device["state"], device["protocol"], device["messages"]) == ("connected", "MQTT", 1)
    assert (await page.get("/api/devices/d1"))["credential"] == "symmetric keys"
    overview = await page.get("/api/overview")
    assert overview["upstream"][0]["state"] in ("connecting", "connected")
    assert overview["store"]["maxBytes"] > 0
    events = [row["event"] for row in (await page.get("/api/events"))["events"]]
    assert {"GatewayStarted", "DeviceConnected", "PageEntered"} <= set(events)
    assert (await page.ask("GET", "/api/devices/nobody"))[0] == 404


async def try_routes(page: PageClient, number: int) -> None:
    """The editor: a message that was picked, edited routes, and what they would have done."""
    status, tried = await page.send("POST", "/api/try", {"n": number})
    assert status == 200
    hot = tried["routes"][0]
    assert (hot["name"], hot["matches"], hot["value"]) == ("hot", True, "true")
    edited = {"hot": HOT.replace("30", "40"), "bad": "FROM /messages/* WHERE lenght(body) INTO $upstream"}
    status, tried = await page.send("POST", "/api/try", {"n": number, "routes": edited})
    assert status == 200
    hot, bad = tried["routes"]
    (decided,) = hot["deciding"]
    assert HOT.replace("30", "40")[decided["from"] : decided["to"]] == "$body.temperature > 40"
    assert (hot["matches"], bad["matches"]) == (False, False)
    assert "lenght" in bad["problem"]["message"]
    assert bad["problem"]["column"] == 24
    status, replay = await page.send("POST", "/api/replay", {"routes": {"hot": edited["hot"]}})
    assert status == 200
    assert replay["tried"] == 1
    assert {row["name"]: (row["now"], row["then"], row["lost"]) for row in replay["routes"]} == {
        "hot": (1, 0, [number]),
        "all": (1, 0, [number]),
    }


async def answer(site: GatewaySite, page: PageClient, device: PahoDevice) -> None:
    """A message, a method and a twin."""
    asked = {"body": "on", "properties": {"led": "red"}}
    status, said = await page.send("POST", "/api/devices/d1/messages", asked)
    assert status == 409
    assert "does not listen" in said["error"]["message"]
    messages = await hearing(device)
    assert await page.send("POST", "/api/devices/d1/messages", asked) == (200, {"settled": "accepted"})
    topic, body = await messages.next()
    assert body == b"on"
    assert "led=red" in topic
    call = {"method": "blink", "payload": {"times": 3}, "timeoutSecs": 30}
    assert await page.send("POST", "/api/devices/d1/methods", call) == (200, {"status": 201, "payload": {"times": 3}})

    twin = await page.get("/api/devices/d1/twin")
    assert (twin["from"], twin["desired"]) == ("hub", {})
    edit = {"desired": {"interval": 5}, "etag": twin["etag"]}
    status, after = await page.send("PATCH", "/api/devices/d1/twin", edit)
    assert (status, after["desired"]) == (200, {"interval": 5})
    assert site.hub.hub.twin(D1).desired == {"interval": 5}
    status, said = await page.send("PATCH", "/api/devices/d1/twin", edit)
    assert status == 412
    assert "changed by somebody else" in said["error"]["message"]
    for action in ("message_sent", "method_called", "twin_edited"):
        series = f'gateway_page_device_actions_total{{action="{action}",outcome="done"}}'
        assert await site.counted(series) == 1
    assert "interval" not in site.gateway.transcript()
