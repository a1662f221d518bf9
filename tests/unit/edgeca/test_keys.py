import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from edgeca.errors import CaError
from edgeca.keys import KeyType, PrivateKey, describe, generate, read_key, write_key


@pytest.mark.parametrize("key_type", list(KeyType))
def test_a_generated_key_is_described_by_its_own_type(key_type: KeyType) -> None:
    key = generate(key_type)
    assert describe(key) == describe(key.public_key()) == key_type.value


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "EC secp384r1"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519PrivateKey"),
    ],
    ids=["P-384", "Ed25519"],
)
def test_foreign_keys_are_described_too(key: object, words: str) -> None:
    assert words in describe(key)


def test_keys_are_written_as_pkcs_8_and_read_back() -> None:
    key: PrivateKey = generate(KeyType.EC_P256)
    pem = write_key(key)
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert read_key(pem, "here").public_key() == key.public_key()


def test_a_key_with_a_password_is_refused_by_name() -> None:
    locked = generate(KeyType.EC_P256).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"1234")
    )
    with pytest.raises(CaError, match=r"root\.key\.pem holds no readable private key"):
        read_key(locked, "root.key.pem")


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\xff\x00"])
def test_garbage_is_no_key(pem: bytes) -> None:
    with pytest.raises(CaError, match="no readable private key"):
        read_key(pem, "x")


def test_a_kind_we_cannot_sign_with_is_refused() -> None:
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(CaError, match="works with EC and RSA"):
        read_key(pem, "x")
