from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import identity
from support.service_calls import EDGE, ServiceSite

CONTENT: Any = {
    "modulesContent": {
        "$edgeAgent": {"properties.desired": {"modules": {"a": {}}}},
        "$edgeHub": {"properties.desired": {"routes": {}}},
    }
}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[ServiceSite]:
    site = ServiceSite(tmp_path)
    yield site
    site.hub.close()


async def test_a_content_is_applied_to_one_device(site: ServiceSite) -> None:
    response = await site.send("POST", f"/devices/{EDGE}/applyConfigurationContent", CONTENT)
    assert (response.status, response.body) == (204, b"")
    assert site.hub.registry.get(identity(EDGE, "a")) is not None
    assert await site.code_of("POST", f"/devices/{EDGE}/applyConfigurationContent", {}) == 400004
    assert await site.code_of("POST", "/devices/no/applyConfigurationContent", CONTENT) == 404001


async def test_a_configuration_lives(site: ServiceSite) -> None:
    made = await site.ask("PUT", "/configurations/c1", {"id": "c1", "content": CONTENT, "targetCondition": "*"})
    assert made["content"] == CONTENT
    assert made["systemMetrics"]["results"]["appliedCount"] == 1
    assert await site.ask("GET", "/configurations/c1") == made
    body = {**made, "priority": 3}
    changed = await site.ask("PUT", "/configurations/c1", body, headers={"If-Match": f'"{made["etag"]}"'})
    assert changed["priority"] == 3
    await site.ask("PUT", "/configurations/c2", {"content": CONTENT})
    assert [each["id"] for each in await site.ask("GET", "/configurations")] == ["c1", "c2"]
    assert (await site.send("DELETE", "/configurations/c1", headers={"If-Match": '"*"'})).status == 204
    assert await site.code_of("GET", "/configurations/c1") == 404011


async def test_queries_are_tested_without_being_kept(site: ServiceSite) -> None:
    body = {"targetCondition": "tags.a = 1", "customMetricQueries": {"m": "SELECT"}}
    told = await site.ask("POST", "/configurations/testQueries", body)
    assert told["targetConditionError"] == ""
    assert "m" in told["customMetricQueryErrors"]
    assert await site.code_of("POST", "/configurations/testQueries", {"targetCondition": 5}) == 400004
