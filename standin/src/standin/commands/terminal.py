"""What all commands share: exit codes, what they read from the command line, how they print."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no public name

DONE: Final = 0
NO: Final = 1
"""The answer is no: not found, not connected, refused."""
UNUSABLE: Final = 2
"""Wrong usage, or something that cannot be read or opened."""
IDENTITY: Final = "MODULE|DEVICE[/MODULE]"


class InputError(Exception):
    """What the person gave cannot be used; the sentence says why."""


def add_command(
    commands: "Commands", name: str, run: Callable[[argparse.Namespace], int], summary: str
) -> argparse.ArgumentParser:
    """A command with its `--dir`."""
    parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(command=run)
    parser.add_argument(
        "--dir", type=Path, default=Path("standin-data"), help="the run directory (default: %(default)s)"
    )
    return parser


def add_group(commands: "Commands", name: str, summary: str) -> "Commands":
    """A word that has commands below it."""
    return commands.add_parser(name, help=summary).add_subparsers(required=True, metavar="COMMAND")


def json_argument(text: str) -> Any:
    """JSON given on the command line, in a file, or on standard input. Raises InputError."""
    given = text_argument(text)
    try:
        return orjson.loads(given)
    except orjson.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}; write for example '{{\"on\": true}}', quoted for the shell.") from error


def text_argument(text: str) -> str:
    """The text itself, `@FILE`'s, or for `-` that of standard input. Raises InputError."""
    if text == "-":
        return sys.stdin.read()
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{text[1:]} cannot be read: {error}.") from error


def pair(text: str) -> tuple[str, str]:
    """`NAME=VALUE`. Raises InputError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InputError(f"'{text}' is not NAME=VALUE.")
    return name, value


def json_line(document: object) -> str:
    """A document for programs."""
    return orjson.dumps(document).decode()


def json_page(document: object) -> str:
    """A document for people."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def say(text: str) -> None:
    """One line of the answer, seen at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """What went wrong."""
    sys.stderr.write(f"standin: {text}\n")
