"""`gateway doctor` and `gateway support-bundle` beside a gateway that runs, and on it when it is dead."""

import base64
import io
import json
import tarfile
from typing import Any

import pytest

from edgewire.iothub import sas
from support.gateway_site import KEY, Answer, GatewaySite

QUIET = ("clock-sync", "disk-space", "disk-speed", "disk-kind", "memory", "open-files")
"""What depends on the machine that the test runs on."""


def told(answer: Answer) -> dict[str, list[str]]:
    """The verdicts by check."""
    found: dict[str, list[str]] = {}
    for each in json.loads(answer.out)["findings"]:
        found.setdefault(each["check"], []).append(each["verdict"])
    return found


async def test_a_gateway_that_runs_well_is_well(site: GatewaySite) -> None:
    await site.gateway.start()
    await site.connected(0)
    answer = await site.command("doctor", "--json", "--offline")
    found = told(answer)
    wrong = {name: found[name] for name in found if name not in QUIET and {"problem", "warning"} & set(found[name])}
    assert wrong == {}, answer.out
    for name in (
        "settings",
        "edge-environment",
        "workload-api",
        "ports",
        "certificate",
        "trust",
        "data-folder",
        "store",
    ):
        assert "ok" in found[name], answer.out
    assert len(found["ports"]) == 3
    online = told(await site.command("doctor", "--json"))
    assert online["upstream"] == ["ok"]
    await site.gateway.stop()


async def test_a_hub_that_is_away_is_a_problem_and_ports_of_a_living_gateway_are_none(site: GatewaySite) -> None:
    await site.gateway.start()
    async with site.without_hub():
        found = told(await site.command("doctor", "--json"))
    assert found["upstream"] == ["problem"]
    assert found["workload-api"] == ["problem"]
    assert found["ports"] == ["ok"] * 3
    await site.gateway.stop()


@pytest.mark.parametrize("alive", [True, False])
async def test_a_bundle_is_made_of_a_living_and_of_a_dead_gateway(site: GatewaySite, *, alive: bool) -> None:
    await site.gateway.start()
    token = site.token("d1")
    if not alive:
        await site.gateway.kill()
    out = site.folder / "bundle.tar.gz"
    answer = await site.command("support-bundle", "--out", str(out), "--offline", "--json")
    assert answer.code == 0, answer.error
    said = json.loads(answer.out)
    found = read(out.read_bytes())
    assert set(found) - {"manifest.json"} == set(said["files"])
    assert {"doctor.json", "settings.json", "registry.json"} <= set(found) | set(said["missing"])
    assert ("status.json" in found, "metrics.txt" in found, "events.jsonl" in found) == (alive,) * 3
    if alive:
        assert json.loads(found["status.json"])["store"]["queues"] == []
        assert "GatewayStarted" in found["events.jsonl"]
        assert "server, as it is shown" in found["certificates.txt"]
        assert json.loads(found["environment.json"])["IOTEDGE_MODULEID"] == "gateway"
        await site.gateway.stop()
    whole = "\n".join(found.values())
    for secret in (sas.encode_key(KEY), KEY.hex(), base64.b64encode(sas.encode_key(KEY).encode()).decode(), token):
        assert secret not in whole


def read(data: bytes) -> dict[str, Any]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {
            entry.name.removeprefix("gateway-support/"): content.read().decode()
            for entry in archive
            if (content := archive.extractfile(entry)) is not None
        }
