"""`gateway doctor` and `gateway support-bundle` beside a gateway that runs, and on it when it is dead."""

import base64
import io
import json
import tarfile

from edgewire.iothub import sas
from support.gateway_site import KEY, Answer, GatewaySite

QUIET = ("clock-sync", "disk-space", "disk-speed", "disk-kind", "memory", "open-files")
"""What depends on the machine that the test runs on."""
TRIES = 3
"""The doctor gives each check some seconds, which a busy machine may take from it once."""


def told(answer: Answer) -> dict[str, list[str]]:
    """The verdicts by check."""
    found: dict[str, list[str]] = {}
    for each in json.loads(answer.out)["findings"]:
        found.setdefault(each["check"], []).append(each["verdict"])
    return found


async def test_the_doctor_beside_a_gateway_that_runs(site: GatewaySite) -> None:
    await site.gateway.start()
    await site.connected(0)
    for _ in range(TRIES):
        answer = await site.command("doctor", "--json")
        found = told(answer)
        wrong = {name: found[name] for name in found if name not in QUIET and {"problem", "warning"} & set(found[name])}
        if not wrong:
            break
    assert wrong == {}, answer.out
    for name in ("settings", "edge-environment", "workload-api", "certificate", "trust", "data-folder", "store"):
        assert "ok" in found[name], answer.out
    assert (found["ports"], found["upstream"]) == (["ok"] * 3, ["ok"])
    async with site.without_hub():
        found = told(await site.command("doctor", "--json"))
    assert found["upstream"] == ["problem"]
    assert found["workload-api"] == ["problem"]
    assert found["ports"] == ["ok"] * 3
    await site.gateway.stop()


async def test_a_bundle_is_made_of_a_living_and_of_a_dead_gateway(site: GatewaySite) -> None:
    await site.gateway.start()
    token = site.token("d1")
    living = await bundle(site, "living.tar.gz")
    assert json.loads(living["status.json"])["store"]["queues"] == []
    assert "GatewayStarted" in living["events.jsonl"]
    assert "server, as it is shown" in living["certificates.txt"]
    assert json.loads(living["environment.json"])["IOTEDGE_MODULEID"] == "gateway"
    await site.gateway.kill()
    dead = await bundle(site, "dead.tar.gz")
    assert not {"status.json", "metrics.txt", "events.jsonl"} & set(dead)
    assert {"doctor.json", "registry.json", "files.txt"} <= set(dead)
    whole = "\n".join([*living.values(), *dead.values()])
    for secret in (sas.encode_key(KEY), KEY.hex(), base64.b64encode(sas.encode_key(KEY).encode()).decode(), token):
        assert secret not in whole


async def bundle(site: GatewaySite, name: str) -> dict[str, str]:
    """What a bundle has in it."""
    answer = await site.command("support-bundle", "--out", str(site.folder / name), "--offline", "--json")
    assert answer.code == 0, answer.error
    found = read((site.folder / name).read_bytes())
    assert set(found) - {"manifest.json"} == set(json.loads(answer.out)["files"])
    return found


def read(data: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {
            entry.name.removeprefix("gateway-support/"): content.read().decode()
            for entry in archive
            if (content := archive.extractfile(entry)) is not None
        }
