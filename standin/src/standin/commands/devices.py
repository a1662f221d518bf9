"""`standin devices`: the registry."""

import argparse
from typing import TYPE_CHECKING

from standin.client import Control
from standin.commands.terminal import DONE, add_command, add_group, json_line, say

if TYPE_CHECKING:
    from standin.commands.terminal import Commands


def add(commands: "Commands") -> None:
    """`devices`."""
    kinds = add_group(commands, "devices", "the registry")
    add = add_command(kinds, "add", _add_device, "add a device, or a module as DEVICE/MODULE")
    add.add_argument("identity", metavar="DEVICE[/MODULE]")
    add.add_argument(
        "--key", action="append", default=[], help="primary, then secondary, in base64 (default: new ones)"
    )
    add.add_argument("--x509", action="store_true", help="it proves itself by a certificate of the CA folder")
    add.add_argument(
        "--thumbprint", action="append", default=[], help="… or by one with this thumbprint; may be repeated"
    )
    add.add_argument("--json", action="store_true", help="for programs")
    listing = add_command(kinds, "list", _list_devices, "list devices and modules")
    listing.add_argument("--json", action="store_true", help="for programs")
    for name, run in (("enable", _enable_device), ("disable", _disable_device), ("remove", _remove_device)):
        command = add_command(kinds, name, run, f"{name} a device or module")
        command.add_argument("identity", metavar="DEVICE[/MODULE]")


def _add_device(arguments: argparse.Namespace) -> int:
    body = {
        "identity": arguments.identity,
        "keys": arguments.key,
        "x509": arguments.x509 or bool(arguments.thumbprint),
        "thumbprints": arguments.thumbprint,
    }
    added = Control(arguments.dir).ask("POST", "/devices", body)
    say(json_line(added) if arguments.json else added["connectionString"])
    return DONE


def _list_devices(arguments: argparse.Namespace) -> int:
    answer = Control(arguments.dir).ask("GET", "/devices")
    if arguments.json:
        say(json_line(answer))
        return DONE
    for entry in answer["devices"]:
        state = "enabled" if entry["enabled"] else "disabled"
        connected = ", connected" if entry["connected"] else ""
        say(f"{entry['identity']}  {entry['authentication']}, {state}{connected}")
    return DONE


def _enable_device(arguments: argparse.Namespace) -> int:
    return _set_enabled(arguments, enabled=True)


def _disable_device(arguments: argparse.Namespace) -> int:
    return _set_enabled(arguments, enabled=False)


def _set_enabled(arguments: argparse.Namespace, *, enabled: bool) -> int:
    control = Control(arguments.dir)
    answer = control.ask("PATCH", "/devices", {"enabled": enabled}, identity=arguments.identity)
    say(f"{answer['identity']} is {'enabled' if enabled else 'disabled'}")
    return DONE


def _remove_device(arguments: argparse.Namespace) -> int:
    answer = Control(arguments.dir).ask("DELETE", "/devices", identity=arguments.identity)
    say(f"{answer['identity']} is removed")
    return DONE
