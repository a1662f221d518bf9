"""`standin invoke-method`: call a direct method."""

import argparse
from typing import TYPE_CHECKING

from standin.client import Control
from standin.commands.terminal import DONE, IDENTITY, add_command, json_argument, json_line, say

if TYPE_CHECKING:
    from standin.commands.terminal import Commands


def add(commands: "Commands") -> None:
    """`invoke-method`."""
    method = add_command(commands, "invoke-method", _invoke, "call a direct method and print the answer")
    method.add_argument("identity", metavar=IDENTITY)
    method.add_argument("name")
    method.add_argument("payload", nargs="?", default="null", help="JSON, @FILE, or - (default: null)")
    method.add_argument("--timeout", type=float, default=30, metavar="S", help="for the answer (default: %(default)s)")
    method.add_argument("--connect-timeout", type=float, default=0, metavar="S", help="for the device to connect")


def _invoke(arguments: argparse.Namespace) -> int:
    call = {
        "methodName": arguments.name,
        "payload": json_argument(arguments.payload),
        "responseTimeoutInSeconds": arguments.timeout,
        "connectTimeoutInSeconds": arguments.connect_timeout,
    }
    say(json_line(Control(arguments.dir).ask("POST", "/method", call, identity=arguments.identity)))
    return DONE
