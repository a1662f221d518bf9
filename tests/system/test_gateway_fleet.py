"""Deployments of a fleet: layers by tags, merged in the hub's order, are the settings that a gateway runs with."""

import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from edgewire.message import identity
from gateway import __version__
from project_sources import ROOT
from support.gateway_site import MODULE, GatewaySite, until
from support.paho_device import JSON, let_in

MANIFEST: Final = SimpleNamespace(**runpy.run_path(str(ROOT / "tools/manifest.py")))
EDGE: Final = identity("edge-1")
VALUES: Final = {
    **dict.fromkeys(("CONTAINER_REGISTRY_SERVER", "CONTAINER_REGISTRY_USERNAME"), "registry.example"),
    "CONTAINER_REGISTRY_PASSWORD": "a-password",
}
Document = dict[str, Any]
REFUSED: Final = re.findall(r"^SELECT .+$", (ROOT / "docs/fleet.md").read_text(), re.MULTILINE)[0]


def manifest(template: Document) -> Document:
    """What `make manifest` writes."""
    made: Document = MANIFEST.make_manifest(template, MANIFEST.Wish(platform="arm64v8", values=VALUES, folder=ROOT))
    content: Document = made.get("content", made)
    return content


def of_file(name: str) -> Document:
    template: Document = json.loads((ROOT / name).read_text())
    return template


def runtime_alone() -> Document:
    """A standard deployment that another team may have: agent and hub, and no gateway."""
    template = of_file("deployment.template.json")
    content = template["modulesContent"]
    del content["gateway"]
    content["$edgeAgent"]["properties.desired"]["modules"] = {}
    content["$edgeHub"]["properties.desired"]["routes"] = {}
    return template


def deploy(site: GatewaySite, name: str, template: Document, target: str, priority: int) -> None:
    body = {"id": name, "content": manifest(template), "targetCondition": target, "priority": priority}
    site.hub.configurations.put(name, body | {"metrics": {"queries": {"refused": REFUSED}}}, None)


def refused(site: GatewaySite) -> int:
    """What the metric of the page says."""
    _, own = site.hub.configurations.metrics(site.hub.configurations.get("gateway"))
    count: int = own["results"]["refused"]
    return count


def tag(at: GatewaySite, **tags: str | None) -> None:
    """What an operator writes into the Edge device's twin; the cloud looks within minutes, the stand-in is told."""
    at.hub.hub.twins.update(EDGE, tags=dict(tags))
    at.hub.configurations.reconcile()


async def routes_in_force(site: GatewaySite, *names: str) -> None:
    """Wait until the gateway says that just these are good."""
    wanted = {name: {"status": "ok"} for name in names}

    def is_so() -> bool:
        # A route that went is reported as null, which removes it.
        return {name: each for name, each in (site.hub.reported(MODULE).get("routes") or {}).items() if each} == wanted

    await until(is_so)


async def passes(site: GatewaySite, body: Document) -> bool:
    """Whether a message of the device d1 goes upstream: a message that always does is sent behind it."""
    before = site.hub.events.count()
    async with let_in(site, "d1") as device:
        await device.publish(json.dumps(body), JSON)
        await device.publish(json.dumps({"messageType": "alert"}), JSON)
    bodies = [json.loads(event.body) for event in await site.arrived(1, after=before)]
    if {"messageType": "alert"} not in bodies:
        bodies += [json.loads(event.body) for event in await site.arrived(2, after=before)]
    return body in bodies


async def test_layers_make_the_settings_of_a_site(site: GatewaySite, tmp_path: Path) -> None:
    deploy(site, "runtime", runtime_alone(), "*", 10)
    deploy(site, "gateway", of_file("deployment.layered.template.json"), "tags.gateway = 'pi'", 20)
    deploy(site, "cold-store", of_file("docs/examples/cold-store.template.json"), "tags.site = 'cold-store'", 30)
    await site.gateway.start()
    await site.gateway.said("connected upstream")
    assert "gateway" not in site.hub.hub.twin(identity("edge-1", "$edgeAgent")).desired["modules"], "no tag, no gateway"

    tag(site, gateway="pi")
    await routes_in_force(site, "alerts", "climate")
    agent = site.hub.hub.twin(identity("edge-1", "$edgeAgent")).desired
    assert agent["modules"]["gateway"]["settings"]["image"] == f"registry.example/edge-gateway:{__version__}-arm64v8"
    assert "gateway-upstream" in site.hub.hub.twin(identity("edge-1", "$edgeHub")).desired["routes"]
    assert not await passes(site, {"temperature": 10})
    assert refused(site) == 0

    tag(site, site="cold-store")
    await routes_in_force(site, "alerts", "climate", "doors")
    desired = site.hub.hub.twin(MODULE).desired
    assert desired["storeAndForward"] == {"timeToLiveSecs": 604800, "maxBytes": 1073741824, "whenFull": "refuse"}
    assert await passes(site, {"temperature": 10})

    tag(site, site=None)
    await routes_in_force(site, "alerts", "climate")
    assert not await passes(site, {"temperature": 10})

    wrong = of_file("docs/examples/cold-store.template.json")
    wrong["content"]["modulesContent"]["gateway"]["properties.desired.routes.climate"] = {"route": "FROM nowhere"}
    deploy(site, "wrong", wrong, "tags.gateway = 'pi'", 40)
    await until(lambda: refused(site) == 1)
    assert not await passes(site, {"temperature": 10}), "the last good settings stay"
