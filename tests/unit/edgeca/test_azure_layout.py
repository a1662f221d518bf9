from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from edgeca import azure_layout
from edgeca.folder import Folder, Made
from edgeca.profiles import Kind

# The names of certGen.sh and ca-certs.ps1: conventions.md §2.1.
NAMES = {
    "root": "azure-iot-test-only.root.ca",
    "issuing": "azure-iot-test-only.intermediate",
    "edge-ca pi": "iot-edge-device-ca-pi",
    "edge-id pi": "iot-edge-device-identity-pi",
    "device d?1": "iot-device-d%3F1",
    "self-signed d2.primary": "iot-device-d2-primary",
    "self-signed d2.secondary": "iot-device-d2-secondary",
    "server gateway.local": "iot-edge-server-gateway.local",
    "proof A1": "iot-device-verification-code",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    folder = Folder(tmp_path_factory.mktemp("azure"))
    everything = [*folder.init(), folder.edge_ca("pi"), folder.edge_id("pi"), folder.device("d?1")]
    return [*everything, *folder.self_signed("d2"), folder.server(["gateway.local"]), folder.proof("A1")]


def test_each_kind_has_the_name_that_guides_use(made: list[Made]) -> None:
    assert {each.entry.label: azure_layout.prefix_of(each.entry) for each in made} == NAMES


def test_copies_hold_what_the_scripts_would_have_left(made: list[Made]) -> None:
    for each in made:
        directory, prefix = each.entry.directory, azure_layout.prefix_of(each.entry)
        written = azure_layout.export(each.entry, each.credential)
        assert all(path.exists() for path in written)
        assert (directory / f"certs/{prefix}.cert.pem").read_bytes() == each.credential.certificate_pem
        key = directory / f"private/{prefix}.key.pem"
        assert key.read_bytes() == each.credential.key_pem
        assert key.stat().st_mode & 0o777 == 0o600
        chain = directory / f"certs/{prefix}-full-chain.cert.pem"
        has_issuers = bool(each.credential.issuers)
        assert chain.exists() is has_issuers
        assert not has_issuers or chain.read_bytes() == each.credential.full_chain_pem
        pfx = directory / f"certs/{prefix}.cert.pfx"
        assert pfx.exists() is (each.entry.kind is not Kind.ROOT)
        if pfx.exists():
            read = load_pkcs12(pfx.read_bytes(), b"1234").cert
            assert read is not None
            assert read.certificate == each.credential.certificate
            assert pfx.stat().st_mode & 0o777 == 0o600


def test_copies_are_no_certificates_of_the_folder(made: list[Made], tmp_path: Path) -> None:
    from edgeca.files import entries

    directory = made[0].entry.directory
    for each in made:
        azure_layout.export(each.entry, each.credential)
    assert {entry.label for entry in entries(directory)} == set(NAMES)
