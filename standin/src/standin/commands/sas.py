"""`standin sas` and `standin connection-string`: what programs prove themselves with."""

import argparse
from typing import TYPE_CHECKING

from standin.client import Control
from standin.commands.terminal import DONE, IDENTITY, InputError, add_command, say

if TYPE_CHECKING:
    from standin.commands.terminal import Commands


def add(commands: "Commands") -> None:
    """`sas`, `connection-string`."""
    sas = add_command(commands, "sas", _token, "print a token of a device, a module, or a policy")
    sas.add_argument("--life", type=float, default=3600, metavar="S", help="seconds (default: %(default)s)")
    sas.add_argument("--host", help="the host it is for (default: the hub's name)")
    string = add_command(commands, "connection-string", _string, "print what a client is configured with")
    string.add_argument("--events", action="store_true", help="of the Event Hub-compatible endpoint")
    for command in (sas, string):
        command.add_argument("identity", nargs="?", metavar=IDENTITY)
        command.add_argument("--policy", metavar="NAME", help="iothubowner, service, device, registryRead, …")


def _token(arguments: argparse.Namespace) -> int:
    query = _whose(arguments) | {"life_s": arguments.life} | ({"host": arguments.host} if arguments.host else {})
    say(Control(arguments.dir).ask("GET", "/token", **query)["token"])
    return DONE


def _string(arguments: argparse.Namespace) -> int:
    query = {"events": 1} | _policy(arguments) if arguments.events else _whose(arguments)
    say(Control(arguments.dir).ask("GET", "/connection-string", **query)["connectionString"])
    return DONE


def _whose(arguments: argparse.Namespace) -> dict[str, str | float]:
    if (arguments.identity is None) == (arguments.policy is None):
        raise InputError("name either a device or module, or a policy with --policy.")
    return _policy(arguments) or {"identity": arguments.identity}


def _policy(arguments: argparse.Namespace) -> dict[str, str | float]:
    return {} if arguments.policy is None else {"policy": arguments.policy}
