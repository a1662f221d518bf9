"""`standin faults`: what the stand-in does wrong on purpose."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from standin.client import Control
from standin.commands.terminal import DONE, add_command, add_group, json_line, pair, say
from standin.faults import DESCRIPTIONS

if TYPE_CHECKING:
    from standin.commands.terminal import Commands

_WORDS = {"on": True, "off": False}


def add(commands: "Commands") -> None:
    """`faults`."""
    kinds = add_group(commands, "faults", "what the stand-in does wrong on purpose")
    show = add_command(kinds, "show", _show, "which faults are in force, and what each does")
    show.add_argument("--json", action="store_true", help="for programs")
    change = add_command(kinds, "set", _set, "put faults in force; the others stay as they are")
    change.add_argument("faults", nargs="+", metavar="NAME=VALUE", help="on or off, or a number: see `show`")
    add_command(kinds, "clear", _clear, "end them all")
    add_command(kinds, "drop", _drop, "cut all connections once, as a broken line does")


def _show(arguments: argparse.Namespace) -> int:
    faults = Control(arguments.dir).ask("GET", "/faults")
    if arguments.json:
        say(json_line(faults))
    else:
        _print(faults)
    return DONE


def _set(arguments: argparse.Namespace) -> int:
    wanted = {name.replace("-", "_"): _value(text) for name, text in map(pair, arguments.faults)}
    _print(Control(arguments.dir).ask("PATCH", "/faults", wanted))
    return DONE


def _clear(arguments: argparse.Namespace) -> int:
    Control(arguments.dir).ask("PATCH", "/faults", {})
    say("no faults are in force")
    return DONE


def _drop(arguments: argparse.Namespace) -> int:
    dropped = Control(arguments.dir).ask("POST", "/connections/drop")["dropped"]
    say(f"{dropped} connections cut")
    return DONE


def _value(text: str) -> Any:
    """On, off, a number, or the text itself, which the stand-in refuses in words."""
    if text in _WORDS:
        return _WORDS[text]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _print(faults: dict[str, Any]) -> None:
    for name, value in faults.items():
        shown = ("on" if value else "off") if isinstance(value, bool) else f"{value:g}"
        say(f"{name.replace('_', '-'):24} {shown:>6}  {DESCRIPTIONS[name]}")
