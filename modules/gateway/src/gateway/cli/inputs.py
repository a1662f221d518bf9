"""What commands on devices and tokens take in alike: the data directory, keys, near matches."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from edgewire.iothub import sas
from gateway.identity.registry import FILE_NAME, Registry

KEY_HELP = "base64, as in a connection string; '-' reads it from standard input, 'env:NAME' from the environment"


Subparsers = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for what add_subparsers returns


T = TypeVar("T")


class InputError(Exception):
    """Something the person gave cannot be used: exit code 2."""


class NoError(Exception):
    """The answer is no: exit code 1."""


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """`--data DIR`."""
    parser.add_argument(
        "--data",
        type=Path,
        default=None,
        metavar="DIR",
        help="the gateway's data directory (default: GATEWAY_DATA_DIR, else /data)",
    )


def add_action(
    actions: "Subparsers[argparse.ArgumentParser]",
    name: str,
    run_: Callable[[T, argparse.Namespace], int],
    what: str,
    *subjects: str,
) -> argparse.ArgumentParser:
    """An action of a command on something of the data folder; `subjects` are what it works on, in their order."""
    parser = actions.add_parser(name, help=what, description=what)
    for subject in subjects:
        parser.add_argument(subject.lower(), metavar=subject)
    add_data_option(parser)
    parser.add_argument("--json", action="store_true", help="the answer for programs")
    parser.set_defaults(run_action=run_)
    return parser


def run_action(arguments: argparse.Namespace, file_name: str) -> int:
    """Do what the command line says with this file of the data folder. Raises InputError if there is no folder."""
    directory = data_directory(arguments)
    if not directory.is_dir():
        raise InputError(f"there is no directory {directory}; name the gateway's with --data or GATEWAY_DATA_DIR")
    action: Callable[[Path, argparse.Namespace], int] = arguments.run_action
    return action(directory / file_name, arguments)


def data_directory(arguments: argparse.Namespace) -> Path:
    """The directory that `--data` or the environment names."""
    given: Path | None = arguments.data
    return given if given is not None else Path(os.environ.get("GATEWAY_DATA_DIR") or "/data")


def open_registry(arguments: argparse.Namespace) -> Registry:
    """The registry in the data directory. Raises InputError or RegistryError if there cannot be one."""
    directory = data_directory(arguments)
    if not directory.is_dir():
        raise InputError(f"there is no directory {directory}; name the gateway's with --data or GATEWAY_DATA_DIR")
    return Registry(directory / FILE_NAME)


def key_text(given: str) -> str:
    """A key as it was given: the text itself, from the environment, or from standard input."""
    if given == "-":
        return sys.stdin.readline().strip()
    if given.startswith("env:"):
        name = given.removeprefix("env:")
        if name not in os.environ:
            raise InputError(f"the environment has no {name}; set it to the key, or give the key with --key -")
        return os.environ[name].strip()
    return given.strip()


def read_key(given: str) -> bytes:
    """The bytes of a key that was given. Raises InputError, without the key in it."""
    text = key_text(given)
    if "SharedAccessKey=" in text:
        raise InputError("that is a whole connection string; give only what stands after 'SharedAccessKey='")
    try:
        return sas.decode_key(text)
    except ValueError as error:
        raise InputError(f"{error}. It was not changed or stored") from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The near matches among `known`, as the end of a sentence; empty if nothing is near."""
    near = difflib.get_close_matches(word, list(known), 3, 0.6)
    quoted = " or ".join(f"'{name}'" for name in near)
    return f"; did you mean {quoted}?" if near else ""
