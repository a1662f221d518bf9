"""The ```sh blocks of the pages, which of them run here, and why the others do not.

`RUN`: pages whose blocks a test types into one shell each, in their order; most at a gateway and a stand-in.
`NOT_HERE` names the blocks of these and of all other pages that no test types, by how they begin, with their reasons.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)

AT_A_SITE: Final = (
    "docs/quick-start.md",
    "docs/connect.md",
    "docs/https.md",
    "docs/publishers.md",
    "README.md",
    "docs/commands.md",
    "docs/doctor.md",
    "docs/health.md",
    "docs/troubleshooting.md",
)
"""Pages whose readers have a gateway; they share one, in this order."""
ALONE: Final = ("certs/README.md", "docs/pi.md")
"""Pages whose readers have none yet."""
RUN: Final = (*AT_A_SITE, *ALONE)
"""Their blocks run, but for those of NOT_HERE."""

_MAKE: Final = "it makes the environment that this test runs in; tools/demo.py is what it starts"
_LINES: Final = "variables of a container, one below the other: tests/project/test_docs.py compares their names"
_BOARD: Final = "needs a board on a USB port"
_RELEASE: Final = "needs a released bundle: tests/firmware/test_release.py and tests/system/test_gateway_rollout.py"
_CLOUD: Final = "needs Azure"
_PI: Final = "changes the machine: a Raspberry Pi with IoT Edge"
_INSTALLS: Final = "installs what tools/peers has installed"
_IMAGE: Final = "builds images: tests/images, where there is an engine"
_WATCHES: Final = "watches until it is told to stop: tests/system/test_gateway_tap.py"
_STANDIN: Final = "tests/peers and tests/unit/standin run them one by one, with their answers"

NOT_HERE: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "README.md": {"make run": _MAKE},
        "docs/quick-start.md": {"make run": _MAKE},
        "docs/boards.md": {"gateway firmware add": _RELEASE},
        "docs/brokers.md": {"GATEWAY_BROKER=": _LINES},
        "docs/certificates.md": {"edgeca revoke": "needs the authority that made it: tests/unit/edgeca/test_cli.py"},
        "docs/commands.md": {
            "gateway run ": "runs until it is told to stop: tests/system does nothing else",
            "gateway method": "needs a board that has this method: tests/system/test_gateway_asked.py",
            "gateway top": _WATCHES,
            "gateway tap": _WATCHES,
            "gateway firmware add": _RELEASE,
            "gateway support-bundle --out help.tar.gz --log": "its log is yours: tests/unit/gateway/cli",
        },
        "docs/deployment.md": {
            "cp .env.tmp": "tests/project/test_manifest.py runs it with values for the names",
            "sudo install": _PI,
        },
        "docs/devices.md": {
            "gateway devices add boiler ": "holds words to replace; tests/unit/gateway/cli/test_devices.py",
            "gateway sas make": "holds a word to replace; tests/unit/gateway/cli/test_sas.py",
        },
        "docs/endpoints.md": {"standin run": "a second stand-in: tests/system/test_gateway_endpoints.py"},
        "docs/flash.md": {
            "GATEWAY_CONSTRAINED": _LINES,
            "make setup": _RELEASE,
            "sha256sum": "needs MicroPython's image, which nobody ships here",
            "make flash": _BOARD,
            "gateway claims add": "docs/connect.md has it, too",
            ".venv/bin/mpremote": _BOARD,
            "gateway status": _BOARD,
            "make run": _MAKE,
        },
        "docs/fleet.md": {"make manifest": _CLOUD},
        "docs/https.md": {
            "curl -s --cacert root.pem --cert": "needs a device's certificate: tests/system/test_gateway_bootstrap.py",
        },
        "docs/images.md": {"make image": _IMAGE, "sudo apt-get": _IMAGE, "tools/image_base": _IMAGE},
        "docs/page.md": {
            "ssh -L": "needs another machine",
            "GATEWAY_SERVICE": _LINES,
            "gateway top": _WATCHES,
        },
        "docs/pi.md": {
            "curl -fsSLO": _PI,
            "sudo install": _PI,
            "sudo iotedge": _PI,
            "make manifest": _CLOUD,
        },
        "docs/plain.md": {
            "GATEWAY_PLAIN_PORT": _LINES,
            "gateway users add": "asks for a password: tests/unit/gateway/cli/test_users.py",
        },
        "docs/recipes/mqtt-js.md": {"npm install": _INSTALLS},
        "docs/recipes/node-red.md": {"npm install": _INSTALLS},
        "docs/recipes/paho.md": {"pip install": _INSTALLS},
        "docs/release.md": {"make release": _IMAGE, "docker": "needs a registry"},
        "docs/standin.md": {
            "standin run --dir run --address": _STANDIN,
            "standin enrolments": _STANDIN,
            "standin run --dir run-1": _STANDIN,
            "export REQUESTS_CA_BUNDLE": "tests/peers/test_standin_service_python.py",
        },
        "docs/topics.md": {"gateway users add": "holds a password to replace; docs/connect.md runs the same"},
    }
)


@dataclass(frozen=True, slots=True)
class Block:
    """One block as it stands; `reason` is why nobody runs it here, empty if it runs."""

    page: str
    text: str
    reason: str


def blocks_of(page: str) -> list[Block]:
    """The blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    known = NOT_HERE.get(page, {})
    return [
        Block(page, found, next((why for start, why in known.items() if found.startswith(start)), ""))
        for found in _BLOCK.findall(text)
    ]
