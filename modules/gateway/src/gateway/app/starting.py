"""How a gateway begins: the folder of what it keeps, and a start that may be given up."""

import asyncio
from pathlib import Path

from gateway.app.settings import ConfigError


async def finished(opening: "asyncio.Future[None]") -> bool:
    """Whether all is open; False if the start was given up. Raises what the start raised."""
    if not opening.done():
        opening.cancel()
    try:
        await opening
    except asyncio.CancelledError:
        return False
    return True


def make_private(folder: Path) -> None:
    """The data folder, for the gateway's user only: it holds keys. Raises ConfigError."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(
            f"the data folder {folder} cannot be made: {error.strerror}. Set GATEWAY_DATA_DIR to a folder that the "
            "gateway's user may write, or bind one there"
        ) from error
