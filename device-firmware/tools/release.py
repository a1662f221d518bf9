"""The release key, and what it signs: bundles that a gateway's store takes and that boards believe.

    release keygen KEY                          make a key pair: KEY (keep it off every gateway), KEY.public.pem
    release bundle --key KEY --board nodemcu --version 1.2.0 [--serial N] [--format romfs|files] [--out FILE.fw]
    release show FILE.fw                        what is in a bundle

The private key belongs on the machine where releases are made, and in a safe place beside it: boards believe it and
nothing else, and a board that was given its public half takes no other over the air.
"""

import argparse
import base64
import getpass
import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

import build
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateway.firmware.bundle import BundleError, Format, Manifest, read_bundle, read_manifest

ROOT: Final = build.FIRMWARE.parent
KEY_BITS: Final = 2048
_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,3})\.(\d{1,3})")
FILES_MAGIC: Final = b"EFP1"
"""An image of format "files" begins with it: boot/starter.py."""


class ReleaseError(Exception):
    """What a person should change before a release can be made."""


def keygen(path: Path, passphrase: bytes) -> rsa.RSAPrivateKey:
    """A new key at `path`, which nobody else can read, and its public half beside it. Raises ReleaseError."""
    if path.resolve().is_relative_to(ROOT):
        raise ReleaseError(f"{path} is inside the project; a release key must not be where it could be committed")
    key = rsa.generate_private_key(65537, KEY_BITS)
    wrap = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, wrap)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ReleaseError(f"{path} is there already: boards may be out there that believe it; it is kept") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    public_path(path).write_bytes(public)
    return key


def public_path(path: Path) -> Path:
    """Where the public half of a key stands."""
    return path.with_name(path.name + ".public.pem")


def read_key(path: Path, passphrase: bytes = b"") -> rsa.RSAPrivateKey:
    """The private key in a file. Raises ReleaseError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase or None)
    except (OSError, TypeError, ValueError) as error:
        raise ReleaseError(f"{path}: {error}; make a key with: release keygen {path}") from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != KEY_BITS:
        raise ReleaseError(f"{path}: boards compute with RSA keys of {KEY_BITS} bits only")
    return key


def is_locked(path: Path) -> bool:
    """Whether a passphrase is needed."""
    return path.exists() and b"ENCRYPTED" in path.read_bytes()


def modulus(key: rsa.RSAPublicKey) -> bytes:
    """The public key as a board has it: the file /rescue/release.key."""
    return key.public_numbers().n.to_bytes(KEY_BITS // 8, "big")


def serial_of(version: str) -> int:
    """The serial of a version like 1.2.3, which grows as those do. Raises ReleaseError."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ReleaseError(f"version {version}: boards compare serials; name one, or write the version like 1.2.3")
    major, minor, patch = (int(part) for part in found.groups())
    return major * 1_000_000 + minor * 1_000 + patch


def files_image(folder: Path) -> bytes:
    """The image for boards without ROMFS: per file the length of its name, its name, its size and its bytes."""
    parts = [FILES_MAGIC]
    for path in sorted(folder.iterdir()):
        name, body = path.name.encode(), path.read_bytes()
        parts += [bytes([len(name)]), name, len(body).to_bytes(4, "big"), body]
    return b"".join(parts)


def signed(key: rsa.RSAPrivateKey, *, model: str, version: str, serial: int, image: bytes, kind: Format) -> bytes:
    """A bundle with its manifest signed. Raises BundleError if the names would not do."""
    members: dict[str, str | int] = {
        "model": model,
        "version": version,
        "serial": serial,
        "size": len(image),
        "sha256": hashlib.sha256(image).hexdigest(),
        "format": kind.value,
    }
    unsigned = _manifest(members | {"signature": base64.b64encode(bytes(KEY_BITS // 8)).decode()})
    signature = key.sign(unsigned.signed_text, padding.PKCS1v15(), hashes.SHA256())
    text = _manifest(members | {"signature": base64.b64encode(signature).decode()}).text
    return len(text).to_bytes(4, "big") + text + image


def _manifest(members: dict[str, str | int]) -> Manifest:
    return read_manifest(json.dumps(members, separators=(",", ":")).encode())


def make_bundle(key: rsa.RSAPrivateKey, board: str, version: str, serial: int, kind: Format) -> bytes:
    """Build a board's program and sign it."""
    with tempfile.TemporaryDirectory() as folder:
        path, _ = build.build(board, Path(folder))
        image = path.read_bytes() if kind is Format.ROMFS else files_image(Path(folder) / board)
    return signed(key, model=board, version=version, serial=serial, image=image, kind=kind)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="release", description="The release key, and what it signs.")
    commands = parser.add_subparsers(dest="command", required=True)
    keys = commands.add_parser("keygen", help="make a key pair")
    keys.add_argument("key", type=Path, help="file of the private key, outside of the project")
    keys.add_argument("--no-passphrase", action="store_true", help="for machines on which nobody types")
    bundle = commands.add_parser("bundle", help="build and sign the firmware of a board")
    bundle.add_argument("--key", type=Path, required=True, help="file of the private key")
    bundle.add_argument("--board", choices=build.BOARDS, default=build.BOARDS[0])
    bundle.add_argument("--version", required=True, help="like 1.2.3")
    bundle.add_argument("--serial", type=int, help="grows with each release; made from the version if not given")
    bundle.add_argument("--format", choices=[kind.value for kind in Format], default=Format.ROMFS.value)
    bundle.add_argument("--out", type=Path, help="file to write; BOARD-VERSION.fw here if not given")
    show = commands.add_parser("show", help="what is in a bundle")
    show.add_argument("file", type=Path)
    return parser.parse_args()


def _keygen(given: argparse.Namespace) -> None:
    passphrase = "" if given.no_passphrase else getpass.getpass("passphrase for the new key: ")
    key = keygen(given.key, passphrase.encode())
    print(f"{given.key}: the private key. Keep a copy in a safe place and none on a gateway")
    print(f"{public_path(given.key)}: for GATEWAY_RELEASE_KEY and for setting up boards")
    print(f"fingerprint {hashlib.sha256(modulus(key.public_key())).hexdigest()}")


def _bundle(given: argparse.Namespace) -> None:
    passphrase = getpass.getpass(f"passphrase of {given.key}: ") if is_locked(given.key) else ""
    key = read_key(given.key, passphrase.encode())
    serial = serial_of(given.version) if given.serial is None else given.serial
    data = make_bundle(key, given.board, given.version, serial, Format(given.format))
    out = given.out or Path(f"{given.board}-{given.version}.fw")
    out.write_bytes(data)
    _show(out)


def _show(path: Path) -> None:
    manifest = read_bundle(path.read_bytes()).manifest
    print(f"{path}: {manifest.model} {manifest.version}, serial {manifest.serial}, {manifest.format.value}")
    print(f"{manifest.size} bytes, SHA-256 {manifest.sha256}")


def main() -> None:
    """Do what the command line says."""
    given = _arguments()
    try:
        if given.command == "keygen":
            _keygen(given)
        elif given.command == "bundle":
            _bundle(given)
        else:
            _show(given.file)
    except (ReleaseError, BundleError, OSError) as error:
        sys.exit(f"release: {error}")


if __name__ == "__main__":
    main()
