from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgewire.message import identity
from standin.hub import Closing
from standin.registry import new_key
from support.service_calls import EDGE, ServiceSite

D1 = identity("d1")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[ServiceSite]:
    site = ServiceSite(tmp_path)
    yield site
    site.hub.close()


async def put(site: ServiceSite, path: str, body: Any = None, etag: str | None = None) -> Any:
    return await site.ask("PUT", path, body or {}, headers={} if etag is None else {"If-Match": f'"{etag}"'})


async def test_an_etag_decides_between_making_and_changing(site: ServiceSite) -> None:
    made = await put(site, "/devices/d1", {"deviceId": "d1"})
    assert await site.code_of("PUT", "/devices/d1", {}) == 409001
    assert await site.code_of("PUT", "/devices/d1", {}, headers={"If-Match": '"x"'}) == 412001
    changed = await put(site, "/devices/d1", {"status": "disabled"}, made["etag"])
    assert changed["status"] == "disabled"
    assert changed["authentication"] == made["authentication"]
    assert (await put(site, "/devices/d1", {"status": "enabled"}, "*"))["status"] == "enabled"
    assert await site.code_of("PUT", "/devices/d2", {}, headers={"If-Match": '"*"'}) == 404001
    assert await site.code_of("DELETE", "/devices/d1", headers={"If-Match": '"x"'}) == 412001
    assert (await site.send("DELETE", "/devices/d1", headers={"If-Match": '"*"'})).status == 204
    assert await site.code_of("DELETE", "/devices/d1") == 404001


async def test_an_answer_has_the_etag_as_a_header(site: ServiceSite) -> None:
    response = await site.send("PUT", "/devices/d1", {})
    assert dict(response.headers)["ETag"] == f'"{orjson.loads(response.body)["etag"]}"'


async def test_the_body_names_who_the_path_names(site: ServiceSite) -> None:
    assert await site.code_of("PUT", "/devices/d1", {"deviceId": "d2"}) == 400004
    await put(site, "/devices/d1")
    assert await site.code_of("PUT", "/devices/d1/modules/m1", {"deviceId": "d1", "moduleId": "m2"}) == 400004


async def test_a_module_needs_its_device(site: ServiceSite) -> None:
    assert await site.code_of("PUT", "/devices/d1/modules/m1", {}) == 404001
    await put(site, "/devices/d1")
    made = await put(site, "/devices/d1/modules/m1", {"managedBy": "me"})
    assert (made["moduleId"], made["managedBy"], made["deviceId"]) == ("m1", "me", "d1")
    assert "capabilities" not in made
    assert await site.code_of("PUT", "/devices/d1/modules/m1", {}) == 409301
    assert await site.code_of("GET", "/devices/d1/modules/m2") == 404010
    assert await site.code_of("GET", "/devices/d2/modules") == 404001
    assert [each["moduleId"] for each in await site.ask("GET", "/devices/d1/modules")] == ["m1"]


async def test_who_is_disabled_is_disconnected(site: ServiceSite) -> None:
    await put(site, "/devices/d1")
    device = site.connect(D1)
    assert (await site.ask("GET", "/devices/d1"))["connectionState"] == "Connected"
    changed = await put(site, "/devices/d1", {"status": "disabled", "statusReason": "lost"}, "*")
    assert device.closed == [Closing.NO_LONGER_ALLOWED]
    assert changed["statusReason"] == "lost"
    assert changed["statusUpdatedTime"] > "2020"


async def test_an_edge_device_gets_its_runtime(site: ServiceSite) -> None:
    await put(site, "/devices/e1", {"capabilities": {"iotEdge": True}})
    modules = await site.ask("GET", "/devices/e1/modules")
    assert [(each["moduleId"], each["authentication"]["type"]) for each in modules] == [
        ("$edgeAgent", "none"),
        ("$edgeHub", "none"),
    ]
    await put(site, "/devices/d1")
    await put(site, "/devices/d1", {"capabilities": {"iotEdge": True}}, "*")
    assert len(await site.ask("GET", "/devices/d1/modules")) == 2


async def test_the_list_has_devices_only_and_as_many_as_asked_for(site: ServiceSite) -> None:
    for name in ("b", "a"):
        await put(site, f"/devices/{name}")
    await put(site, "/devices/a/modules/m")
    assert [each["deviceId"] for each in await site.ask("GET", "/devices/")] == ["a", "b", EDGE]


async def test_statistics(site: ServiceSite) -> None:
    await put(site, "/devices/d1", {"status": "disabled"})
    site.connect(identity(EDGE))
    site.connect(identity(EDGE, "m"))
    assert await site.ask("GET", "/statistics/devices") == {
        "totalDeviceCount": 2,
        "enabledDeviceCount": 1,
        "disabledDeviceCount": 1,
    }
    assert await site.ask("GET", "/statistics/service") == {"connectedDeviceCount": 1}


def item(name: str, mode: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "importMode": mode, **more}


async def bulk(site: ServiceSite, *items: Any) -> list[tuple[str, str]]:
    response = await site.send("POST", "/devices", list(items))
    told = orjson.loads(response.body)
    assert (response.status == 200) is told["isSuccessful"]
    return [(each["deviceId"], each["errorCode"]) for each in told["errors"]]


async def test_a_bulk_operation_does_what_it_can(site: ServiceSite) -> None:
    keys = {"symmetricKey": {"primaryKey": new_key(), "secondaryKey": new_key()}}
    made = item("a", "create", authentication=keys, tags={"t": 1}, properties={"desired": {"x": 1}})
    assert await bulk(site, made, item("b", "Create"), item("b", "create", moduleId="m")) == []
    twin = await site.ask("GET", "/twins/a")
    assert (twin["tags"], twin["properties"]["desired"]["x"]) == ({"t": 1}, 1)
    assert await bulk(
        site, item("a", "create"), item("c", "createOrUpdate"), item("b", "update", status="disabled")
    ) == [("a", "DeviceAlreadyExists")]
    assert (await site.ask("GET", "/devices/b"))["status"] == "disabled"
    assert await bulk(site, item("a", "delete"), item("x", "delete"), item("c", "updateTwin", tags={"n": 1})) == [
        ("x", "DeviceNotFound")
    ]
    assert (await site.ask("GET", "/twins/c"))["tags"] == {"n": 1}


async def test_a_bulk_operation_looks_at_etags_where_it_says_so(site: ServiceSite) -> None:
    etag = (await put(site, "/devices/a"))["etag"]
    assert await bulk(site, item("a", "updateIfMatchETag", eTag="x"), item("a", "deleteIfMatchETag")) == [
        ("a", "PreconditionFailed"),
        ("a", "PreconditionFailed"),
    ]
    assert await bulk(site, item("a", "createOrUpdateIfMatchETag", eTag=f'"{etag}"')) == []
    assert await bulk(site, item("a", "updateTwinIfMatchETag", twinETag="x", tags={})) == [("a", "PreconditionFailed")]
    assert await bulk(site, item("a", "updateTwinIfMatchETag", twinETag="AAAAAAAAAAE=", tags={"b": 1})) == []
    assert await bulk(site, item("a", "deleteIfMatchETag", eTag="*")) == []


async def test_what_is_no_entry_is_told(site: ServiceSite) -> None:
    wrong = [5, item("a b", "create"), item("a", "fly"), item("a", "create", moduleId=7), item("a", "create", tags=3)]
    assert [code for _, code in await bulk(site, *wrong)] == ["ArgumentInvalid"] * 5
    bodies: list[Any] = [[], {}, [item("a", "create")] * 101]
    for body in bodies:
        assert await site.code_of("POST", "/devices", body) == 400004
