"""The fixtures of this folder."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from support.browser import open_browser
from support.gateway_fixtures import certificates, loopback
from support.gateway_site import GatewaySite
from support.page_site import PageSite, open_page_site

__all__ = ["browser", "certificates", "house", "loopback", "site"]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A browser that has seen nothing."""
    async with open_browser() as browser:
        yield browser


@pytest.fixture
async def site(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[GatewaySite]:
    """A site whose hub has its service API at the port that a connection string means."""
    async with GatewaySite.open(tmp_path, certificates, next(loopback), next(loopback), https_port=443) as site:
        yield site


@pytest.fixture
async def house(site: GatewaySite) -> AsyncIterator[PageSite]:
    """A gateway that runs, with devices that are connected."""
    async with open_page_site(site) as house:
        yield house
