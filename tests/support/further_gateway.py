"""One more gateway at a site: another machine with files of its own, at an address of its own, before the same hub."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edgeca.folder import Folder
from standin.app import StandIn
from support.gateway_site import GatewaySite


@asynccontextmanager
async def further(
    hub: StandIn, folder: Path, certificates: Path, address: str, **environment: str
) -> AsyncIterator[GatewaySite]:
    """A gateway that is no module of the hub's edge device, not started; it may have had no fault at the end.

    Its server certificate is from a file: another machine has another workload API.
    """
    site = _site(hub, folder, address)
    made = Folder(certificates).server([address]).entry
    site.gateway.environment = {
        name: value for name, value in site.gateway.environment.items() if not name.startswith("IOTEDGE_")
    } | {
        "GATEWAY_HUB_NAME": hub.hub_name,
        "GATEWAY_CERTIFICATE_FILE": str(made.chain_path),
        "GATEWAY_KEY_FILE": str(made.key_path),
        "GATEWAY_TRUST_BUNDLE_FILE": str(hub.directory / "trust-bundle.pem"),
        **environment,
    }
    try:
        yield site
    finally:
        await site.gateway.kill()
    site.gateway.assert_no_fault()


def _site(hub: StandIn, folder: Path, address: str) -> GatewaySite:
    folder.mkdir()
    site = GatewaySite(hub, address, folder)
    site.data.mkdir(mode=0o700)
    return site
