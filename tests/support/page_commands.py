"""Commands of a page of docs/, run by a shell as they stand there."""

import asyncio
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from support.gateway_process import GATEWAY, clean_environment
from support.gateway_site import GatewaySite

DOCS: Final = Path(__file__).parents[2] / "docs"
PATIENCE_S: Final = 60.0
_SECTION: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_FENCE: Final = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def commands_of(page: str, heading: str = "") -> list[str]:
    """The blocks of commands below a heading of a page, or before its first heading."""
    parts = _SECTION.split((DOCS / page).read_text(encoding="utf-8"))
    sections = dict(zip(["", *parts[1::2]], parts[0::2], strict=True))
    blocks = _FENCE.findall(sections[heading])
    assert blocks, f"{page} has no commands below '{heading}'"
    return blocks


class Reader:
    """Somebody who types what a page says, in a folder with the root certificate.

    For it `host` leads to the gateway's HTTPS port: names are for DNS, which a test has none of.
    """

    def __init__(self, site: GatewaySite, host: str, port: int) -> None:
        self.folder = site.folder / "reader"
        self.folder.mkdir()
        (self.folder / "root.pem").write_bytes(site.root_file.read_bytes())
        (self.folder / ".curlrc").write_text(
            f'connect-to = "{host}:443:{site.address}:{port}"\nmax-time = {PATIENCE_S}\n'
        )
        self._environment = {"GATEWAY_DATA_DIR": str(site.data), "CURL_HOME": str(self.folder)}

    async def types(self, block: str, environment: Mapping[str, str] = {}) -> str:
        """What is said to a block of commands; all of them must succeed."""
        path = f"PATH={shlex.quote(str(GATEWAY.parent))}:$PATH"
        shell = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            f"set -eu -o pipefail; {path}\n{block}",
            cwd=self.folder,
            env=clean_environment({**self._environment, **environment}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_S):
            out, error = await shell.communicate()
        assert shell.returncode == 0, error.decode()
        return out.decode()
