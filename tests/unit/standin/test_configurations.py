from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import identity
from standin.configurations import MAX_CONFIGURATIONS, configuration_json
from standin.errors import HubError
from standin.registry import symmetric_entry
from standin.service_content import EDGE_AGENT, EDGE_HUB
from support.service_calls import EDGE, ServiceSite

AGENT = identity(EDGE, EDGE_AGENT)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[ServiceSite]:
    site = ServiceSite(tmp_path)
    yield site
    site.hub.close()


def standard(module: str) -> Any:
    agent: Any = {"properties.desired": {"modules": {module: {}}}}
    return {"modulesContent": {EDGE_AGENT: agent, EDGE_HUB: {"properties.desired": {"routes": {}}}}}


def layered(module: str) -> Any:
    return {"modulesContent": {EDGE_AGENT: {f"properties.desired.modules.{module}": {}}}}


def put(site: ServiceSite, name: str, content: Any, target: str = "*", priority: int = 0, **more: Any) -> None:
    body = {"id": name, "content": content, "targetCondition": target, "priority": priority, **more}
    site.configurations.put(name, body, None)


def modules(site: ServiceSite, device: str = EDGE) -> set[str]:
    return set(site.hub.twin(identity(device, EDGE_AGENT)).desired.get("modules", {}))


def applied(site: ServiceSite) -> set[str]:
    return {name for name, each in site.configurations.statuses(AGENT).items() if each["status"] == "Applied"}


async def test_the_highest_standard_deployment_is_applied(site: ServiceSite) -> None:
    put(site, "low", standard("a"), priority=1)
    assert modules(site) == {"a"}
    put(site, "high", standard("b"), priority=2)
    assert modules(site) == {"b"}
    assert site.configurations.statuses(AGENT) == {"low": {"status": "Targeted"}, "high": {"status": "Applied"}}
    site.configurations.delete("high", None)
    assert modules(site) == {"a"}


async def test_layers_of_a_higher_priority_go_on_top_in_their_order(site: ServiceSite) -> None:
    put(site, "layer", layered("l"), priority=5)
    assert modules(site) == set()
    put(site, "base", standard("a"), priority=3)
    put(site, "under", layered("u"), priority=2)
    assert modules(site) == {"a", "l"}
    assert applied(site) == {"base", "layer"}


async def test_a_target_condition_is_looked_at_after_each_change(site: ServiceSite) -> None:
    put(site, "c", standard("a"), target="tags.site = 'x'")
    assert modules(site) == set()
    await site.send("PATCH", f"/twins/{EDGE}", {"tags": {"site": "x"}})
    assert modules(site) == {"a"}
    # As in the cloud: modules stay when the last deployment goes.
    await site.send("PATCH", f"/twins/{EDGE}", {"tags": {"site": None}})
    assert modules(site) == {"a"}


async def test_nobody_is_meant_by_an_empty_target(site: ServiceSite) -> None:
    put(site, "c", standard("a"), target="")
    assert modules(site) == set()


async def test_what_a_person_changed_stays_until_the_deployments_change(site: ServiceSite) -> None:
    put(site, "c", standard("a"))
    site.hub.patch_desired(AGENT, {"modules": {"z": {}}})
    site.configurations.reconcile()
    assert modules(site) == {"a", "z"}
    put(site, "d", standard("b"), priority=1)
    assert modules(site) == {"b"}


async def test_configurations_of_devices_and_modules_write_their_paths(site: ServiceSite) -> None:
    site.hub.add(symmetric_entry(identity("d1")))
    site.hub.add(symmetric_entry(identity("d1", "m1")))
    site.hub.patch_desired(identity("d1"), {"keep": 1})
    put(site, "low", {"deviceContent": {"properties.desired.a.b": 1, "properties.desired.c": 1}}, "deviceId = 'd1'", 1)
    put(site, "high", {"deviceContent": {"properties.desired.a.b": 2}}, "deviceId = 'd1'", 2)
    assert site.hub.twin(identity("d1")).desired == {"keep": 1, "a": {"b": 2}, "c": 1}
    target = "FROM devices.modules WHERE moduleId = 'm1'"
    put(site, "mod", {"moduleContent": {"properties.desired.x": 1}}, target)
    assert site.hub.twin(identity("d1", "m1")).desired == {"x": 1}
    assert site.configurations.statuses(identity("d1", "m1")) == {"mod": {"status": "Applied"}}
    results = site.configurations.metrics(site.configurations.get("mod"))[0]["results"]
    assert results == {"appliedCount": 1, "targetedCount": 1}
    assert site.hub.twin(identity(EDGE)).desired == {}


