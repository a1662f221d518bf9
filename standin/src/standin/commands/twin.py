"""`standin twin`: twins of devices and modules."""

import argparse
from typing import TYPE_CHECKING

from standin.client import Control
from standin.commands.terminal import DONE, IDENTITY, add_command, add_group, json_argument, json_page, say

if TYPE_CHECKING:
    from standin.commands.terminal import Commands


def add(commands: "Commands") -> None:
    """`twin`."""
    kinds = add_group(commands, "twin", "twins of devices and modules")
    show = add_command(kinds, "show", _show, "print a twin as JSON")
    show.add_argument("identity", metavar=IDENTITY)
    update = add_command(kinds, "update", _update, "merge JSON into the desired properties")
    update.add_argument("identity", metavar=IDENTITY)
    update.add_argument("desired", help="a JSON object, @FILE, or - for standard input; null removes a property")


def _show(arguments: argparse.Namespace) -> int:
    answer = Control(arguments.dir).ask("GET", "/twin", identity=arguments.identity)
    say(json_page(answer["properties"]))
    return DONE


def _update(arguments: argparse.Namespace) -> int:
    patch = json_argument(arguments.desired)
    answer = Control(arguments.dir).ask("PATCH", "/twin", patch, identity=arguments.identity)
    say(f"{answer['identity']} has desired version {answer['version']}")
    return DONE
