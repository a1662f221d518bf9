import pytest
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from edgeca.authority import Authority, self_signed_device
from edgeca.keys import KeyType
from edgeca.pfx import new_password, write_old_pfx, write_pfx


@pytest.mark.parametrize("write", [write_pfx, write_old_pfx])
@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.RSA_2048])
def test_a_pfx_holds_key_certificate_and_issuers(write: object, key_type: KeyType) -> None:
    assert callable(write)
    device = Authority.create(key_type=key_type).issue_device("d1")
    read = load_pkcs12(write(device, "device d1", b"secret"), b"secret")
    assert read.cert is not None
    assert (read.cert.certificate, read.cert.friendly_name) == (device.certificate, b"device d1")
    assert {each.certificate for each in read.additional_certs} == set(device.issuers)
    assert read.key is not None
    assert read.key.public_key() == device.key.public_key()
    with pytest.raises(ValueError, match="password"):
        load_pkcs12(write(device, "device d1", b"secret"), b"other")


def test_one_without_issuers_is_taken_too() -> None:
    alone = self_signed_device("d1")
    assert load_pkcs12(write_pfx(alone, "d1", b"x"), b"x").additional_certs == []


def test_passwords_are_long_and_never_twice_the_same() -> None:
    made = {new_password() for _ in range(10)}
    assert len(made) == 10
    assert {len(password) for password in made} == {24}
