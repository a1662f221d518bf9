"""The Node packages that tests run: pinned, each with its digest, from the public registry and no other."""

import json
from pathlib import Path

from project_sources import ROOT

NODE = ROOT / "tests/peers/node"
REGISTRY = "https://registry.npmjs.org/"


def lock() -> dict[str, dict[str, object]]:
    packages: dict[str, dict[str, object]] = json.loads((NODE / "package-lock.json").read_text())["packages"]
    return packages


def test_each_package_is_from_the_public_registry_with_a_digest() -> None:
    bundled = {name for name, package in lock().items() if package.get("inBundle")}  # in another one, under its digest
    packages = {name: package for name, package in lock().items() if name and name not in bundled}
    assert packages
    assert all(name.startswith("node_modules/npm/") for name in bundled)
    for name, package in packages.items():
        assert str(package["resolved"]).startswith(REGISTRY), name
        assert str(package["integrity"]).startswith("sha512-"), name


def test_what_we_ask_for_is_pinned_and_is_what_is_locked() -> None:
    wanted = json.loads((NODE / "package.json").read_text())["dependencies"]
    assert lock()[""]["dependencies"] == wanted
    for name, version in wanted.items():
        assert lock()[f"node_modules/{name}"]["version"] == version


def test_each_program_needs_only_what_we_ask_for_and_node_itself() -> None:
    wanted = json.loads((NODE / "package.json").read_text())["dependencies"]
    for program in NODE.glob("*.js"):
        for line in _requires(program):
            own = line.startswith("./") or line in {"crypto", "fs", "https"}
            assert own or line in wanted, f"{program.name}: {line}"


def _requires(program: Path) -> list[str]:
    return [part.split("'")[1] for part in program.read_text().split("require(")[1:]]
