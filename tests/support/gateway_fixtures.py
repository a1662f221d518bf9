"""Fixtures for tests against a gateway's process: addresses of their own, one CA, a site per test."""

import os
from collections.abc import AsyncIterator, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from support.gateway_site import GatewaySite

__all__ = ["certificates", "loopback", "site"]


@pytest.fixture(scope="session")
def loopback() -> Iterator[str]:
    """Loopback addresses that nobody else uses: the standard ports are free on each. The process id is in them.

    Behind the last comes the first again: the test that had it is long over.
    """
    pid = os.getpid()
    return cycle(f"127.{64 + (pid >> 8) % 128}.{pid % 256}.{number}" for number in range(1, 255))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CA folder that all sites share."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
async def site(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[GatewaySite]:
    """A site with the devices `d1` and `d2`; its gateway is not started."""
    async with GatewaySite.open(tmp_path, certificates, next(loopback), next(loopback)) as site:
        site.register("d1", "d2")
        yield site
