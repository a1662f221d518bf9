from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from standin.app import StandIn
from support.standin_commands import running


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with running(tmp_path, "127.0.70.20") as standin:
        yield standin
