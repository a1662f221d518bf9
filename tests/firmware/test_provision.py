"""What is put on a board before its first start."""

import json
from pathlib import Path

import build
import provision
import pytest
import release
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.firmware.bundle import Format, read_bundle


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, release.KEY_BITS)


@pytest.fixture(scope="module")
def bundle(key: rsa.RSAPrivateKey) -> bytes:
    return release.make_bundle(key, "nodemcu", "1.0.0", 1, Format.ROMFS)


def test_a_board_gets_starter_rescue_key_and_a_program_that_is_believed(key: rsa.RSAPrivateKey, bundle: bytes) -> None:
    files = provision.layout("nodemcu", key.public_key(), bundle, b'{"gateway": "gw"}')
    assert release.modulus(key.public_key()) in files["rescue.img"]
    assert files["a.img"] == read_bundle(bundle).image
    state = json.loads(files["boot.json"])
    assert (state["run"], state["a"]["version"], state["a"]["serial"]) == ("a", "1.0.0", 1)
    assert files["config.json"] == b'{"gateway": "gw"}'
    assert all(f"{name}.mpy".encode() in files["rescue.img"] for name in build.rescue("nodemcu"))


def test_a_board_without_romfs_gets_its_rescue_as_a_folder(key: rsa.RSAPrivateKey) -> None:
    bundle = release.make_bundle(key, "esp32", "1.0.0", 1, Format.FILES)
    files = provision.layout("esp32", key.public_key(), bundle)
    assert files["rescue/release.key"] == release.modulus(key.public_key())
    assert {f"rescue/{name}.mpy" for name in build.rescue("esp32")} <= files.keys()
    assert files["a.img"].startswith(release.FILES_MAGIC)


def test_what_starts_a_board_is_written_last(key: rsa.RSAPrivateKey, bundle: bytes) -> None:
    assert list(provision.layout("nodemcu", key.public_key(), bundle, b"{}"))[-2:] == ["boot.py", "main.py"]


def test_the_rescue_is_a_few_kilobytes(key: rsa.RSAPrivateKey, bundle: bytes) -> None:
    files = provision.layout("nodemcu", key.public_key(), bundle)
    assert len(files["rescue.img"]) < 22 * 1024  # of the 64 KiB that are its own


def test_a_bundle_for_another_board_is_refused(key: rsa.RSAPrivateKey, bundle: bytes) -> None:
    with pytest.raises(provision.ProvisionError, match="the board is: esp32"):
        provision.layout("esp32", key.public_key(), bundle)


def test_a_bundle_of_another_key_is_refused(bundle: bytes) -> None:
    other = rsa.generate_private_key(65537, release.KEY_BITS).public_key()
    with pytest.raises(provision.ProvisionError, match="not signed by this release key"):
        provision.layout("nodemcu", other, bundle)


def test_files_are_written_to_a_folder(tmp_path: Path) -> None:
    provision.write({"rescue/a.mpy": b"1", "boot.py": b"2"}, tmp_path)
    assert (tmp_path / "rescue/a.mpy").read_bytes() == b"1"
    assert (tmp_path / "boot.py").read_bytes() == b"2"


def test_the_serial_line_takes_them_in_order_and_restarts_at_the_end() -> None:
    calls = provision.commands({"rescue/a.mpy": b"", "boot.py": b"", "main.py": b""}, Path("/folder"), "/dev/ttyUSB0")
    assert all(call[1:3] == ["connect", "/dev/ttyUSB0"] for call in calls)
    assert "os.remove(n)" in calls[0][-1]  # a board with a program would start it between two calls
    assert [call[-1] for call in calls[2:]] == [":rescue/a.mpy", ":boot.py", ":main.py", "reset"]


def test_an_image_of_the_rescue_is_put_into_the_partition_before_the_board_may_start() -> None:
    calls = provision.commands({"rescue.img": b"", "boot.py": b"", "main.py": b""}, Path("/folder"), "/dev/ttyUSB0")
    ends = [call[-1].rpartition("/")[2] for call in calls[2:]]
    assert ends == [":rescue.img", "install.py", ":boot.py", ":main.py", "reset"]


@pytest.mark.parametrize("text", [b"", b"no key"])
def test_what_is_no_public_key_is_told(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "key").write_bytes(text)
    with pytest.raises(provision.ProvisionError, match="no public key"):
        provision.read_public(tmp_path / "key")
