"""The images, built once, and a network of these tests' own in which containers run."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.container_site import PODMAN, ROOT, ContainerSite, podman
from support.gateway_fixtures import certificates
from support.own_network import own_network

__all__ = ["certificates"]

LEFT_BY_A_KILLED_RUN = ("gateway", "edgeHub")


def build(*words: str) -> str:
    """Build an image as `make image` does, on the bases and wheels that `make peers` has fetched. Its name."""
    command = [sys.executable, str(ROOT / "tools" / "image.py"), "--platform", "amd64", *words]
    environment = {**os.environ, "IMAGE_ENGINE": str(PODMAN)}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=1_200)
    assert done.returncode == 0, f"{done.stdout[-4_000:]}\n{done.stderr[-4_000:]}"
    name = subprocess.run([*command, "--name"], check=True, capture_output=True, text=True).stdout.strip()
    return f"localhost/{name}"


@pytest.fixture(scope="session")
def network() -> Iterator[None]:
    """What containers publish here is published to nobody else, and nothing here reaches out."""
    with own_network():
        for name in LEFT_BY_A_KILLED_RUN:
            podman("rm", "--force", "--ignore", "--time", "0", name)
        yield


@pytest.fixture(scope="session")
def image(network: None) -> str:
    """The image as it is shipped."""
    return build()


@pytest.fixture(scope="session")
def debug_image(network: None) -> str:
    """The debug image: plain Python."""
    return build("--debug")


@pytest.fixture
async def site(image: str, tmp_path: Path, certificates: Path) -> AsyncIterator[ContainerSite]:
    """A site with the gateway's container, which is not started."""
    async with ContainerSite.open_image(image, tmp_path, certificates) as site:
        yield site
