"""`standin status`: who is connected, and what was counted."""

import argparse
from typing import TYPE_CHECKING

from standin.client import Control
from standin.commands.terminal import DONE, add_command, json_line, say

if TYPE_CHECKING:
    from standin.commands.terminal import Commands


def add(commands: "Commands") -> None:
    """`status`."""
    status = add_command(commands, "status", _print, "who is connected, and what was counted")
    status.add_argument("--json", action="store_true", help="for programs")


def _print(arguments: argparse.Namespace) -> int:
    status = Control(arguments.dir).ask("GET", "/status")
    if arguments.json:
        say(json_line(status))
        return DONE
    say(f"{status['hub']} at {status['address']}, {status['events']} events")
    say(f"connected: {', '.join(status['connected']) or 'nobody'}")
    for name, count in status["counters"].items():
        say(f"{name}: {count}")
    return DONE
