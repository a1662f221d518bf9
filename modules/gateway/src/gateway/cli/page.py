"""`gateway page`: the address at which a person logs in to the gateway's page. Works while the gateway runs or not."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.app.settings import ConfigError, read_count, read_text
from gateway.cli.inputs import InputError, NoError, Subparsers, add_data_option, run_action
from gateway.doctor.patient import running_environ
from gateway.identity.locked_file import LockedFileError
from gateway.identity.page_token import TOKEN_FILE, new_page_token, page_token

_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is compared with, not what is listened on
"""Who listens on all addresses is reached by loopback, and the page is for nobody else."""
_FIRST: Final = Path("/proc/1/cmdline")
"""A container's first process is what it was made for; engines' own marks are not there in each of them."""


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Add `page`."""
    what = "the address of the gateway's page, with the token that logs in there"
    parser = commands.add_parser("page", help=what, description=f"{what[0].upper()}{what[1:]}.")
    parser.add_argument("--new", action="store_true", help="another token: whoever is logged in is logged out at once")
    parser.add_argument("--json", action="store_true", help="the answer for programs")
    add_data_option(parser)
    parser.set_defaults(run_action=_show)


def run(arguments: argparse.Namespace) -> int:
    """Print the address. Returns 0, 1 if the page is switched off, 2 if the token or a setting cannot be used."""
    try:
        return run_action(arguments, TOKEN_FILE)
    except NoError as error:
        print(f"gateway page: {error}", file=sys.stderr)
        return 1
    except (InputError, ConfigError, LockedFileError) as error:
        print(f"gateway page: {error}", file=sys.stderr)
        return 2


def _show(path: Path, arguments: argparse.Namespace) -> int:
    # As the gateway has them that runs; its command may be typed in a shell that knows nothing of them.
    environ = running_environ(path.parent) or os.environ
    port = read_count("GATEWAY_METRICS_PORT", environ)
    if not port:
        raise NoError(
            "the page is switched off: GATEWAY_METRICS_PORT is 0. Set it to a free port, 9600 unless that is taken, "
            "and start the gateway again"
        )
    given = read_text("GATEWAY_METRICS_ADDRESS", environ)
    host = _ANY.get(given, given)
    token = new_page_token(path) if arguments.new else page_token(path)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/login?token={token}"
    if arguments.json:
        print(json.dumps({"url": url}))
        return 0
    print(url)
    print(_how_to_open(given, environ), file=sys.stderr)
    return 0


def _how_to_open(address: str, environ: Mapping[str, str]) -> str:
    if address == "127.0.0.1" and "IOTEDGE_MODULEID" in environ and _is_in_its_container():
        return (
            "that is the container's own loopback, where no browser gets: set GATEWAY_METRICS_ADDRESS to 0.0.0.0 and "
            "publish the port on the host's loopback, as docs/page.md says; whoever has the address can use the page"
        )
    return "open it in a browser on this machine; whoever has the address can use the page"


def _is_in_its_container() -> bool:
    try:
        return b"gateway" in _FIRST.read_bytes()
    except OSError:
        return False
