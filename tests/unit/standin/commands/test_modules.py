import json
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import identity
from standin.app import StandIn
from support.standin_commands import run

TEMPLATE = Path(__file__).parents[4] / "deployment.template.json"


async def test_our_template_is_deployed_and_the_gateways_twin_follows(
    standin: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    said = await run(standin, capsys, "set-modules", str(TEMPLATE))
    assert said.code == 0, said.err
    assert said.out == "edge-1 has the modules $edgeAgent, $edgeHub, gateway\n"
    wanted = json.loads(TEMPLATE.read_text())["modulesContent"]["gateway"]["properties.desired"]
    assert standin.hub.twin(identity("edge-1", "gateway")).desired == wanted


async def test_modules_that_the_manifest_does_not_name_are_removed_if_a_manifest_brought_them(
    standin: StandIn, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    await run(standin, capsys, "set-modules", str(TEMPLATE))
    manifest = json.loads(TEMPLATE.read_text())
    modules = manifest["modulesContent"]["$edgeAgent"]["properties.desired"]["modules"]
    modules["other"] = modules.pop("gateway")
    del manifest["modulesContent"]["gateway"]
    (tmp_path / "next.json").write_text(json.dumps(manifest))
    assert (await run(standin, capsys, "set-modules", str(tmp_path / "next.json"))).code == 0
    names = {entry.identity.module for entry in standin.hub.registry.modules("edge-1")}
    assert "other" in names
    assert "gateway" not in names


@pytest.mark.parametrize(
    ("manifest", "refused"),
    [
        ([], (2, "no JSON object")),
        ({"routes": {}}, (2, "no modulesContent")),
        ({"modulesContent": {"m1": {"properties.reported": {}}}}, (1, "m1")),
    ],
)
async def test_what_is_no_manifest_changes_nothing(
    standin: StandIn,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    manifest: Any,
    refused: tuple[int, str],
) -> None:
    (tmp_path / "m.json").write_text(json.dumps(manifest))
    said = await run(standin, capsys, "set-modules", str(tmp_path / "m.json"))
    assert (said.code, said.out) == (refused[0], "")
    assert refused[1] in said.err


async def test_only_an_edge_device_has_modules(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    standin.add_device("leaf")
    said = await run(standin, capsys, "set-modules", str(TEMPLATE), "--device", "leaf")
    assert said.code == 1
    assert "no edge device" in said.err
