"""What a board says to manifests: only what the release key has signed, for this board, and newer than what runs."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import release
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from support.micropython import run_json

KEY: Final = rsa.generate_private_key(65537, release.KEY_BITS)
OTHER_KEY: Final = rsa.generate_private_key(65537, release.KEY_BITS)
GOOD: Final[Mapping[str, Any]] = {
    "model": "nodemcu",
    "version": "1.2.0",
    "serial": 6,
    "size": 29_512,
    "sha256": hashlib.sha256(b"image").hexdigest(),
    "format": "romfs",
}


def signed(key: rsa.RSAPrivateKey = KEY, **changes: Any) -> dict[str, Any]:
    """Whatever it says, signed."""
    said = {**GOOD, **changes}
    lines = ["edge-firmware-1", *(str(said[n]) for n in ("model", "version", "serial", "size", "sha256", "format"))]
    signature = key.sign("".join(f"{line}\n" for line in lines).encode(), padding.PKCS1v15(), hashes.SHA256())
    return {**said, "signature": base64.b64encode(signature).decode()}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in signed().items() if key != name}


def of(body: Any, state: Mapping[str, Any] | None = None, *, rescue: bool = False) -> dict[str, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return {"body": base64.b64encode(data).decode(), "state": state, "rescue": rescue}


GOOD_BYTES: Final = json.dumps(signed()).encode()
SHIFTED: Final = signed(version="1.2.0\n6")
CASES: Final[Mapping[str, tuple[dict[str, Any], str]]] = {
    "good": (of(signed()), ""),
    "members that nobody knows": (of({**signed(), "more": [1]}), ""),
    "forged: no key": (of({**GOOD, "signature": base64.b64encode(bytes(256)).decode()}), "signature"),
    "forged: another key": (of(signed(OTHER_KEY)), "signature"),
    "forged: short signature": (of({**signed(), "signature": "AAAA"}), "signature"),
    "forged: no signature": (of({**signed(), "signature": ""}), "signature"),
    "forged: the modulus as signature": (
        of({**GOOD, "signature": base64.b64encode(release.modulus(KEY.public_key())).decode()}),
        "signature",
    ),
    "changed: serial": (of({**signed(), "serial": 7}), "signature"),
    "changed: size": (of({**signed(), "size": 29_511}), "signature"),
    "changed: hash": (of({**signed(), "sha256": "0" * 64}), "signature"),
    "changed: version": (of({**signed(), "version": "1.2.1"}), "signature"),
    "changed: model": (of({**signed(model="esp32"), "model": "nodemcu"}), "signature"),
    "changed: format": (of({**signed(format="files"), "format": "romfs"}), "signature"),
    "for another model": (of(signed(model="esp32")), "model"),
    "in another format": (of(signed(format="files")), "format"),
    "oversized": (of(signed(size=256 * 1024 + 1)), "size"),
    "of the partition's size": (of(signed(size=256 * 1024)), ""),
    "empty image": (of(signed(size=0)), "size"),
    "negative size": (of(signed(size=-1)), "size"),
    "stale: older": (of(signed(serial=4)), "older"),
    "the same": (of(signed(serial=5)), "same"),
    "on trial already": (of(signed(), {"trial": "b", "b": {"serial": 6}}), "same"),
    "rolled back before": (of(signed(), {"bad": 6}), "bad"),
    "newer than one that was rolled back": (of(signed(), {"bad": 5}), ""),
    "rescue: the same again": (of(signed(serial=5), rescue=True), ""),
    "rescue: rolled back before": (of(signed(), {"bad": 6}, rescue=True), ""),
    "rescue: older": (of(signed(serial=4), rescue=True), "older"),
    "rescue without a program": (of(signed(serial=1), {"run": None, "a": None}, rescue=True), ""),
    "serial as text": (of({**signed(), "serial": "6"}), "manifest"),
    "serial as truth": (of({**signed(serial=1), "serial": True}), "manifest"),
    "serial with a fraction": (of({**signed(), "serial": 6.0}), "manifest"),
    "serial 0": (of(signed(serial=0)), "manifest"),
    "huge serial": (of(signed(serial=2**53 - 1)), ""),
    "size as text": (of({**signed(), "size": "29512"}), "manifest"),
    "hash in upper case": (of({**signed(), "sha256": GOOD["sha256"].upper()}), "manifest"),
    "short hash": (of({**signed(), "sha256": GOOD["sha256"][:-1]}), "manifest"),
    "line end in a version": (of(SHIFTED), "manifest"),
    "blank in a version": (of(signed(version="1 2")), "manifest"),
    "no version": (of(without("version")), "manifest"),
    "no serial": (of(without("serial")), "manifest"),
    "no hash": (of(without("sha256")), "manifest"),
    "signature is not base64": (of({**signed(), "signature": "*" * 344}), "signature"),
    "signature is a number": (of({**signed(), "signature": 1}), "manifest"),
    "truncated": (of(GOOD_BYTES[:-1]), "manifest"),
    "truncated in the middle": (of(GOOD_BYTES[:100]), "manifest"),
    "nothing": (of(b""), "manifest"),
    "a list": (of([1]), "manifest"),
    "a number": (of(1), "manifest"),
    "null": (of(None), "manifest"),
    "text": (of("x"), "manifest"),
    "not JSON": (of(b"\xff\xfe"), "manifest"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    folder: Path = tmp_path_factory.mktemp("manifests")
    (folder / "key").write_bytes(release.modulus(KEY.public_key()))
    (folder / "cases").write_text("".join(json.dumps(case) + "\n" for case, _ in CASES.values()), encoding="utf-8")
    codes = run_json("manifests.py", folder / "key", folder / "cases", heap="64000")
    return dict(zip(CASES, codes, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_manifest_is_judged(answers: Mapping[str, str], name: str) -> None:
    assert answers[name] == CASES[name][1]
