"""docs/pi.md and its files: what they name is what the template, the CA tool and the gateway have."""

import json
import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.x509 import load_pem_x509_certificate

from edgeca.folder import Folder
from edgeca.toml import config_lines
from project_sources import ROOT

PAGE: Final = (ROOT / "docs/pi.md").read_text(encoding="utf-8")
EXAMPLES: Final = ROOT / "docs/examples"
NAME: Final = "pi-hall-3"
SERVICED_UNTIL: Final = date(2028, 11, 14)
SECOND_A_DAY: Final = 86_400

KNOWN: Final[dict[str, frozenset[str]]] = {
    "": frozenset(
        (
            *("hostname", "parent_hostname", "trust_bundle_cert", "allow_elevated_docker_permissions"),
            *("auto_reprovisioning_mode", "prefer_module_identity_cache", "cloud_timeout_sec", "cloud_retries"),
            *("provisioning", "cert_issuance", "tpm", "aziot_keys", "agent", "connect", "listen", "watchdog"),
            *("edge_ca", "image_garbage_collection", "moby_runtime"),
        )
    ),
    "provisioning": frozenset(("source", "global_endpoint", "id_scope", "attestation", "authentication")),
    "provisioning.attestation": frozenset(("method", "registration_id", "identity_cert", "identity_pk")),
    "edge_ca": frozenset(("cert", "pk", "auto_generated_edge_ca_expiry_days", "auto_renew")),
    "agent": frozenset(("name", "type", "imagePullPolicy", "config", "env")),
    "agent.config": frozenset(("image", "createOptions", "auth")),
    "image_garbage_collection": frozenset(
        ("enabled", "cleanup_recurrence", "image_age_cleanup_threshold", "cleanup_time")
    ),
}
"""Of IoT Edge 1.6 (conventions.md §1.5); `agent.env` holds names of variables."""


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return tomllib.loads((EXAMPLES / "config.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `edgeca toml` prints for the Pi of the page."""
    folder = Folder(tmp_path_factory.mktemp("ca"))
    folder.init()
    folder.edge_ca(NAME)
    folder.edge_id(NAME)
    return config_lines(folder, NAME)


def tables(found: dict[str, Any], path: str = "") -> dict[str, dict[str, Any]]:
    """Every table by its path."""
    inner = {path: found}
    for name, value in found.items():
        if isinstance(value, dict):
            inner |= tables(value, f"{path}.{name}".lstrip("."))
    return inner


def test_every_key_of_config_toml_is_one_that_iot_edge_knows(config: dict[str, Any]) -> None:
    for path, table in tables(config).items():
        if path != "agent.env":
            assert set(table) <= KNOWN[path], path


def test_it_is_what_the_ca_tool_prints(config: dict[str, Any], printed: str) -> None:
    theirs = tomllib.loads(printed)
    assert config["trust_bundle_cert"] == theirs["trust_bundle_cert"]
    assert config["edge_ca"] == theirs["edge_ca"]
    assert config["provisioning"]["attestation"] == theirs["provisioning"]["attestation"]


def test_every_file_it_names_is_one_that_the_ca_tool_has_copied(printed: str) -> None:
    named = set(re.findall(r'"file://([^"]+)"', (EXAMPLES / "config.toml").read_text()))
    copied = set(re.findall(r"-> (\S+) ", printed))
    assert named == copied
    assert len(copied) == 5
    assert "five files" in PAGE


def test_the_agent_is_the_templates(config: dict[str, Any]) -> None:
    for name in ("deployment.template.json", "deployment.debug.template.json"):
        agent = json.loads((ROOT / name).read_text())["modulesContent"]["$edgeAgent"]["properties.desired"]
        assert config["agent"]["config"]["image"] == agent["systemModules"]["edgeAgent"]["settings"]["image"]
    assert f"{SERVICED_UNTIL:%-d %B %Y}" in PAGE


def test_nothing_secret_and_nothing_inline_is_in_it(config: dict[str, Any]) -> None:
    text = (EXAMPLES / "config.toml").read_text()
    assert not re.search(r"SharedAccess|-----BEGIN|value\s*=", text)
    assert config["hostname"] == f"{NAME}.local"
    assert config["allow_elevated_docker_permissions"] is False


def test_the_engine_rotates_logs_and_knows_name_servers() -> None:
    daemon = json.loads((EXAMPLES / "daemon.json").read_text())
    assert daemon["log-driver"] == "local"
    assert set(daemon["log-opts"]) == {"max-size", "max-file"}
    assert all(isinstance(value, str) for value in daemon["log-opts"].values()), "Docker takes texts only"
    assert daemon["dns"]


def test_folders_are_made_as_the_page_of_deployments_says() -> None:
    lines = re.findall(r"^sudo install .+$", (ROOT / "docs/deployment.md").read_text(), re.MULTILINE)
    assert re.findall(r"^sudo install -d .+$", PAGE, re.MULTILINE) == lines
    assert len(lines) == 3


def test_the_commands_of_the_ca_tool_work(tmp_path: Path) -> None:
    from edgeca.cli import main

    commands = re.findall(r"^edgeca (.+)$", PAGE, re.MULTILINE)
    assert commands == ["init", f"edge-ca {NAME}", f"edge-id {NAME}", f"toml {NAME}"]
    for command in [*commands, "server pi-hall-3.local 192.168.1.10", "proof CODE --ca issuing"]:
        assert f"edgeca {command}" in PAGE
        assert main([*command.split(), "--dir", str(tmp_path)]) == 0
    uploaded = load_pem_x509_certificate((tmp_path / "issuing.cert.pem").read_bytes())
    proof = load_pem_x509_certificate((tmp_path / "proof/CODE.cert.pem").read_bytes())
    proof.verify_directly_issued_by(uploaded)


WEAR: Final = re.findall(r"^\| (256 B|1 KB) \| ([\d.]+) \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)


def test_there_are_figures_of_wear_for_two_sizes_and_four_rates() -> None:
    assert {(size, rate) for size, rate, *_ in WEAR} == {
        (size, rate) for size in ("256 B", "1 KB") for rate in ("0.5", "10", "100", "1000")
    }


@pytest.mark.parametrize("row", WEAR, ids=lambda row: f"{row[0]} {row[1]}")
def test_figures_of_wear_follow_from_what_was_measured(row: tuple[str, ...]) -> None:
    _, rate, per_message, per_day, per_year = row
    a_day = float(rate) * int(per_message.replace(",", "")) * SECOND_A_DAY
    assert float(per_day) == pytest.approx(a_day / 1e9, rel=0.02)
    assert float(per_year) == pytest.approx(a_day * 365 / 1e12, rel=0.02)


def test_the_example_of_years_is_right() -> None:
    of = {(size, rate): float(per_year) for size, rate, _, _, per_year in WEAR}
    assert "rating of 60 TB and a factor of 5" in PAGE
    assert round(60 / 5 / of["256 B", "10"]) == 6
    assert round(60 / 5 / of["256 B", "100"] * 12) in (9, 10)
