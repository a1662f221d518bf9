"""The fixtures of this folder: a site with an RSA chain, and a board that was never started."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgeca.folder import Folder, Wish
from edgeca.keys import KeyType
from support.gateway_fixtures import loopback, site
from support.leaf_board import LeafBoard, images

__all__ = ["board", "certificates", "loopback", "pictures", "site"]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA of RSA keys alone, as boards need it."""
    folder = tmp_path_factory.mktemp("rsa")
    Folder(folder).init(wish=Wish(key_type=KeyType.RSA_2048))
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The doubles of the hardware and the program, as images that are run in place."""
    return images(tmp_path_factory.mktemp("images"))


@pytest.fixture
async def board(tmp_path: Path, pictures: tuple[Path, Path]) -> AsyncIterator[LeafBoard]:
    """A board without power; at the end its power is cut."""
    (tmp_path / "board").mkdir()
    board = LeafBoard(tmp_path / "board", pictures)
    yield board
    await board.stop()
