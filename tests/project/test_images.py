"""The files that images are made of: one text for all platforms, and wheels for each of them."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import dockerfiles
import image
import pytest
import wheels
from packaging.utils import parse_wheel_filename

from gateway.app.settings import read_environment
from project_sources import ROOT

FOLDER = ROOT / "modules" / "gateway"
FIRST = (FOLDER / "Dockerfile.amd64").read_text()
TABLE: Any = json.loads(wheels.FILE.read_text())
MODULE: Any = json.loads((FOLDER / "module.json").read_text())
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or "hadolint-is-not-installed"
PLATFORMS = tuple(wheels.MACHINES)


def test_the_other_dockerfiles_are_written_from_the_first() -> None:
    stale = [path.name for path, text in dockerfiles.written().items() if path.read_text() != text]
    assert not stale, "make docs"


def test_module_json_names_all_of_them_and_the_folder_they_are_built_from() -> None:
    files = MODULE["image"]["tag"]["platforms"]
    assert {(FOLDER / file).name for file in files.values()} == {path.name for path in FOLDER.glob("Dockerfile.*")}
    assert all(file == f"./Dockerfile.{platform}" for platform, file in files.items())
    assert (FOLDER / MODULE["image"]["contextPath"]).resolve() == ROOT


def test_the_repository_is_in_lower_case_as_registries_want_it() -> None:
    repository = MODULE["image"]["repository"].replace("${CONTAINER_REGISTRY_SERVER}/", "")
    assert re.fullmatch(r"[a-z0-9-]+", repository)
    assert image.Wish(platform="amd64").name.partition(":")[0] == repository


def test_a_change_that_the_debug_image_cannot_follow_is_noticed() -> None:
    changed = FIRST.replace('ENTRYPOINT ["gateway"]', 'ENTRYPOINT ["gateway", "-v"]')
    assert '"-v"' in dockerfiles.dockerfile(changed, "arm64v8", debug=False)
    with pytest.raises(ValueError, match="holds 0 times"):
        dockerfiles.dockerfile(changed, "amd64", debug=True)


def test_both_stages_have_one_python_and_the_image_has_no_compiler() -> None:
    bases = re.findall(r"^ARG \w*BASE=docker\.io/amd64/python:(\S+)$", FIRST, re.MULTILINE)
    assert bases == ["3.11-slim-bookworm", "3.11-bookworm"]
    assert re.findall(r"^FROM (\S+)", FIRST, re.MULTILINE) == ["${BUILD_BASE}", "${BASE}"]


def test_nothing_secret_and_nothing_of_the_tests_gets_into_the_context() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*", "what is not named stays out"
    named = [line for line in lines if line.startswith("!")]
    assert named == ["!modules/gateway", "!tools/compile_line.py", "!tools/image_venv.py", "!build/image/wheels"]


def test_the_ports_and_folders_in_the_image_are_the_gateways_defaults() -> None:
    variables = dict(re.findall(r"(GATEWAY_\w+)=(\S+)", FIRST))
    environment = read_environment(variables)
    exposed = {int(port) for port in re.findall(r"^EXPOSE (.*)$", FIRST, re.MULTILINE)[0].split()}
    assert exposed == {environment.mqtt_port, environment.amqp_port, environment.websocket_port}
    assert f"-g 13699 {environment.data_dir}\n" in FIRST
    assert f"\nWORKDIR {environment.data_dir}\n" in FIRST


# Wheels


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_locked_requirement_is_a_wheel_or_is_compiled_for_a_reason(platform: str) -> None:
    compiled = {name for name, platforms in wheels.COMPILED.items() if platform in platforms}
    assert set(TABLE[platform]) | compiled == set(wheels.pinned(platform)), "make lock"
    assert not set(TABLE[platform]) & compiled, "there is a wheel: take it off the list of what is compiled"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_wheel_is_a_file_of_the_lock_and_runs_on_the_platform(platform: str) -> None:
    tags = {*wheels.tags_of(wheels.MACHINES[platform]), "any"}
    for name, pinned in wheels.pinned(platform).items():
        if (row := TABLE[platform].get(name)) is None:
            continue
        assert row["sha256"] in pinned.hashes, f"{name}: make lock"
        wheel, version, _, wheel_tags = parse_wheel_filename(row["file"])
        assert (wheel, str(version)) == (name, pinned.version)
        assert any(tag.platform in tags for tag in wheel_tags), row["file"]
        assert any(tag.interpreter in {"py3", "py311", "cp311"} or tag.abi == "abi3" for tag in wheel_tags)


def test_every_reason_to_compile_is_a_sentence_and_stands_in_the_docs() -> None:
    page = (ROOT / "docs/images.md").read_text()
    for name, platforms in wheels.COMPILED.items():
        assert all(len(reason) > 30 for reason in platforms.values())
        assert f"`{name}`" in page


def test_what_the_gateway_needs_is_what_the_lock_has() -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    named = {re.split(r"[ ;<>=]", each)[0].lower() for each in project["dependencies"]}
    assert named <= set(wheels.pinned("amd64"))
    assert "uvloop" not in wheels.pinned("arm32v7")


def test_a_lock_is_read_whole() -> None:
    text = (FOLDER / "requirements.lock").read_text()
    assert len(list(wheels.read_lock(text))) == len(re.findall(r"^[a-z0-9-]+==", text, re.MULTILINE))
    hashes = sum(len(each.hashes) for each in wheels.read_lock(text))
    assert hashes == text.count("--hash=sha256:")


# What `make image` says


def test_without_an_engine_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("IMAGE_ENGINE", raising=False)
    assert image.main(["--platform", "amd64"]) == 1
    assert "apt-get install podman" in capsys.readouterr().err


def programs(folder: Path, **code_of: int) -> str:
    """A folder of programs that do nothing but end with these codes."""
    for name, code in code_of.items():
        (folder / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_a_docker_that_cannot_build_leaves_it_to_podman(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("IMAGE_ENGINE", raising=False)
    monkeypatch.setenv("PATH", programs(tmp_path, docker=1, podman=0))
    assert image.engine() == "podman"
    monkeypatch.setenv("PATH", programs(tmp_path, docker=0))
    assert image.engine() == "docker"


@pytest.mark.parametrize("named", ["docker", ""])
def test_where_only_such_a_docker_is_it_says_what_to_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    monkeypatch.setenv("IMAGE_ENGINE", named)
    monkeypatch.setenv("PATH", programs(tmp_path, docker=1))
    with pytest.raises(image.ImageError, match="`docker info` fails: start docker and install its buildx"):
        image.engine()


def test_an_engine_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("IMAGE_ENGINE", "pod")
    assert image.main(["--platform", "amd64"]) == 1
    assert "IMAGE_ENGINE is 'pod'" in capsys.readouterr().err


@pytest.mark.parametrize(("engine", "words"), [("podman", "--format docker"), ("docker", "--platform linux/arm/v7")])
def test_each_engine_is_called_in_its_own_way(engine: str, words: str) -> None:
    command = image.build_command(engine, image.Wish(platform="arm32v7"))
    assert words in " ".join(command)
    assert f"--file {FOLDER / 'Dockerfile.arm32v7'}" in " ".join(command)
    assert any(word.startswith("REVISION=") for word in command)


def test_other_bases_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_BASE", "mine:1")
    monkeypatch.setenv("IMAGE_BUILD_BASE", "mine:2")
    command = " ".join(image.build_command("docker", image.Wish(platform="amd64")))
    assert "--build-arg BASE=mine:1 --build-arg BUILD_BASE=mine:2" in command


def test_names_follow_the_conventions() -> None:
    version = MODULE["image"]["tag"]["version"]
    assert image.Wish(platform="arm64v8").name == f"edge-gateway:{version}-arm64v8"
    assert image.Wish(platform="amd64", debug=True).name == f"edge-gateway:{version}-amd64.debug"


# Judged by hadolint


@pytest.mark.parametrize(
    "file", [*FOLDER.glob("Dockerfile.*"), ROOT / ".devcontainer/Dockerfile"], ids=lambda p: p.name
)
def test_a_dockerfile_has_nothing_that_hadolint_warns_of(file: Path) -> None:
    done = subprocess.run([HADOLINT, "--no-color", file], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
