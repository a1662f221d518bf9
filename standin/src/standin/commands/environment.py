"""`standin environment`: what IoT Edge gives a module, for a shell."""

import argparse
import shlex
from typing import TYPE_CHECKING

from standin.client import Control
from standin.commands.terminal import DONE, add_command, say

if TYPE_CHECKING:
    from standin.commands.terminal import Commands


def add(commands: "Commands") -> None:
    """`environment`."""
    environment = add_command(commands, "environment", _print, "print a module's IOTEDGE_* variables for a shell")
    environment.add_argument("module")


def _print(arguments: argparse.Namespace) -> int:
    variables = Control(arguments.dir).ask("GET", "/environment", module=arguments.module)
    for name, value in variables.items():
        say(f"export {name}={shlex.quote(value)}")
    return DONE
