"""Why a store cannot be opened; each carries the sentence for the person."""

import errno
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Damage:
    """Where the bytes on disk are not what the store wrote, and in which way."""

    file: str
    offset: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}, byte {self.offset}: {self.what}"


class StoreError(Exception):
    """The store cannot be opened; the text says why and what to do."""


class StoreDamaged(StoreError):  # noqa: N818 - a state of the store, in the words of the contract between the rooms
    """Bytes that were safe on disk cannot be read any more; a person decides (`gateway store repair`)."""

    def __init__(self, directory: Path, damage: Damage) -> None:
        super().__init__(
            f"{directory / damage.file} is damaged at byte {damage.offset}: {damage.what}. "
            "Nothing was changed, and no message was sent from there. "
            f"To keep all that can be read: gateway store repair --data {directory.parent}"
        )
        self.damage = damage


class StoreVersion(StoreError):  # noqa: N818 - a state of the store, in the words of the contract between the rooms
    """The store was written by a gateway with another format."""

    def __init__(self, directory: Path, found: int, ours: int) -> None:
        super().__init__(
            f"{directory} holds a message store of format {found}; this gateway reads format {ours} only. "
            f"Nothing was changed. Run the gateway version that wrote it until the store is empty, "
            "or give this one another data directory (GATEWAY_DATA_DIR)."
        )


class StoreUnusable(StoreError):  # noqa: N818 - a state of the store, in the words of the contract between the rooms
    """The directory cannot be used: no permission, no space, or in use by another gateway."""

    def __init__(self, directory: Path, error: OSError) -> None:
        super().__init__(f"the message store {directory} cannot be opened: {_reason(error)}")


class StoreLocked(StoreUnusable):
    """Another process has the store open."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, BlockingIOError())


def _reason(error: OSError) -> str:
    if isinstance(error, BlockingIOError):
        return "another gateway has it open. Stop that one, or give this one another GATEWAY_DATA_DIR."
    if isinstance(error, PermissionError):
        return f"{error}. Give the gateway's user write access to it."
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"{error}. Free some space on that disk, or give GATEWAY_DATA_DIR a folder on another."
        case errno.EROFS:
            return f"{error}. Mount it for writing; an SD card that has turned read-only is failing: replace it."
        case _:
            return f"{error}. Check the disk, and that GATEWAY_DATA_DIR is a folder on it."
