from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.firmware.release import ReleaseKey, ReleaseKeyError, read_release_key
from support.bundles import another_key, make_bundle, members, release_key, write_public_key

PEM = serialization.Encoding.PEM
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo


def test_what_the_release_key_signed_is_good(tmp_path: Path) -> None:
    ReleaseKey(write_public_key(tmp_path / "key.pem")).check(make_bundle().manifest)


def test_what_another_key_signed_is_refused(tmp_path: Path) -> None:
    key = ReleaseKey(write_public_key(tmp_path / "key.pem"))
    with pytest.raises(ReleaseKeyError, match="not signed by the release key"):
        key.check(make_bundle(key=another_key()).manifest)


@pytest.mark.parametrize(
    ("name", "value"), [("serial", 3), ("version", "1.1.1"), ("model", "esp32"), ("size", 9), ("sha256", "0" * 64)]
)
def test_the_signature_covers_every_member(tmp_path: Path, name: str, value: object) -> None:
    import json

    from gateway.firmware.bundle import read_manifest

    key = ReleaseKey(write_public_key(tmp_path / "key.pem"))
    with pytest.raises(ReleaseKeyError):
        key.check(read_manifest(json.dumps(members() | {name: value}).encode()))


def test_without_a_file_there_is_no_key() -> None:
    assert read_release_key(None) is None


def test_a_private_key_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    no_password = serialization.NoEncryption()
    path.write_bytes(release_key().private_bytes(PEM, serialization.PrivateFormat.PKCS8, no_password))
    with pytest.raises(ReleaseKeyError, match="Take it off this machine"):
        read_release_key(path)


@pytest.mark.parametrize("what", ["missing", "empty", "elliptic", "long"])
def test_what_is_no_rsa_key_of_2048_bits_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "key.pem"
    if what == "empty":
        path.write_bytes(b"")
    elif what == "elliptic":
        path.write_bytes(ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(PEM, PUBLIC))
    elif what == "long":
        path.write_bytes(rsa.generate_private_key(65_537, 3_072).public_key().public_bytes(PEM, PUBLIC))
    with pytest.raises(ReleaseKeyError, match="GATEWAY_RELEASE_KEY"):
        read_release_key(path)
