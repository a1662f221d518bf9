"""`standin page`: the address at which a person logs in to the stand-in's page."""

import argparse
from typing import TYPE_CHECKING

from standin.client import Control
from standin.commands.terminal import DONE, NO, add_command, complain, say
from standin.page import page_token

if TYPE_CHECKING:
    from standin.commands.terminal import Commands


def add(commands: "Commands") -> None:
    """`page`."""
    add_command(commands, "page", _print, "print the address of the page, with the token that logs in there")


def _print(arguments: argparse.Namespace) -> int:
    page = Control(arguments.dir).ask("GET", "/status")["page"]
    if page is None:
        complain("the page is off: it was started with --page-port -1.")
        return NO
    say(f"{page}login?token={page_token(arguments.dir)}")
    return DONE
