import pytest

from edgeca.authority import MAX_NAME, Authority, self_signed_device
from edgeca.credential import Credential, read_certificates
from edgeca.errors import CaError
from edgeca.keys import KeyType, describe
from edgeca.names import alternative_names, common_name

AUTHORITY = Authority.create("Plant 4")


def test_two_authorities_of_one_name_are_told_apart() -> None:
    assert AUTHORITY.name == Authority.create("Plant 4").name == "Plant 4"
    first, second = (common_name(each.root.certificate) for each in (AUTHORITY, Authority.create("Plant 4")))
    assert first.startswith("Plant 4 root CA ")
    assert first != second


@pytest.mark.parametrize("name", ["", " ", "x" * (MAX_NAME + 1)])
def test_a_name_must_fit(name: str) -> None:
    with pytest.raises(CaError, match="give it 1 to 40"):
        Authority.create(name)
    assert Authority.create("x" * MAX_NAME).name == "x" * MAX_NAME


def test_the_trust_bundle_is_the_root() -> None:
    assert read_certificates(AUTHORITY.trust_bundle_pem, "bundle") == (AUTHORITY.root.certificate,)


def issuers_of(credential: Credential) -> list[str]:
    return [common_name(each).removeprefix("Plant 4 ").rpartition(" ")[0] for each in credential.issuers]


def test_every_leaf_has_one_intermediate_and_edge_cas_have_none() -> None:
    assert issuers_of(AUTHORITY.issue_edge_ca("pi")) == ["root CA"]
    assert issuers_of(AUTHORITY.prove("CODE")) == ["root CA"]
    for leaf in (AUTHORITY.issue_server(["a"]), AUTHORITY.issue_device("a"), AUTHORITY.issue_edge_id("a")):
        assert issuers_of(leaf) == ["issuing CA", "root CA"]


def test_an_edge_ca_signs_servers_as_iot_edge_does_for_its_modules() -> None:
    edge_ca = AUTHORITY.issue_edge_ca("pi")
    server = AUTHORITY.issue_server(["gateway.local"], issuer=edge_ca)
    assert server.issuers == (edge_ca.certificate, AUTHORITY.root.certificate)
    server.certificate.verify_directly_issued_by(edge_ca.certificate)


def test_ids_are_the_common_names() -> None:
    assert common_name(AUTHORITY.issue_device("board-1").certificate) == "board-1"
    assert common_name(AUTHORITY.issue_edge_id("pi").certificate) == "pi"
    assert common_name(AUTHORITY.prove("A1B2").certificate) == "A1B2"
    assert common_name(self_signed_device("board-1").certificate) == "board-1"


def test_the_common_name_of_an_edge_ca_is_never_a_host_name() -> None:
    assert common_name(AUTHORITY.issue_edge_ca("pi.local").certificate) == "pi.local edge CA"


def test_an_edge_ca_name_that_gets_too_long_says_how_long_it_may_be() -> None:
    assert common_name(AUTHORITY.issue_edge_ca("x" * 56).certificate) == "x" * 56 + " edge CA"
    with pytest.raises(CaError, match="at most 56"):
        AUTHORITY.issue_edge_ca("x" * 57)


def test_the_first_name_that_fits_is_the_common_name_of_a_server() -> None:
    long = ".".join(["x" * 40, "y" * 40])
    certificate = AUTHORITY.issue_server([long, "short"]).certificate
    assert common_name(certificate) == "short"
    assert alternative_names(certificate) == (long, "short")
    assert common_name(AUTHORITY.issue_server([long]).certificate) == ""


def test_a_self_signed_device_may_have_an_id_longer_than_a_common_name() -> None:
    assert common_name(self_signed_device("x" * 128).certificate) == "x" * 64


def test_leaves_have_keys_of_the_roots_kind_unless_asked_otherwise() -> None:
    rsa = Authority.create(key_type=KeyType.RSA_2048)
    assert rsa.key_type is KeyType.RSA_2048
    assert describe(rsa.issuing.key) == describe(rsa.issue_server(["a"]).key) == "RSA 2048"
    assert describe(rsa.issue_device("a", key_type=KeyType.EC_P256).key) == "EC P-256"
    assert describe(self_signed_device("a", key_type=KeyType.RSA_2048).key) == "RSA 2048"


@pytest.mark.parametrize("device_id", ["", "a b", "x" * 65])
def test_an_id_that_cannot_be_is_refused(device_id: str) -> None:
    with pytest.raises(CaError, match="device id"):
        AUTHORITY.issue_device(device_id)
