"""A board as it leaves the bench: set up by the tools, started from its flash; and the firmware it may get."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import build
import provision
import release
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.firmware.bundle import Format
from support.leaf_board import HEAP, MODEL, LeafBoard, host_board
from support.micropython import run

PARTITION_BYTES: Final = 128 * 1024
FLASH_BLOCKS: Final = 64
FOLDER_BLOCKS: Final = 192
"""Each file of a folder has a block of 4 KiB at least: two programs and a rescue, and two images."""
NO_PARTITION_BYTES: Final = 4_096
"""A file cannot be mapped that is empty."""
NEVER: Final = "def main():\n    raise ValueError('a bad program')\n"


@cache
def release_key() -> rsa.RSAPrivateKey:
    """The release key of this run."""
    return rsa.generate_private_key(65537, release.KEY_BITS)


def own_board(model: str, folder: Path) -> dict[str, Path]:
    """What stands in place of the board's own file; only a NodeMCU's heap is so small that TLS outside of it counts."""
    return {"board": host_board(folder)} if model == MODEL else {}


def bundle(
    folder: Path, version: str, key: rsa.RSAPrivateKey | None = None, *, model: str = MODEL, **changed: str
) -> bytes:
    """A signed bundle of the program as it is, or with modules changed."""
    folder.mkdir()
    modules = build.program(model) | own_board(model, folder)
    for name, text in changed.items():
        modules[name] = folder / f"{name}.py"
        modules[name].write_text(text, encoding="utf-8")
    build.compiled(modules, folder / "compiled")
    compiled = folder / "compiled"
    kind = Format.ROMFS if model == MODEL else Format.FILES
    image = build.image(compiled) if kind is Format.ROMFS else release.files_image(compiled)
    serial = release.serial_of(version)
    return release.signed(key or release_key(), model=model, version=version, serial=serial, image=image, kind=kind)


def ship(
    board: "ShippedBoard",
    folder: Path,
    first: bytes,
    config: Mapping[str, Any] | None = None,
    who: Mapping[str, Any] | None = None,
) -> None:
    """Write the board's flash as the tools do, with `first` as its program; its partition is empty.

    Without `config` and `who` it is blank: it knows neither its network nor who it is.
    """
    told = json.dumps(config).encode() if config else None
    files = provision.layout(MODEL, release_key().public_key(), first, told)
    own = folder / "own"
    build.compiled(build.rescue(MODEL) | own_board(MODEL, folder), own)
    (own / "release.key").write_bytes(release.modulus(release_key().public_key()))
    rescue = build.image(own)
    empty = b"\xff" * (PARTITION_BYTES - provision.RESCUE_BYTES)
    board.partition.write_bytes(empty + rescue.ljust(provision.RESCUE_BYTES, b"\xff"))
    del files[provision.RESCUE_IMAGE]
    if who is not None:
        files["identity.json"] = json.dumps(who).encode()
    _write(board, folder, files)


def ship_without_partition(board: "ShippedBoard", folder: Path, model: str, first: bytes) -> None:
    """The same for a blank board that runs its program from folders."""
    _write(board, folder, provision.layout(model, release_key().public_key(), first), FOLDER_BLOCKS)


def _write(board: "ShippedBoard", folder: Path, files: dict[str, bytes], blocks: int = FLASH_BLOCKS) -> None:
    provision.write(files, folder / "files")
    pairs = [f"{name}={folder / 'files' / name}" for name in files]
    assert run("mkflash.py", str(board.flash), str(blocks), *pairs, heap="4m") == ["written"]


class ShippedBoard(LeafBoard):
    """A board that starts from its flash, with a partition to run its program from if that has more than nothing."""

    def __init__(
        self, folder: Path, hardware: Path, heap: int = HEAP, *more: str, partition_bytes: int = PARTITION_BYTES
    ) -> None:
        self.partition = folder / "partition"
        self.partition.write_bytes(b"\xff" * partition_bytes)
        super().__init__(folder, (hardware, self.partition), heap, *more, "power_up")


def damaged(data: bytes) -> bytes:
    """A bundle of which one byte of the image is another: what a store would not take, made by a bad line."""
    return data[:-1] + bytes([data[-1] ^ 1])
