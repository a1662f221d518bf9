"""The dev container, as far as it can be checked without a registry: valid by its schema, and fitting the project."""

import os
import re
import tomllib
from typing import Any

import json5
import jsonschema
import pytest

from project_sources import ROOT

FOLDER = ROOT / ".devcontainer"
SCHEMA: dict[str, Any] = json5.loads((ROOT / "tests/schemas/devContainer.base.schema.json").read_text())
VALIDATOR = jsonschema.Draft201909Validator(SCHEMA)


@pytest.fixture
def container() -> dict[str, Any]:
    document: dict[str, Any] = json5.loads((FOLDER / "devcontainer.json").read_text())
    return document


def test_it_is_valid_by_the_public_schema(container: dict[str, Any]) -> None:
    VALIDATOR.validate(container)


@pytest.mark.parametrize("fault", [{"postCreateComand": "x"}, {"features": "docker"}, {"runArgs": "--sysctl"}])
def test_the_schema_would_notice_a_fault(container: dict[str, Any], fault: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(container | fault)


def test_nothing_obsolete_is_used(container: dict[str, Any]) -> None:
    assert not {"extensions", "settings", "dockerFile", "devPort"} & set(container)


def test_docker_and_node_come_as_features_pinned_to_a_major_version(container: dict[str, Any]) -> None:
    names = [
        re.fullmatch(r"ghcr\.io/devcontainers/features/([a-z-]+):[1-9]\d*", name) for name in container["features"]
    ]
    assert {name[1] for name in names if name} == {"docker-in-docker", "node"}


def test_it_runs_a_script_that_exists(container: dict[str, Any]) -> None:
    assert os.access(ROOT / container["postCreateCommand"], os.X_OK)


def test_its_python_is_the_one_we_require(container: dict[str, Any]) -> None:
    dockerfile = (FOLDER / container["build"]["dockerfile"]).read_text()
    python = re.search(r"^FROM \S+/python:(\d+\.\d+)-bookworm$", dockerfile, re.MULTILINE)
    assert python
    for package in ("modules/gateway", "standin", "certs"):
        project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
        assert project["requires-python"] == f">={python[1]}"


def test_it_brings_mosquitto_and_its_clients(container: dict[str, Any]) -> None:
    words = (FOLDER / container["build"]["dockerfile"]).read_text().split()
    assert {"mosquitto", "mosquitto-clients", "openssl"} <= set(words)


def test_it_asks_for_packages_that_our_own_peers_are_installed_from(container: dict[str, Any]) -> None:
    # Debian 12 has each of those: CI installs them. A name that it does not have ends the build of the container.
    dockerfile = (FOLDER / container["build"]["dockerfile"]).read_text()
    found = re.search(r"--no-install-recommends \\\n(.*?)\\?\n    &&", dockerfile, re.DOTALL)
    assert found
    known = (ROOT / "tools/peers").read_text().replace('"', " ").split()
    assert set(found[1].replace("\\", " ").split()) <= set(known)


def test_the_program_that_builds_and_enters_it_is_a_target() -> None:
    assert re.search(
        r"^devcontainer-test: .*\n\t@tools/devcontainer_test$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert os.access(ROOT / "tools/devcontainer_test", os.X_OK)
