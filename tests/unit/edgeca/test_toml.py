import tomllib
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pytest

from edgeca.errors import CaError, Refused
from edgeca.folder import Folder
from edgeca.toml import config_lines


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.init()
    return folder


def test_the_lines_name_the_trust_bundle_and_the_edge_ca(folder: Folder) -> None:
    folder.edge_ca("pi")
    assert tomllib.loads(config_lines(folder, "pi")) == {
        "trust_bundle_cert": "file:///etc/aziot/certificates/trust-bundle.pem",
        "edge_ca": {
            "cert": "file:///etc/aziot/certificates/edge-ca-pi.full-chain.pem",
            "pk": "file:///etc/aziot/certificates/edge-ca-pi.key.pem",
        },
    }


def test_an_identity_is_named_where_there_is_one(folder: Folder) -> None:
    folder.edge_ca("pi")
    folder.edge_id("pi")
    assert tomllib.loads(config_lines(folder, "pi", PurePosixPath("/x")))["provisioning"]["attestation"] == {
        "method": "x509",
        "registration_id": "pi",
        "identity_cert": "file:///x/edge-id-pi.full-chain.pem",
        "identity_pk": "file:///x/edge-id-pi.key.pem",
    }


@pytest.mark.parametrize("name", ["pi", "a?b%'#"])
def test_every_uri_is_the_target_of_a_file_that_exists(folder: Folder, name: str) -> None:
    folder.edge_ca(name)
    folder.edge_id(name)
    text = config_lines(folder, name, PurePosixPath("/my certificates"))
    copies = [line[4:].rsplit("  (", 1)[0].split(" -> ") for line in text.splitlines() if " -> " in line]
    assert all(Path(source).is_file() for source, _ in copies)
    document = tomllib.loads(text)
    attestation = document["provisioning"]["attestation"]
    uris = [
        document["trust_bundle_cert"],
        *document["edge_ca"].values(),
        attestation["identity_cert"],
        attestation["identity_pk"],
    ]
    assert {unquote(urlsplit(uri).path) for uri in uris} == {target for _, target in copies}


def test_a_name_without_edge_ca_says_how_to_make_it(folder: Folder) -> None:
    with pytest.raises(Refused, match="edgeca edge-ca pi"):
        config_lines(folder, "pi")


def test_a_relative_place_is_refused(folder: Folder) -> None:
    folder.edge_ca("pi")
    with pytest.raises(CaError, match="whole path"):
        config_lines(folder, "pi", PurePosixPath("certificates"))


# The top-level keys and sections of config.toml in IoT Edge 1.6.
KNOWN = {
    *("hostname", "parent_hostname", "trust_bundle_cert", "allow_elevated_docker_permissions"),
    *("auto_reprovisioning_mode", "prefer_module_identity_cache", "cloud_timeout_sec", "cloud_retries"),
    *("provisioning", "cert_issuance", "tpm", "aziot_keys", "agent", "connect", "listen", "watchdog", "edge_ca"),
    *("image_garbage_collection", "moby_runtime"),
}


def test_every_line_is_one_that_iot_edge_knows(folder: Folder) -> None:
    folder.edge_ca("pi")
    folder.edge_id("pi")
    assert set(tomllib.loads(config_lines(folder, "pi", host_name="pi.local"))) <= KNOWN


@pytest.mark.parametrize("name", ["pi-hall-3.local", "192.168.1.10", "PI.Local"])
def test_the_name_that_devices_dial_stands_before_the_first_section(folder: Folder, name: str) -> None:
    folder.edge_ca("pi")
    assert tomllib.loads(config_lines(folder, "pi", host_name=name))["hostname"] == name.lower()


def test_a_name_that_nobody_can_dial_is_refused(folder: Folder) -> None:
    folder.edge_ca("pi")
    with pytest.raises(CaError, match="is neither a host name nor an IP address"):
        config_lines(folder, "pi", host_name='x"\nevil = "1')
