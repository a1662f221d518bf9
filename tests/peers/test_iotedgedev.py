"""IoT Edge's own tool makes the same manifests of our templates as `make manifest`, for every platform, offline."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from project_sources import ROOT

TOOL: Final = ROOT / "build/iotedgedev/bin/python"
OFFLINE: Final = ROOT / "tests/peers/programs/iotedgedev_offline.py"
SCHEMAS: Final = ROOT / "tests/schemas"
PLATFORMS: Final = ("amd64", "arm32v7", "arm64v8")
TEMPLATES: Final = ("deployment.template.json", "deployment.debug.template.json", "deployment.layered.template.json")
VALUES: Final = {
    "CONTAINER_REGISTRY_SERVER": "registry.example",
    "CONTAINER_REGISTRY_USERNAME": "puller",
    "CONTAINER_REGISTRY_PASSWORD": "a-password",
}
RUN_S: Final = 60.0
TRAP: Final = {"upstream": "XX", "edgeHub": "YY", "edgeAgent": "ZZ", "body": "VV"}
"""What a shell may have, by names that IoT Edge has words for."""


@pytest.fixture
def solution(tmp_path: Path) -> Path:
    """A folder with our templates, our module and values; telemetry of the tool is off."""
    for name in TEMPLATES:
        shutil.copy(ROOT / name, tmp_path)
    module = tmp_path / "modules/gateway"
    module.mkdir(parents=True)
    shutil.copy(ROOT / "modules/gateway/module.json", module)
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in VALUES.items()))
    settings = tmp_path / "home/.iotedgedev/setting.ini"
    settings.parent.mkdir(parents=True)
    settings.write_text("[DEFAULT]\nfirsttime = no\ncollect_telemetry = no\n")
    return tmp_path


def run(
    solution: Path, *command: str | Path, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """A program in the solution's folder, with nothing of this machine's environment but PATH."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(solution / "home"), "LANG": "C.UTF-8", **(environment or {})}
    return subprocess.run(
        [*map(str, command)], cwd=solution, env=clean, capture_output=True, text=True, timeout=RUN_S, check=False
    )


def by_theirs(solution: Path, template: str, platform: str, environment: Mapping[str, str] | None = None) -> Any:
    arguments = ("solution", "genconfig", "-f", template, "-P", platform, "--fail-on-validation-error")
    done = run(solution, TOOL, OFFLINE, SCHEMAS, *arguments, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skip" not in done.stdout.lower(), done.stdout  # without schemas it checks nothing, and succeeds
    return manifest_in(solution / "config", template, platform)


def by_ours(solution: Path, template: str, platform: str, environment: Mapping[str, str] | None = None) -> Any:
    arguments = (template, "--platform", platform, "--env-file", ".env", "--output", "ours")
    done = run(solution, sys.executable, ROOT / "tools/manifest.py", *arguments, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return manifest_in(solution / "ours", template, platform)


def manifest_in(folder: Path, template: str, platform: str) -> Any:
    return json.loads((folder / f"{template.removesuffix('.template.json')}.{platform}.json").read_text())


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_both_tools_make_the_same(solution: Path, template: str, platform: str) -> None:
    theirs, ours = by_theirs(solution, template, platform), by_ours(solution, template, platform)
    assert theirs == ours
    assert "${" not in json.dumps(theirs)


def test_a_shell_that_has_iot_edges_words_rewrites_routes_with_theirs_and_nothing_with_ours(solution: Path) -> None:
    ours = by_ours(solution, TEMPLATES[2], "amd64", TRAP)
    assert ours == by_ours(solution, TEMPLATES[2], "amd64")
    theirs = json.dumps(by_theirs(solution, TEMPLATES[2], "amd64", TRAP))
    assert "INTO XX" in theirs, "iotedgedev is no more misled: docs/deployment.md says it is"


def test_with_its_schemas_at_hand_it_refuses_what_the_schema_does_not_know(solution: Path) -> None:
    template = solution / TEMPLATES[0]
    template.write_text(template.read_text().replace('"restartPolicy": "always"', '"restartPolicy": "sometimes"'))
    arguments = ("solution", "genconfig", "-f", template.name, "-P", "amd64", "--fail-on-validation-error")
    done = run(solution, TOOL, OFFLINE, SCHEMAS, *arguments)
    assert done.returncode != 0
    assert "'sometimes' is not one of" in done.stdout + done.stderr
