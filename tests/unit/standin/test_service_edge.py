import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import Envelope, Message, identity
from standin.errors import HubError
from standin.registry import Authentication, symmetric_entry
from standin.service_content import EDGE_AGENT, EDGE_HUB, read_content
from support.service_calls import EDGE, ServiceSite

GATEWAY = identity(EDGE, "gateway")
AGENT = identity(EDGE, EDGE_AGENT)
HUB = identity(EDGE, EDGE_HUB)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[ServiceSite]:
    site = ServiceSite(tmp_path)
    yield site
    site.hub.close()


def manifest(*modules: str, routes: Any = None, **twins: Any) -> Any:
    content: dict[str, Any] = {
        EDGE_AGENT: {"properties.desired": {"schemaVersion": "1.1", "modules": {name: {} for name in modules}}},
        EDGE_HUB: {"properties.desired": {"schemaVersion": "1.2", "routes": routes or {}}},
    }
    return {"modulesContent": {**content, **{name: {"properties.desired": twin} for name, twin in twins.items()}}}


def modules(site: ServiceSite) -> set[str]:
    return {entry.identity.module or "" for entry in site.hub.registry.modules(EDGE)}


async def arrives(site: ServiceSite, output: str) -> bool:
    """Whether what the gateway sends to this output goes upstream."""
    before = site.hub.events.last_sequence
    done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    system = {"connectionDeviceId": EDGE, "connectionModuleId": "gateway", "outputName": output}
    site.hub.receive(Message(Envelope(sender=GATEWAY, properties={}, system=system), b""), done.set_result)
    assert await done
    return site.hub.events.last_sequence > before


async def test_a_manifest_makes_the_modules_and_their_twins(site: ServiceSite) -> None:
    site.edge.apply(EDGE, read_content(manifest("gateway", "other", gateway={"x": 1})))
    assert modules(site) == {EDGE_AGENT, EDGE_HUB, "gateway", "other"}
    entry = site.hub.registry.get(GATEWAY)
    assert entry is not None
    assert (entry.managed_by, entry.authentication) == ("IotEdge", Authentication.SYMMETRIC_KEY)
    assert site.hub.twin(GATEWAY).desired == {"x": 1}
    assert site.hub.twin(AGENT).reported["lastDesiredStatus"]["code"] == 200


async def test_what_is_named_no_more_is_removed_unless_a_person_made_it(site: ServiceSite) -> None:
    site.hub.add(symmetric_entry(identity(EDGE, "mine")))
    site.edge.apply(EDGE, read_content(manifest("gateway", "other")))
    client = site.connect(GATEWAY)
    site.edge.apply(EDGE, read_content(manifest("other")))
    assert modules(site) == {EDGE_AGENT, EDGE_HUB, "other", "mine"}
    assert client.closed


async def test_a_module_that_a_person_made_is_managed_once_it_is_named(site: ServiceSite) -> None:
    old = site.hub.add(symmetric_entry(GATEWAY))
    site.edge.apply(EDGE, read_content(manifest("gateway")))
    entry = site.hub.registry.get(GATEWAY)
    assert entry is not None
    assert (entry.primary_key, entry.managed_by) == (old.primary_key, "IotEdge")


async def test_a_module_hears_only_of_what_has_changed(site: ServiceSite) -> None:
    site.edge.apply(EDGE, read_content(manifest("gateway", gateway={"x": 1, "y": {"a": 1}})))
    client = site.connect(GATEWAY)
    site.edge.apply(EDGE, read_content(manifest("gateway", gateway={"x": 1, "y": {"a": 1}})))
    assert client.desired == []
    site.edge.apply(EDGE, read_content({"modulesContent": {"gateway": {"properties.desired.y.a": 2}}}))
    assert client.desired == [{"y": {"a": 2}, "$version": 3}]


async def test_routes_take_effect_and_a_bad_one_leaves_the_old_ones(site: ServiceSite) -> None:
    up = "FROM /messages/modules/gateway/outputs/up INTO $upstream"
    site.edge.apply(EDGE, read_content(manifest("gateway", routes={"up": {"route": up, "priority": 1}, "off": ""})))
    assert site.hub.twin(HUB).reported["lastDesiredStatus"] == {"code": 200, "description": ""}
    assert await arrives(site, "up")
    assert not await arrives(site, "down")
    site.edge.apply(EDGE, read_content(manifest("gateway", routes={"bad": "FROM nowhere"})))
    reported = site.hub.twin(HUB).reported
    assert reported["lastDesiredStatus"]["code"] == 400
    assert "bad" in reported["lastDesiredStatus"]["description"]
    assert reported["lastDesiredVersion"] == site.hub.twin(HUB).desired_version
    assert await arrives(site, "up")
    for routes in (5, {"a": 5}):
        site.hub.patch_desired(HUB, {"routes": routes})
        assert site.hub.twin(HUB).reported["lastDesiredStatus"]["code"] == 400


async def test_routes_are_used_again_after_a_restart(site: ServiceSite, tmp_path: Path) -> None:
    site.edge.restore_routes()
    assert await arrives(site, "down")
    site.edge.apply(EDGE, read_content(manifest("gateway", routes={"up": "FROM /messages/modules/x/* INTO $upstream"})))
    site.hub.close()
    again = ServiceSite(tmp_path)
    again.edge.restore_routes()
    assert not await arrives(again, "down")
    again.hub.close()


async def test_another_edge_device_has_modules_and_no_routes_here(site: ServiceSite) -> None:
    site.hub.add(symmetric_entry(identity("e2"), edge=True))
    site.edge.apply("e2", read_content(manifest("m", routes={"none": "FROM /messages/modules/none/* INTO $upstream"})))
    assert site.hub.registry.get(identity("e2", "m")) is not None
    assert await arrives(site, "up")


async def test_all_of_a_manifest_is_checked_before_any_of_it_is_used(site: ServiceSite) -> None:
    with pytest.raises(HubError, match="edge-1/gateway"):
        site.edge.apply(EDGE, read_content(manifest("gateway", gateway={"a b": 1})))
    assert modules(site) == set()


async def test_a_manifest_may_name_the_twin_of_the_device(site: ServiceSite) -> None:
    site.edge.apply(EDGE, read_content({**manifest(), "deviceContent": {"properties.desired.x": 1}}))
    assert site.hub.twin(identity(EDGE)).desired == {"x": 1}


@pytest.mark.parametrize(
    ("device", "content", "code"),
    [
        ("nobody", manifest(), 404001),
        ("leaf", manifest(), 400004),
        (EDGE, {"deviceContent": {"properties.desired.x": 1}}, 400004),
        (EDGE, {**manifest(), "moduleContent": {"properties.desired.x": 1}}, 400004),
    ],
)
async def test_what_cannot_be_applied_is_refused(site: ServiceSite, device: str, content: Any, code: int) -> None:
    site.hub.add(symmetric_entry(identity("leaf")))
    with pytest.raises(HubError) as caught:
        site.edge.apply(device, read_content(content))
    assert caught.value.code == code
