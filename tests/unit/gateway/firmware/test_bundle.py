import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.firmware.bundle import BundleError, is_name, is_sha256, read_bundle, read_manifest, write_bundle
from support.bundles import image_of, make_bundle, members

GOOD = members()


def with_(**changed: Any) -> bytes:
    return json.dumps(GOOD | changed).encode()


def packed(manifest: bytes, image: bytes) -> bytes:
    return len(manifest).to_bytes(4, "big") + manifest + image


def test_a_bundle_is_its_length_its_manifest_and_its_image() -> None:
    manifest = with_()
    bundle = read_bundle(packed(manifest, image_of("1.1.0")))
    assert (bundle.manifest.model, bundle.manifest.version, bundle.manifest.serial) == ("nodemcu", "1.1.0", 2)
    assert bundle.manifest.text == manifest
    assert bundle.image == image_of("1.1.0")
    assert write_bundle(bundle) == packed(manifest, image_of("1.1.0"))


def test_the_signed_text_is_the_one_that_boards_put_together() -> None:
    sha256 = hashlib.sha256(image_of("1.1.0")).hexdigest()
    assert (
        make_bundle().manifest.signed_text == f"edge-firmware-1\nnodemcu\n1.1.0\n2\n10000\n{sha256}\nromfs\n".encode()
    )


def test_a_bundle_cut_anywhere_or_with_more_behind_it_is_refused() -> None:
    data = packed(with_(), image_of("1.1.0", 10_000))
    for end in (*range(700), len(data) - 1):
        with pytest.raises(BundleError):
            read_bundle(data[:end])
    with pytest.raises(BundleError, match="10001"):
        read_bundle(data + b"?")


def test_an_image_that_is_not_the_manifests_is_refused() -> None:
    image = bytearray(image_of("1.1.0"))
    image[5_000] ^= 1
    with pytest.raises(BundleError, match="SHA-256"):
        read_bundle(packed(with_(), bytes(image)))


@pytest.mark.parametrize("length", [0, 1_025, 0xFFFFFFFF])
def test_a_length_that_no_manifest_has_is_refused_before_it_is_believed(length: int) -> None:
    with pytest.raises(BundleError, match="length of a manifest"):
        read_bundle(length.to_bytes(4, "big") + bytes(2_000))


PATHS = [
    "",
    ".",
    "..",
    "../x",
    "/etc",
    "a/b",
    "a\\b",
    "a\0",
    "a\n",
    "%2e%2e",
    "-a",
    ".a",
    "a b",
    "x" * 41,
    "é",
    "\uff11",
]


@pytest.mark.parametrize("text", PATHS)
def test_what_could_be_another_path_is_no_name(text: str) -> None:
    assert not is_name(text)
    for member in ("model", "version"):
        with pytest.raises(BundleError, match=member):
            read_manifest(with_(**{member: text}))


def test_names_and_hashes() -> None:
    assert all(map(is_name, ["1.1.0", "nodemcu", "esp32_s3", "2026-11-21", "a..b"]))
    assert is_sha256("0" * 64)
    assert not any(map(is_sha256, ["0" * 63, "0" * 65, "A" * 64, "0" * 63 + "/", "0" * 64 + "\n"]))


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"serial": 0}, "serial"),
        ({"serial": True}, "serial"),
        ({"serial": 1.0}, "serial"),
        ({"serial": "2"}, "serial"),
        ({"serial": 2**53}, "serial"),
        ({"size": 0}, "size"),
        ({"size": 1_048_577}, "size"),
        ({"model": 1}, "text"),
        ({"sha256": "A" * 64}, "sha256"),
        ({"format": "zip"}, "romfs or files"),
        ({"signature": "AAAA"}, "256 bytes"),
        ({"signature": "*" * 344}, "256 bytes"),
        ({"extra": 1}, "nothing else"),
    ],
)
def test_each_member_must_be_what_it_is(changed: dict[str, Any], what: str) -> None:
    with pytest.raises(BundleError, match=what):
        read_manifest(with_(**changed))


def test_every_member_must_be_there_and_once() -> None:
    for name in GOOD:
        with pytest.raises(BundleError, match="must be an object of"):
            read_manifest(json.dumps({key: value for key, value in GOOD.items() if key != name}).encode())
    twice = with_().replace(b'"serial": 2', b'"serial": 2, "serial": 3')
    with pytest.raises(BundleError, match="'serial' twice"):
        read_manifest(twice)


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 1_000, '{"é": 1}'.encode()])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(BundleError):
        read_manifest(text)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_bundle_or_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        read_bundle(data)
