"""The scripts that answer to the commands of Microsoft's: run by a plain shell, judged by OpenSSL."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeca.cli import _ACTIONS
from edgeca.keys import KeyType, generate, write_key
from project_sources import ROOT

EDGECA = Path(sys.executable).parent / "edgeca"
SH = shutil.which("sh") or ""
OPENSSL = shutil.which("openssl") or ""
POWERSHELL = (ROOT / "certs/ca-certs.ps1").read_text()


def cert_gen(folder: Path, *words: str, days: str = "") -> "subprocess.CompletedProcess[str]":
    """The script with nothing in its environment but where edgeca is: no terminal, no PATH beyond the system's own."""
    environment = {"EDGECA": str(EDGECA), "PATH": "/usr/bin:/bin"} | ({"DEFAULT_VALIDITY_DAYS": days} if days else {})
    script = ROOT / "certs/certGen.sh"
    command = [SH, str(script), *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=110
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All commands of the script, one after the other. The root is one made elsewhere: RSA 4096 takes seconds."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "own.key.pem").write_bytes(write_key(generate(KeyType.EC_P256)))
    made = [OPENSSL, "req", "-x509", "-new", "-key", "own.key.pem", "-subj", "/C=US/O=Own/CN=Own Root", "-days", "99"]
    subprocess.run([*made, "-out", "own.pem"], cwd=folder, check=True, capture_output=True)
    for words in (
        ["install_root_ca_from_files", "own.pem", "own.key.pem"],
        ["create_edge_device_ca_certificate", "pi"],
        ["create_edge_device_identity_certificate", "pi"],
        ["create_edge_server_certificate", "gateway.local", "10.0.0.5"],
        ["create_device_certificate", "board-1"],
        ["create_verification_certificate", "A1B2C3"],
    ):
        done = cert_gen(folder, *words)
        assert (done.returncode, done.stderr) == (0, ""), words
    return folder


def test_asked_twice_nothing_changes(site: Path) -> None:
    before = (site / "certs/iot-device-board-1.cert.pem").read_bytes()
    assert "nothing to do, it is there already" in cert_gen(site, "create_device_certificate", "board-1").stdout
    assert (site / "certs/iot-device-board-1.cert.pem").read_bytes() == before


NAMES = [
    "azure-iot-test-only.intermediate",
    "iot-edge-device-ca-pi",
    "iot-edge-device-identity-pi",
    "iot-edge-server-gateway.local",
    "iot-device-board-1",
    "iot-device-verification-code",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_files_that_guides_name_are_there_and_verify(site: Path, name: str) -> None:
    root = site / "certs/azure-iot-test-only.root.ca.cert.pem"
    chain = site / f"certs/{name}-full-chain.cert.pem"
    certificate = site / f"certs/{name}.cert.pem"
    done = subprocess.run(
        [OPENSSL, "verify", "-CAfile", root, "-untrusted", chain, certificate],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    opened = subprocess.run(
        [OPENSSL, "pkcs12", "-in", site / f"certs/{name}.cert.pfx", "-passin", "pass:1234", "-nodes"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert opened.returncode == 0, opened.stderr
    assert "PRIVATE KEY" in opened.stdout
    assert (site / f"private/{name}.key.pem").stat().st_mode & 0o777 == 0o600


def test_the_root_that_was_brought_is_the_root(site: Path) -> None:
    assert (site / "certs/azure-iot-test-only.root.ca.cert.pem").read_bytes() == (site / "own.pem").read_bytes()
    assert (site / "trust-bundle.pem").read_bytes() == (site / "own.pem").read_bytes()


def test_days_are_set_by_the_variable_of_the_script(site: Path) -> None:
    done = cert_gen(site, "create_device_certificate", "short", days="7")
    assert "(6 days left)" in done.stdout  # and some hours


@pytest.mark.parametrize("words", [[], ["create"], ["create_device_certificate"], ["install_root_ca_from_files", "x"]])
def test_wrong_usage_shows_the_commands(tmp_path: Path, words: list[str]) -> None:
    done = cert_gen(tmp_path, *words)
    assert done.returncode == 2
    assert "create_root_and_intermediate" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_new_root_is_rsa_as_the_scripts_is(tmp_path: Path) -> None:
    assert cert_gen(tmp_path, "create_root_and_intermediate").returncode == 0
    shown = subprocess.run(
        [OPENSSL, "x509", "-in", tmp_path / "certs/azure-iot-test-only.root.ca.cert.pem", "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "(4096 bit)" in shown.stdout


def test_the_powershell_script_calls_commands_that_there_are() -> None:
    """PowerShell cannot be had here: its words are compared with the command line's."""
    called = set(re.findall(r"@\('([a-z][a-z-]+)'", POWERSHELL))
    assert called == {"init", "edge-ca", "edge-id", "server", "device", "proof"}
    assert called <= set(_ACTIONS)
    functions = re.findall(r"^function ([A-Za-z-]+)", POWERSHELL, re.MULTILINE)
    assert {"New-CACertsCertChain", "New-CACertsEdgeDevice", "New-CACertsDevice", "New-CACertsEdgeServer"} <= set(
        functions
    )
    assert {"New-CACertsVerificationCert", "Install-RootCACertificate", "Test-CACertsPrerequisites"} <= set(functions)
    assert POWERSHELL.count("{") == POWERSHELL.count("}")
    assert POWERSHELL.count("(") == POWERSHELL.count(")")
