"""Images and manifests in the data folder: taken in whole, verified, bounded; given out in pieces.

An image lies under its SHA-256, a manifest under its model and version: no name of a request is ever a path of its own.
The manifest is written last and removed first, so whatever a crash leaves is an image that nothing names; the next
change takes it away.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.firmware import files
from gateway.firmware.bundle import (
    MAX_IMAGE_BYTES,
    MAX_MANIFEST_BYTES,
    Bundle,
    BundleError,
    Manifest,
    is_name,
    is_sha256,
    read_manifest,
)
from gateway.observe.events import Event
from gateway.observe.firmware import FirmwareDamaged

MAX_VERSIONS: Final = 64
"""Of all models; an operator keeps the last few of each."""
MAX_STORE_BYTES: Final = 33_554_432
"""All images together: a Pi's card has other things to keep."""
MAX_PIECE_BYTES: Final = 4_096
"""A piece of an image in one answer: what the smallest boards take in one TLS record."""

_Stamp = tuple[int, int, int]


class FirmwareStoreError(Exception):
    """That cannot be taken in or removed; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of an image, and how many it has in all."""

    data: bytes = field(repr=False)
    size: int


def ignore(_event: Event) -> None:
    """Tell nobody; for commands, which print what they have to say."""


class FirmwareStore:
    """What is there below `firmware/` in the data folder. Commands and the running gateway may use it at once."""

    def __init__(self, data: Path, emit: Callable[[Event], None] = ignore) -> None:
        self.folder = data / files.FOLDER
        self._manifests = self.folder / "manifests"
        self._images = self.folder / "images"
        self._emit = emit
        self._verified: dict[str, _Stamp] = {}
        self._told: set[str] = set()
        self._models: tuple[int, frozenset[str]] = (0, frozenset())

    # Changing.

    def add(self, bundle: Bundle) -> None:
        """Take in a bundle. Raises FirmwareStoreError if it may not be, FilesError if it cannot be."""
        manifest = bundle.manifest
        for folder in (self._manifests / manifest.model, self._images):
            files.make_folder(folder)
        with files.locked(self.folder):
            self._sweep()
            self._check_room(manifest)
            files.replace(self._images / manifest.sha256, bundle.image)
            files.replace(self._path_of(manifest.model, manifest.version), manifest.text)

    def remove(self, manifest: Manifest) -> None:
        """Forget a version, and its image if no other has it. Raises FilesError."""
        with files.locked(self.folder):
            files.remove(self._path_of(manifest.model, manifest.version))
            self._sweep()

    # Looking.

    def all(self) -> list[Manifest]:
        """Every manifest, by model and serial."""
        found = (
            self.find(path.parent.name, path.name.removesuffix(".json")) for path in self._manifests.glob("*/*.json")
        )
        return sorted((each for each in found if each is not None), key=lambda each: (each.model, each.serial))

    def models(self) -> frozenset[str]:
        """The models that there is or was firmware for; asked for each board, so it costs a stat."""
        try:
            stamp = self._manifests.stat().st_mtime_ns
            if self._models[0] != stamp:
                names = (path.name for path in self._manifests.iterdir() if path.is_dir())
                self._models = (stamp, frozenset(filter(is_name, names)))
        except OSError:
            return frozenset()
        return self._models[1]

    def find(self, model: str, version: str) -> Manifest | None:
        """The manifest of a version; None if there is none, or only a damaged one, which is said."""
        if not (is_name(model) and is_name(version)):
            return None
        path = self._path_of(model, version)
        try:
            text = files.read(path, MAX_MANIFEST_BYTES)
            if text is None:
                return None
            manifest = read_manifest(text)
        except (files.FilesError, BundleError) as error:
            self._tell_damage(path, str(error))
            return None
        return manifest if (manifest.model, manifest.version) == (model, version) else None

    def piece(self, sha256: str, offset: int, length: int) -> Piece | None:
        """At most `length` bytes of an image from `offset` on; None if there is no such image, or a damaged one."""
        if not is_sha256(sha256):
            return None
        path = self._images / sha256
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                self._tell_damage(path, error.strerror or str(error))
            return None
        try:
            if not self._is_whole(sha256, descriptor):
                return None
            return Piece(os.pread(descriptor, min(length, MAX_PIECE_BYTES), offset), os.fstat(descriptor).st_size)
        except OSError as error:
            self._tell_damage(path, error.strerror or str(error))
            return None
        finally:
            os.close(descriptor)

    # Inside.

    def _path_of(self, model: str, version: str) -> Path:
        return self._manifests / model / f"{version}.json"

    def _check_room(self, manifest: Manifest) -> None:
        """Raise FirmwareStoreError where a bundle has no place beside those that are there."""
        others = self.all()
        for each in (other for other in others if other.model == manifest.model):
            if each.version == manifest.version:
                raise FirmwareStoreError(
                    f"version {manifest.version} for {manifest.model} is there already; give what has changed a "
                    "version of its own, or remove that one first"
                )
            if each.serial == manifest.serial:
                raise FirmwareStoreError(
                    f"serial {manifest.serial} is that of version {each.version} for {manifest.model}: boards tell by "
                    "it what is newer. Pack it again with a larger one"
                )
        images = {each.sha256: each.size for each in (*others, manifest)}
        if len(others) >= MAX_VERSIONS or sum(images.values()) > MAX_STORE_BYTES:
            raise FirmwareStoreError(
                f"there is room for {MAX_VERSIONS} versions and {MAX_STORE_BYTES} bytes of images; remove some that no "
                "board needs any more"
            )

    def _sweep(self) -> None:
        """Take away images that no manifest names, and what a crash left half written."""
        wanted = {manifest.sha256 for manifest in self.all()}
        for path in self._images.iterdir() if self._images.is_dir() else ():
            if path.name not in wanted:
                files.remove(path)

    def _is_whole(self, sha256: str, descriptor: int) -> bool:
        """Whether these bytes are those of the name; looked at once, and again when the file is another."""
        status = os.fstat(descriptor)
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        if self._verified.get(sha256) == stamp:
            return True
        data = os.pread(descriptor, MAX_IMAGE_BYTES + 1, 0)
        if hashlib.sha256(data).hexdigest() != sha256:
            self._tell_damage(self._images / sha256, "its SHA-256 is another")
            return False
        if len(self._verified) >= MAX_VERSIONS:
            self._verified.clear()
        self._verified[sha256] = stamp
        return True

    def _tell_damage(self, path: Path, error: str) -> None:
        """Say it once: a board asks again and again."""
        if str(path) not in self._told and len(self._told) < MAX_VERSIONS:
            self._told.add(str(path))
            self._emit(FirmwareDamaged(str(path), error))
