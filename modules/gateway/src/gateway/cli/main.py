"""`gateway COMMAND`: reads the command line and runs one command."""

import argparse
import importlib
import io
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Final

from gateway import __version__
from gateway.cli.output import explained, flush, write_no_more

COMMANDS: Final = (
    "run",
    "status",
    "health",
    "doctor",
    "support-bundle",
    "tap",
    "top",
    "method",
    "check",
    "explain",
    "test",
    "schema",
    "sas",
    "devices",
    "users",
    "claims",
    "page",
    "publishers",
    "firmware",
    "store",
)
"""In the order of the help; each is a module beside this one, with `_` for `-`."""

EPILOG = """exit codes:
  0  done, or the answer is yes
  1  the answer is no: errors found, a test failed, nothing by that name, the gateway stopped by a fault
  2  wrong usage, or an input that cannot be read
  3  the gateway was stuck, and ended itself
"""


class _Columns(argparse.RawDescriptionHelpFormatter):
    """Puts what a command does beside its name, the longest too: argparse measures names without their indentation."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 — it has no public name
            longest = max(map(len, action.choices), default=0)
            self._action_max_length = max(self._action_max_length, longest + 2 * self._indent_increment)


def parser(commands: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line with these commands."""
    top = argparse.ArgumentParser(
        prog="gateway",
        description="Gateway module for Azure IoT Edge: devices in, routed by body, safe on disk, out to $upstream.",
        epilog=EPILOG,
        formatter_class=_Columns,
    )
    top.add_argument("--version", action="version", version=f"gateway {__version__}")
    subparsers = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in commands:
        _module(command).add_parser(subparsers)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name. Returns its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    # Only the module of the command that is asked for: `gateway run` keeps in memory what is loaded now.
    asked = [word for word in words[:1] if word in COMMANDS]
    try:
        return _run(parser(asked or COMMANDS), words)
    except BrokenPipeError:  # somebody reads only the first lines, as `| head` does
        write_no_more()
        return 0
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        write_no_more()
        print(f"{' '.join(['gateway', *asked])}: {explained(error)}", file=sys.stderr)
        return 2


def _run(commands: argparse.ArgumentParser, words: Sequence[str]) -> int:
    try:
        parsed = commands.parse_args(words)
        code: int = _module(parsed.command).run(parsed)
    finally:
        flush()  # the help, too, which ends with SystemExit
    return code


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"gateway.cli.{command.replace('-', '_')}")


def entry() -> None:
    """The program `gateway`: runs the command and ends the process with its exit code.

    At once if a thread of the SDK hangs in a handshake: the interpreter would wait for it up to 30 s.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # None where it is closed
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
    code = main()
    if any(each is not threading.current_thread() and not each.daemon for each in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # it is closed
                stream.flush()
        os._exit(code)
    sys.exit(code)
