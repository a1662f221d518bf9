"""`gateway COMMAND`: reads the command line and runs one command."""

import argparse
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway import __version__
from gateway.cli import check, devices, explain, run, sas, store, test

RUN: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "run": run.run,
    "check": check.run,
    "explain": explain.run,
    "test": test.run,
    "sas": sas.run,
    "devices": devices.run,
    "store": store.run,
}

EPILOG = """exit codes:
  0  done, or the answer is yes
  1  the answer is no: errors found, a test failed, nothing by that name, the gateway stopped by a fault
  2  wrong usage, or an input that cannot be read
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="gateway",
        description="Gateway module for Azure IoT Edge: devices in, routed by body, safe on disk, out to $upstream.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"gateway {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in (run, check, explain, test, sas, devices, store):
        command.add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name. Returns its exit code."""
    parsed = parser().parse_args(arguments)
    try:
        return RUN[parsed.command](parsed)
    except BrokenPipeError:  # somebody reads only the first lines, as `| head` does
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130


def entry() -> None:
    """The program `gateway`: runs the command and ends the process with its exit code.

    At once if a thread of the SDK hangs in a handshake: the interpreter would wait for it up to 30 s.
    """
    code = main()
    if any(each is not threading.current_thread() and not each.daemon for each in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
