"""The fixtures of this folder: a site per test, or one that runs for all tests of a file."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from support.gateway_fixtures import certificates, loopback, site
from support.gateway_site import GatewaySite

__all__ = ["certificates", "loopback", "running", "site"]

WEBSOCKET_PORT = 8443


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    tmp_path_factory: pytest.TempPathFactory, certificates: Path, loopback: Iterator[str]
) -> AsyncIterator[GatewaySite]:
    """A site whose gateway runs and takes whatever all tests of a file do to it; nothing goes upstream."""
    folder = tmp_path_factory.mktemp("site")
    async with GatewaySite.open(folder, certificates, next(loopback), next(loopback)) as site:
        site.register("good", "d1", "d2")
        await site.gateway.start(GATEWAY_UPSTREAM="none", GATEWAY_WEBSOCKET_PORT=str(WEBSOCKET_PORT))
        yield site
