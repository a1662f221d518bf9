"""The ```sh blocks of the pages, which of them run here, and why the others do not.

`RUN`: pages whose blocks a test types into one shell, in their order, at a site of a gateway and the stand-in.
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

RUN: Final = (
    "README.md",
    "certs/README.md",
    "docs/quick-start.md",
    "docs/connect.md",
    "docs/commands.md",
    "docs/doctor.md",
    "docs/health.md",
    "docs/https.md",
    "docs/pi.md",
    "docs/plain.md",
    "docs/publishers.md",
    "docs/troubleshooting.md",
)
"""Their blocks run, but for those of NOT_HERE."""

_MAKE: Final = "it makes the environment that this test runs in; tools/demo.py is what it starts"
_LINES: Final = "variables of a container, one below the other: tests/project/test_docs.py compares their names"
_BOARD: Final = "needs a board on a USB port"
_RELEASE: Final = "needs a released bundle: tests/firmware/test_release.py and tests/system/test_gateway_rollout.py"
_CLOUD: Final = "needs Azure"
_PI: Final = "changes the machine: a Raspberry Pi with IoT Edge"
_INSTALLS: Final = "installs what tools/peers has installed"
_STANDIN: Final = "tests/peers/test_standin_*.py and tests/unit/standin/cli run them one by one, with their answers"

NOT_HERE: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "README.md": {"make run": _MAKE},
        "docs/quick-start.md": {"make run": _MAKE},
        "docs/boards.md": {"gateway firmware add": _RELEASE},
        "docs/brokers.md": {"GATEWAY_BROKER=": _LINES},
        "docs/commands.md": {
            "gateway run ": "runs until it is told to stop: tests/system does nothing else",
            "gateway method": "needs a board that has this method: tests/system/test_gateway_asked.py",
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
        "docs/pi.md": {
            "curl -fsSLO": _PI,
            "sudo install": _PI,
            "sudo iotedge": _PI,
            "make manifest": _CLOUD,
        },
        "docs/plain.md": {"GATEWAY_PLAIN_PORT": _LINES},
        "docs/recipes/mqtt-js.md": {"npm install": _INSTALLS},
        "docs/recipes/node-red.md": {"npm install": _INSTALLS},
        "docs/recipes/paho.md": {"pip install": _INSTALLS},
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
