import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from edgeca.errors import CaError
from standin.certificates import Certificates, Issued


def leaf(issued: Issued) -> x509.Certificate:
    return x509.load_pem_x509_certificates(issued.chain.encode())[0]


def names(issued: Issued) -> list[str]:
    extension = leaf(issued).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in extension.value]


def test_a_second_start_has_the_same_root(tmp_path: Path) -> None:
    first = Certificates(tmp_path, edge_device="edge-1").trust_bundle
    assert Certificates(tmp_path, edge_device="edge-1").trust_bundle == first


def test_a_modules_server_certificate_names_what_the_daemon_names(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, edge_device="edge-1")
    assert names(certificates.issue_server("board.example", "gateway")) == ["board.example", "gateway"]
    assert names(certificates.issue_server("127.0.0.9", "$edgeHub")) == ["127.0.0.9", "edgehub"]
    assert names(certificates.issue_server("board.example", "a@b")) == ["board.example"]
    issued = certificates.issue_server("127.0.0.9", "gateway")
    alternatives = leaf(issued).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternatives.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.9")]


def test_the_chain_leads_from_the_module_over_the_edge_ca_to_the_root(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, edge_device="edge-1")
    server, edge_ca = x509.load_pem_x509_certificates(certificates.issue_server("h.example", "m").chain.encode())
    root = x509.load_pem_x509_certificate(certificates.trust_bundle.encode())
    server.verify_directly_issued_by(edge_ca)
    edge_ca.verify_directly_issued_by(root)


def test_the_days_are_kept(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, edge_device="edge-1", days=2)
    left = certificates.issue_server("h.example", "m").expires_at - datetime.now(UTC)
    assert timedelta(days=1) < left <= timedelta(days=2)


def test_an_identity_certificate_is_named_by_its_module(tmp_path: Path) -> None:
    issued = Certificates(tmp_path, edge_device="edge-1").issue_identity("gateway")
    assert leaf(issued).subject.rfc4514_string() == "CN=gateway"


def test_a_common_name_that_is_no_host_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaError, match="host name"):
        Certificates(tmp_path, edge_device="edge-1").issue_server("no host", "m")
