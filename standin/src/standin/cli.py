"""The command `standin`: run it, and ask a running one."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from edgeca.errors import CaError
from standin.app import StandInError
from standin.client import ControlError
from standin.commands import (
    devices,
    enrolments,
    environment,
    eventhubs,
    events,
    faults,
    messages,
    method,
    modules,
    page,
    run,
    sas,
    status,
    twin,
)
from standin.commands.terminal import DONE, NO, UNUSABLE, InputError, complain
from standin.registry import RegistryError
from standin.routes import RoutesError

COMMANDS: Final = (
    run,
    devices,
    enrolments,
    events,
    eventhubs,
    messages,
    twin,
    method,
    modules,
    sas,
    environment,
    faults,
    page,
    status,
)
"""In the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code: 0 done, 1 the answer is no, 2 wrong usage or unusable input."""
    parsed = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = parsed.command
    try:
        return command(parsed)
    except (StandInError, InputError, RoutesError, RegistryError, CaError) as error:
        complain(str(error))
        return UNUSABLE
    except ControlError as error:
        complain(error.what)
        return NO if error.status else UNUSABLE
    except BrokenPipeError:
        # Whoever read our output has enough; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="standin",
        description="A local IoT Hub, provisioning service, edgeHub and workload API. For development and tests only.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for each in COMMANDS:
        each.add(commands)
    return parser
