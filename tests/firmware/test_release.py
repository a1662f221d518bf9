"""The release key and its bundles: made by the tool, taken by the gateway's store and by boards."""

import stat
import subprocess
from pathlib import Path

import build
import pytest
import release
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.firmware.bundle import BundleError, Format, read_bundle
from gateway.firmware.release import ReleaseKey
from support.micropython import FIRMWARE


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, release.KEY_BITS)


def test_a_new_key_is_for_its_owner_alone_and_its_public_half_for_the_gateway(tmp_path: Path) -> None:
    path = tmp_path / "release.pem"
    made = release.keygen(path, b"")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert release.read_key(path).private_numbers() == made.private_numbers()
    signed = release.signed(made, model="m", version="1", serial=1, image=b"image", kind=Format.ROMFS)
    ReleaseKey(release.public_path(path)).check(read_bundle(signed).manifest)


def test_a_key_with_a_passphrase_opens_with_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "release.pem"
    release.keygen(path, b"secret words")
    assert release.is_locked(path)
    assert release.read_key(path, b"secret words").key_size == release.KEY_BITS
    for wrong in (b"", b"other"):
        with pytest.raises(release.ReleaseError):
            release.read_key(path, wrong)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "release.pem"
    release.keygen(path, b"")
    before = path.read_bytes()
    with pytest.raises(release.ReleaseError, match="there already"):
        release.keygen(path, b"")
    assert path.read_bytes() == before


def test_a_key_is_not_made_where_it_could_be_committed() -> None:
    path = release.ROOT / "build/release.pem"
    with pytest.raises(release.ReleaseError, match="inside the project"):
        release.keygen(path, b"")
    assert not path.exists()


@pytest.mark.parametrize("text", [b"", b"no key"])
def test_what_is_no_key_is_told(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "key").write_bytes(text)
    with pytest.raises(release.ReleaseError, match="release keygen"):
        release.read_key(tmp_path / "key")


@pytest.mark.parametrize(("version", "serial"), [("0.0.1", 1), ("1.2.3", 1_002_003), ("12.0.999", 12_000_999)])
def test_serials_grow_as_versions_do(version: str, serial: int) -> None:
    assert release.serial_of(version) == serial


@pytest.mark.parametrize("version", ["1", "1.2", "1.2.3-rc1", "1.2.1000", "v1.2.3", ""])
def test_a_version_without_an_order_needs_a_serial(version: str) -> None:
    with pytest.raises(release.ReleaseError, match="name one"):
        release.serial_of(version)


@pytest.mark.parametrize("kind", list(Format))
def test_a_bundle_is_the_program_of_the_board_and_the_same_every_time(key: rsa.RSAPrivateKey, kind: Format) -> None:
    first, second = (release.make_bundle(key, "nodemcu", "1.2.3", 7, kind) for _ in range(2))
    assert first == second
    bundle = read_bundle(first)
    manifest = bundle.manifest
    assert (manifest.model, manifest.version, manifest.serial, manifest.format) == ("nodemcu", "1.2.3", 7, kind)
    assert bundle.image.startswith(b"\xd2\xcd\x31" if kind is Format.ROMFS else release.FILES_MAGIC)
    for name in ("app", "board", "rescue", "update"):
        assert f"{name}.mpy".encode() in bundle.image


def test_names_that_no_gateway_takes_are_not_signed(key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(BundleError):
        release.signed(key, model="a/b", version="1", serial=1, image=b"image", kind=Format.ROMFS)


def test_the_command_makes_a_key_and_a_bundle_and_shows_it(tmp_path: Path) -> None:
    def command(*words: str | Path) -> str:
        done = subprocess.run(
            [FIRMWARE / "tools/release", *words], capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    assert "fingerprint" in command("keygen", tmp_path / "key", "--no-passphrase")
    out = tmp_path / "nodemcu.fw"
    said = command("bundle", "--key", tmp_path / "key", "--version", "1.2.0", "--out", out)
    assert "nodemcu 1.2.0, serial 1002000, romfs" in said
    assert command("show", out) == said
    assert read_bundle(out.read_bytes()).manifest.size < build.MAX_IMAGE
