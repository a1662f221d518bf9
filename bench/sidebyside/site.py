"""What all targets are given: devices and their tokens, certificates, routes."""

import base64
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgewire.iothub import sas
from edgewire.message import identity

HUB: Final = "bench-hub.test"
DEVICES: Final = 5_000
TOKEN_LIFE_S: Final = 24 * 3600
KEY: Final = b"bench: one key for all devices.."

ROUTES: Final = {
    "alerts": {"route": "FROM /messages/* WHERE $body.messageType = 'alert' INTO $upstream", "priority": 0},
    "hot": "FROM /messages/* WHERE $body.machine.temperature > 70 INTO $upstream",
    "humid": "FROM /messages/* WHERE $body.ambient.humidity <= 100 INTO $upstream",
}
"""Three conditions on the body. The last one holds for every body of mqload, so that every message is stored."""

SETTINGS: Final = {
    "schemaVersion": "1.0",
    "routes": ROUTES,
    "storeAndForward": {"timeToLiveSecs": -1, "maxBytes": 1 << 36, "whenFull": "refuse"},
}


@dataclass(frozen=True, slots=True)
class Site:
    """The folder with all of it."""

    folder: Path

    @property
    def credentials(self) -> Path:
        """Lines for mqload: device, user name, SAS token."""
        return self.folder / "credentials.tsv"

    @property
    def registry(self) -> Path:
        """The gateway's devices.json."""
        return self.folder / "devices.json"

    @property
    def settings(self) -> Path:
        """The gateway's settings document."""
        return self.folder / "settings-document.json"

    def certificate(self, kind: str) -> tuple[Path, Path]:
        """Chain and key of the server, `kind` is rsa or ec."""
        return self.folder / f"{kind}-chain.pem", self.folder / f"{kind}-key.pem"


def device_name(number: int) -> str:
    """The id of a device; mqload takes them from the credentials."""
    return f"device-{number:05d}"


def make_site(folder: Path) -> Site:
    """Write all files anew: tokens of an earlier run may have expired."""
    site = Site(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = [device_name(number) for number in range(DEVICES)]
    expires_at = int(time.time()) + TOKEN_LIFE_S
    site.credentials.write_text("".join(f"{_credentials(name, expires_at)}\n" for name in names))
    key = base64.b64encode(KEY).decode()
    entry = {"authentication": {"type": "sas", "primaryKey": key, "secondaryKey": key}}
    site.registry.write_text(json.dumps({"version": 1, "devices": dict.fromkeys(names, entry), "groups": {}}))
    site.settings.write_text(json.dumps(SETTINGS))
    for kind, algorithm in (("rsa", ("rsa:2048",)), ("ec", ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"))):
        _make_certificate(site.certificate(kind), algorithm)
    return site


def _credentials(name: str, expires_at: int) -> str:
    token = sas.make(sas.resource_of(HUB, identity(name)), KEY, expires_at)
    return f"{name}\t{HUB}/{name}/?api-version=2021-04-12\t{token}"


def _make_certificate(files: tuple[Path, Path], algorithm: tuple[str, ...]) -> None:
    chain, key = files
    subject = ("-subj", f"/CN={HUB}", "-addext", f"subjectAltName=DNS:{HUB}", "-days", "2", "-nodes")
    outputs = ("-keyout", str(key), "-out", str(chain))
    command = ["openssl", "req", "-x509", "-newkey", *algorithm, *subject, *outputs]
    subprocess.run(command, check=True, capture_output=True)
