import errno
import os
from pathlib import Path

from gateway.store.errors import Damage, StoreDamaged, StoreLocked, StoreUnusable, StoreVersion


def test_damage_names_file_offset_and_the_repair() -> None:
    text = str(StoreDamaged(Path("/data/store"), Damage("0000000000000001.segment", 40, "no batch starts here")))
    assert "/data/store/0000000000000001.segment" in text
    assert "byte 40" in text
    assert "gateway store repair --data /data" in text


def test_another_version_says_which_and_what_to_do() -> None:
    text = str(StoreVersion(Path("/data/store"), 7, 1))
    assert "format 7" in text
    assert "GATEWAY_DATA_DIR" in text


def test_unusable_says_why() -> None:
    assert "another gateway" in str(StoreLocked(Path("/data/store")))
    assert "write access" in str(StoreUnusable(Path("/data/store"), PermissionError(13, "Permission denied")))
    for number, words in (
        (errno.ENOSPC, "No space left on device. Free some space"),
        (errno.EROFS, "Read-only file system. Mount it for writing"),
        (errno.EIO, "Input/output error. Check the disk"),
    ):
        assert words in str(StoreUnusable(Path("/data/store"), OSError(number, os.strerror(number))))
