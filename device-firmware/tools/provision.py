"""Put everything on a board that it needs before its first start: over the serial line, or into a folder.

    python device-firmware/tools/provision.py --key KEY.public.pem --bundle FILE.fw [--board nodemcu]
        [--config CONFIG.json] (--port /dev/ttyUSB0 | --to FOLDER)

The board runs the official MicroPython already (docs/flash.md). What is written: boot.py and main.py,
the rescue with the public half of the release key, the first program in slot a, and the set-up if one is given. The two
files that start it all come last: a board on which this was interrupted has none, and is simply written again.
For a board with ROMFS the rescue is an image in the last 64 KiB of that partition (boot/install.py puts it there), for
others a folder.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import build
import release
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateway.firmware.bundle import BundleError, Format, read_bundle

STARTERS: Final = ("boot.py", "main.py")
MPREMOTE: Final = Path(sys.executable).parent / "mpremote"
RESCUE_IMAGE: Final = "rescue.img"
RESCUE_BYTES: Final = 65_536
_SAID: Final = ("version", "serial", "size", "sha256", "format")


class ProvisionError(Exception):
    """What a person should change before this board can be set up."""


def read_public(path: Path) -> rsa.RSAPublicKey:
    """The public half of the release key. Raises ProvisionError."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ProvisionError(f"{path} is no public key: {error}") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != release.KEY_BITS:
        raise ProvisionError(f"{path} is no release key: boards compute with RSA of {release.KEY_BITS} bits")
    return key


def layout(board: str, key: rsa.RSAPublicKey, bundle: bytes, config: bytes | None = None) -> dict[str, bytes]:
    """The files of a board by path, in the order they are written. Raises ProvisionError, BundleError."""
    manifest = read_bundle(bundle).manifest
    if manifest.model != board:
        raise ProvisionError(f"the bundle is for {manifest.model}, and the board is: {board}")
    check_signature(key, bundle)
    image = bundle[len(bundle) - manifest.size :]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build.compiled(build.rescue(board), folder)
        (folder / "release.key").write_bytes(release.modulus(key))
        files = _rescue(folder, manifest.format)
    about = {name: json.loads(manifest.text)[name] for name in _SAID}
    files |= {
        "a.img": image,
        "boot.json": json.dumps({"run": "a", "a": about}).encode(),
    }
    if config is not None:
        files["config.json"] = config
    return files | {name: (build.FIRMWARE / "boot" / name).read_bytes() for name in STARTERS}


def _rescue(folder: Path, kind: Format) -> dict[str, bytes]:
    if kind is Format.FILES:
        return {f"rescue/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}
    image = build.image(folder)
    if len(image) > RESCUE_BYTES:
        raise ProvisionError(f"the rescue has {len(image)} bytes, and its part of the flash {RESCUE_BYTES}")
    return {RESCUE_IMAGE: image}


def check_signature(key: rsa.RSAPublicKey, bundle: bytes) -> None:
    """Raise ProvisionError unless the board would take this bundle as an update."""
    manifest = read_bundle(bundle).manifest
    try:
        key.verify(manifest.signature, manifest.signed_text, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise ProvisionError("the bundle is not signed by this release key: the board would refuse its own") from error


def write(files: dict[str, bytes], folder: Path) -> None:
    """Put the files into a folder."""
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)


def commands(files: dict[str, bytes], folder: Path, port: str) -> list[list[str]]:
    """What mpremote is called with, one call after the other."""
    connect = [str(MPREMOTE), "connect", port]
    copies = [[*connect, "resume", "fs", "cp", str(folder / name), f":{name}"] for name in files]
    stop = [*connect, "exec", "import os\nfor n in ('main.py', 'boot.py'):\n try: os.remove(n)\n except OSError: pass"]
    make = [*connect, "resume", "exec", "import os\ntry: os.mkdir('rescue')\nexcept OSError: pass"]
    install = [[*connect, "resume", "run", str(build.FIRMWARE / "boot/install.py")]] if RESCUE_IMAGE in files else []
    starters = len(STARTERS)
    return [stop, make, *copies[:-starters], *install, *copies[-starters:], [*connect, "resume", "reset"]]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="provision", description="Set up a board.")
    parser.add_argument("--key", type=Path, required=True, help="public half of the release key, PEM")
    parser.add_argument("--bundle", type=Path, required=True, help="the first program, FILE.fw")
    parser.add_argument("--board", choices=build.BOARDS, default=build.BOARDS[0])
    parser.add_argument("--config", type=Path, help="networks, gateway and credential; asked for on the console if not")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", help="the board's serial port, as mpremote names it")
    where.add_argument("--to", type=Path, help="a folder that gets the files")
    return parser.parse_args()


def provision(given: argparse.Namespace) -> None:
    """Write the board, or the folder."""
    config = given.config.read_bytes() if given.config else None
    files = layout(given.board, read_public(given.key), given.bundle.read_bytes(), config)
    print(f"{len(files)} files, {sum(map(len, files.values()))} bytes")
    if given.to:
        write(files, given.to)
        return
    with tempfile.TemporaryDirectory() as name:
        write(files, Path(name))
        for command in commands(files, Path(name), given.port):
            subprocess.run(command, check=True)


def main() -> None:
    """Do what the command line says."""
    try:
        provision(_arguments())
    except (ProvisionError, BundleError, OSError) as error:
        sys.exit(f"provision: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"provision: mpremote ended with {error.returncode}; is the port right, and nothing else open on it?")


if __name__ == "__main__":
    main()
