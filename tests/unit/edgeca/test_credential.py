import hashlib
import re
import ssl

import pytest

from edgeca.authority import Authority, self_signed_device
from edgeca.credential import read_certificates, thumbprint_sha1, thumbprint_sha256
from edgeca.errors import CaError

AUTHORITY = Authority.create()
SERVER = AUTHORITY.issue_server(["gateway.local"])


def test_the_chain_is_leaf_first_without_the_root() -> None:
    chain = read_certificates(SERVER.chain_pem, "chain")
    assert chain == (SERVER.certificate, AUTHORITY.issuing.certificate)


def test_the_full_chain_is_leaf_first_with_the_root() -> None:
    chain = read_certificates(SERVER.full_chain_pem, "chain")
    assert chain == (SERVER.certificate, AUTHORITY.issuing.certificate, AUTHORITY.root.certificate)


def test_what_signed_itself_is_its_own_chain() -> None:
    device = self_signed_device("board-1")
    assert device.chain_pem == device.full_chain_pem == device.certificate_pem


def test_the_key_belongs_to_the_certificate() -> None:
    assert b"BEGIN PRIVATE KEY" in SERVER.key_pem
    assert SERVER.key.public_key() == SERVER.certificate.public_key()


def test_thumbprints_are_digests_of_the_der_form_in_hex_without_colons() -> None:
    der = ssl.PEM_cert_to_DER_cert(SERVER.certificate_pem.decode())
    assert thumbprint_sha1(SERVER.certificate) == hashlib.sha1(der).hexdigest().upper()
    assert thumbprint_sha256(SERVER.certificate) == hashlib.sha256(der).hexdigest().upper()
    assert re.fullmatch("[0-9A-F]{40}", thumbprint_sha1(SERVER.certificate))
    assert re.fullmatch("[0-9A-F]{64}", thumbprint_sha256(SERVER.certificate))


@pytest.mark.parametrize("pem", [b"", b"hello", SERVER.key_pem, SERVER.certificate_pem[:300]])
def test_a_file_without_a_certificate_is_named(pem: bytes) -> None:
    with pytest.raises(CaError, match=r"x\.pem holds no readable certificate"):
        read_certificates(pem, "x.pem")
