"""The fixtures of this folder: certificates on the disk, made at a time that a test can set."""

from pathlib import Path

import pytest

from edgeca.folder import Folder
from support.ca_clock import CaClock


@pytest.fixture
def clock() -> CaClock:
    """The folder's clock."""
    return CaClock()


@pytest.fixture
def folder(tmp_path: Path, clock: CaClock) -> Folder:
    """A folder with a root and an issuing CA."""
    folder = Folder(tmp_path / "certificates", clock=clock)
    folder.init()
    return folder
