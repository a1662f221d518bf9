import asyncio
from pathlib import Path

import pytest

from gateway.app.settings import ConfigError
from gateway.app.starting import finished, make_private


def test_the_folder_is_for_the_gateway_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "data"
    make_private(folder)
    make_private(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="Set GATEWAY_DATA_DIR"):
        make_private(tmp_path / "file" / "data")


async def test_a_start_that_is_done_is_finished() -> None:
    async def start() -> None:
        return

    opening = asyncio.ensure_future(start())
    await asyncio.wait([opening])
    assert await finished(opening)


async def test_a_start_that_is_not_done_is_given_up() -> None:
    opening: asyncio.Future[None] = asyncio.ensure_future(asyncio.Event().wait())  # type: ignore[arg-type] # never done
    assert not await finished(opening)
    assert opening.cancelled()


async def test_what_a_start_raised_is_raised() -> None:
    async def start() -> None:
        raise ConfigError("no")

    opening = asyncio.ensure_future(start())
    await asyncio.wait([opening])
    with pytest.raises(ConfigError, match="no"):
        await finished(opening)