async def test_metrics_count(site: ServiceSite) -> None:
    queries = {"edges": "SELECT deviceId FROM devices WHERE capabilities.iotEdge = true"}
    put(site, "c", standard("a"), target="deviceId = 'edge-1' OR deviceId = 'x'", metrics={"queries": queries})
    shown = configuration_json(site.configurations.get("c"), site.configurations.metrics(site.configurations.get("c")))
    assert shown["metrics"]["results"] == {"edges": 1}
    assert shown["systemMetrics"]["results"] == {
        "targetedCount": 1,
        "appliedCount": 1,
        "reportedSuccessfulCount": 1,
        "reportedFailedCount": 0,
    }


async def test_configurations_are_there_after_a_restart_and_not_applied_again(
    site: ServiceSite, tmp_path: Path
) -> None:
    put(site, "c", standard("a"), labels={"l": "1"})
    version = site.hub.twin(AGENT).desired_version
    site.hub.close()
    again = ServiceSite(tmp_path)
    again.configurations.reconcile()
    assert again.configurations.get("c").labels == {"l": "1"}
    assert again.hub.twin(AGENT).desired_version == version
    again.hub.close()


async def test_a_removed_device_is_forgotten(site: ServiceSite) -> None:
    site.hub.add(symmetric_entry(identity("d1")))
    put(site, "c", {"deviceContent": {"properties.desired.a": 1}}, "deviceId = 'd1'")
    site.hub.remove(identity("d1"))
    site.configurations.reconcile()
    site.hub.add(symmetric_entry(identity("d1")))
    site.configurations.reconcile()
    assert site.hub.twin(identity("d1")).desired == {"a": 1}


async def test_a_twin_that_cannot_hold_it_keeps_what_it_has(site: ServiceSite) -> None:
    site.hub.add(symmetric_entry(identity("d1")))
    put(site, "c", {"deviceContent": {"properties.desired.a": "x" * 5000}}, "deviceId = 'd1'")
    assert site.hub.twin(identity("d1")).desired == {}
    assert site.configurations.statuses(identity("d1")) == {"c": {"status": "Targeted"}}


async def test_only_etag_and_the_same_content_change_a_configuration(site: ServiceSite) -> None:
    put(site, "c", standard("a"))
    old = site.configurations.get("c")
    body = {"content": standard("a"), "priority": 7, "targetCondition": ""}
    for etag, code in ((None, 409001), ("x", 412001)):
        with pytest.raises(HubError) as caught:
            site.configurations.put("c", body, etag)
        assert caught.value.code == code
    with pytest.raises(HubError, match="content"):
        site.configurations.put("c", {**body, "content": standard("b")}, "*")
    new = site.configurations.put("c", body, old.etag)
    assert (new.priority, new.target, new.created_at) == (7, "", old.created_at)
    assert new.etag != old.etag
    with pytest.raises(HubError) as caught:
        site.configurations.delete("c", old.etag)
    assert caught.value.code == 412001
    with pytest.raises(HubError) as caught:
        site.configurations.put("d", body, "*")
    assert caught.value.code == 404011


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Capital", {}),
        ("a b", {}),
        ("c", {"id": "d"}),
        ("c", {"content": None}),
        ("c", {"targetCondition": "tags.a ="}),
        ("c", {"targetCondition": 5}),
        ("c", {"targetCondition": "(" * 32 + "deviceId = 'a'" + ")" * 32}),
        ("c", {"targetCondition": "deviceId = '" + "a" * 8150 + "'"}),
        ("c", {"targetCondition": "FROM devices.modules WHERE moduleId = 'm'"}),
        ("c", {"content": {"moduleContent": {"properties.desired.a": 1}}, "targetCondition": "tags.a = 1"}),
        ("c", {"priority": -1}),
        ("c", {"priority": "1"}),
        ("c", {"labels": {"a": 1}}),
        ("c", {"metrics": {"queries": {"m": "SELECT"}}}),
        ("c", {"metrics": {"queries": {str(number): "SELECT * FROM devices" for number in range(21)}}}),
    ],
)
async def test_what_is_no_configuration_is_refused(site: ServiceSite, name: str, change: Any) -> None:
    with pytest.raises(HubError) as caught:
        site.configurations.put(name, {"content": standard("a"), **change}, None)
    assert caught.value.code == 400004
    assert site.configurations.all() == []


async def test_there_is_an_end_to_configurations(site: ServiceSite) -> None:
    for number in range(MAX_CONFIGURATIONS):
        put(site, f"c{number}", {"deviceContent": {"properties.desired.a": 1}}, target="")
    with pytest.raises(HubError) as caught:
        put(site, "more", standard("a"))
    assert caught.value.code == 403000


async def test_conditions_and_metrics_are_tried(site: ServiceSite) -> None:
    queries: dict[str, Any] = {"good": "SELECT * FROM devices", "bad": "SELECT", "none": 5}
    told = site.configurations.test("tags.a =", queries)
    assert "column" in told["targetConditionError"]
    assert set(told["customMetricQueryErrors"]) == {"bad", "none"}
    assert site.configurations.test("tags.a = 1", {}) == {"targetConditionError": "", "customMetricQueryErrors": {}}
