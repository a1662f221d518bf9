import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from edgewire.iothub.bag import Bag
from edgewire.message import identity
from standin.devicebound import C2dMessage
from standin.hub import MethodResult
from standin.locked import Settlement
from support.service_calls import EDGE, ServiceSite

DEVICE = identity(EDGE)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[ServiceSite]:
    site = ServiceSite(tmp_path)
    yield site
    site.hub.close()


async def test_a_twin_is_read_patched_and_replaced(site: ServiceSite) -> None:
    twin = await site.ask("GET", f"/twins/{EDGE}")
    assert twin["deviceId"] == EDGE
    patch = {"tags": {"a": 1}, "properties": {"desired": {"x": 1, "y": 2}}}
    changed = await site.ask("PATCH", f"/twins/{EDGE}", patch, headers={"If-Match": f'"{twin["etag"]}"'})
    assert (changed["tags"], changed["version"]) == ({"a": 1}, 2)
    assert await site.code_of("PATCH", f"/twins/{EDGE}", patch, headers={"If-Match": f'"{twin["etag"]}"'}) == 412001
    replaced = await site.ask("PUT", f"/twins/{EDGE}", {"properties": {"desired": {"y": 3}}})
    assert replaced["tags"] == {"a": 1}
    assert {name for name in replaced["properties"]["desired"] if not name.startswith("$")} == {"y"}


async def test_the_twins_of_modules(site: ServiceSite) -> None:
    await site.send("PUT", f"/devices/{EDGE}/modules/%24edgeHub", {})
    twin = await site.ask("PATCH", f"/twins/{EDGE}/modules/%24edgeHub", {"tags": {"a": 1}})
    assert (twin["moduleId"], twin["tags"]) == ("$edgeHub", {"a": 1})
    assert await site.code_of("GET", f"/twins/{EDGE}/modules/no") == 404010
    assert await site.code_of("GET", "/twins/no") == 404001


async def test_queries_have_pages(site: ServiceSite) -> None:
    for name in "abcde":
        await site.send("PUT", f"/devices/{name}", {})
    body = {"query": "SELECT deviceId FROM devices WHERE deviceId != 'edge-1'"}
    headers = {"x-ms-max-item-count": "2"}
    found: list[str] = []
    for _ in range(3):
        response = await site.send("POST", "/devices/query", body, headers=headers)
        found += [row["deviceId"] for row in orjson.loads(response.body)]
        assert dict(response.headers)["x-ms-item-type"] == "raw"
        headers["x-ms-continuation"] = dict(response.headers).get("x-ms-continuation", "")
    assert found == list("abcde")
    assert headers["x-ms-continuation"] == ""


async def test_a_query_over_modules(site: ServiceSite) -> None:
    await site.send("PUT", f"/devices/{EDGE}/modules/m1", {})
    rows = await site.ask("POST", "/devices/query", {"query": "SELECT moduleId FROM devices.modules"})
    assert rows == [{"moduleId": "m1"}]


async def test_a_bad_query_is_refused_with_its_place(site: ServiceSite) -> None:
    assert await site.code_of("POST", "/devices/query", {"query": "SELECT"}) == 400004
    assert await site.code_of("POST", "/devices/query", {}) == 400004
    body = {"query": "SELECT * FROM devices"}
    for name, value in (("x-ms-max-item-count", "0"), ("x-ms-continuation", "x")):
        assert await site.code_of("POST", "/devices/query", body, headers={name: value}) == 400004


async def test_a_method_is_answered(site: ServiceSite) -> None:
    device = site.connect(DEVICE)
    for payload, sent in (({"a": 1}, b'{"a":1}'), (None, b"null"), ("", b'""')):
        body = {"methodName": "go", "payload": payload, "responseTimeoutInSeconds": 60}
        asked = asyncio.create_task(site.ask("POST", f"/twins/{EDGE}/methods", body))
        request_id, name, received = await device.methods.get()
        assert (name, received) == ("go", sent)
        site.hub.method_answered(DEVICE, request_id, MethodResult(200, b"[1]"))
        assert await asked == {"status": 200, "payload": [1]}


async def test_who_is_away_answers_no_method(site: ServiceSite) -> None:
    for device, code in ((EDGE, 404103), ("no", 404001)):
        response = await site.send("POST", f"/twins/{device}/methods", {"methodName": "go"})
        assert response.status == 404
        assert orjson.loads(orjson.loads(response.body)["Message"])["errorCode"] == code
    assert await site.code_of("POST", "/twins/no%20such/methods", {"methodName": "go"}) == 400004


async def test_what_waits_is_purged(site: ServiceSite) -> None:
    site.hub.send_c2d(DEVICE, C2dMessage(Bag({}, {"messageId": "1"}), b"x"))
    assert (await site.ask("GET", f"/devices/{EDGE}"))["cloudToDeviceMessageCount"] == 1
    assert await site.ask("DELETE", f"/devices/{EDGE}/commands") == {
        "totalMessagesPurged": 1,
        "deviceId": EDGE,
        "moduleId": None,
    }
    assert (await site.ask("GET", f"/devices/{EDGE}"))["cloudToDeviceMessageCount"] == 0


async def test_feedback_is_read_and_settled(site: ServiceSite) -> None:
    path = "/messages/serviceBound/feedback"
    assert (await site.send("GET", path)).status == 204
    site.hub.send_c2d(DEVICE, C2dMessage(Bag({"iothub-ack": "full"}, {"messageId": "1"}), b"x"))
    locked = site.hub.lock_c2d(DEVICE)
    assert locked is not None
    site.hub.settle_c2d(DEVICE, locked.lock_token, Settlement.COMPLETED)
    site.hub.feedback.flush()
    for settling, method in (("/abandon", "POST"), ("", "DELETE")):
        response = await site.send("GET", path)
        (record,) = orjson.loads(response.body)
        assert (record["originalMessageId"], record["statusCode"], record["deviceId"]) == ("1", "Success", EDGE)
        etag = dict(response.headers)["ETag"].strip('"')
        assert (await site.send(method, f"{path}/{etag}{settling}")).status == 204
    assert (await site.send("GET", path)).status == 204
    assert await site.code_of("DELETE", f"{path}/no-lock") == 412002
