"""`gateway sas`: make a token, or see what is wrong with one."""

import argparse
import dataclasses
import json
import os
import re
import sys
import time
from collections.abc import Callable
from functools import partial

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.ids import ID_CHARACTERS, is_id
from edgewire.iothub.limits import LAST_EXPIRY_S
from edgewire.message import Identity, identity
from gateway.app.settings import ConfigError, read_count
from gateway.cli.inputs import (
    KEY_HELP,
    InputError,
    NoError,
    Subparsers,
    add_data_option,
    data_directory,
    did_you_mean,
    key_text,
    open_registry,
    read_key,
)
from gateway.identity.inspection import ADVICE, Inspection, Signature, inspect
from gateway.identity.registry import RegistryError
from gateway.identity.roster import SymmetricKeys

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_TTL = re.compile(r"([0-9]{1,9})([smhdw]?)")


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """`gateway sas …`."""
    parser = commands.add_parser("sas", help="make a token for a device, or see what is wrong with one")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_make(actions.add_parser("make", help="print a token for a device or module"))
    _add_inspect(actions.add_parser("inspect", help="show a token's fields, expiry, and the mistake in its signature"))


def _add_make(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print a token: the password of an MQTT CONNECT. Without a key, the registry's is used."
    hub = os.environ.get("IOTEDGE_IOTHUBHOSTNAME")
    parser.add_argument("--hub", default=hub, required=hub is None, metavar="HOST", help="the hub's host name")
    parser.add_argument("--device", required=True, metavar="ID")
    parser.add_argument("--module", metavar="M", help="a module of this device")
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument("--key", metavar="KEY", help=f"the device's or module's key: {KEY_HELP}")
    keys.add_argument("--group-key", metavar="KEY", help="its enrolment group's key; the device's is derived from it")
    parser.add_argument(
        "--ttl", default="1h", metavar="TIME", help="how long it is valid: 90s, 15m, 1h, 30d (default 1h)"
    )
    add_data_option(parser)
    parser.add_argument("--json", action="store_true", help="the answer for programs")
    parser.set_defaults(run_action=_make)


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.description = "Exit code 0 if nothing is wrong with the token, 1 if the gateway would refuse it."
    parser.add_argument("token", nargs="+", metavar="TOKEN", help="the token, in quotes; '-' reads standard input")
    parser.add_argument("--key", metavar="KEY", help=f"check the signature with this key: {KEY_HELP}")
    add_data_option(parser)
    parser.add_argument("--json", action="store_true", help="the answer for programs")
    parser.set_defaults(run_action=_inspect)


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says. Returns 0 done or good, 1 not good or no such, 2 unusable input."""
    action: Callable[[argparse.Namespace], int] = arguments.run_action
    try:
        return action(arguments)
    except NoError as error:
        print(f"gateway sas: {error}", file=sys.stderr)
        return 1
    except (InputError, RegistryError) as error:
        print(f"gateway sas: {error}", file=sys.stderr)
        return 2


# --- make -----------------------------------------------------------------------------------------------------------


def _make(arguments: argparse.Namespace) -> int:
    owner = _owner(arguments)
    resource = sas.resource_of(arguments.hub, owner)
    expires_at = int(time.time()) + seconds_of(arguments.ttl)
    if expires_at > LAST_EXPIRY_S:
        raise InputError(f"--ttl {arguments.ttl} ends after the year 9999, which no hub takes")
    token = sas.make(resource, _key_for(owner, arguments), expires_at)
    print(json.dumps({"token": token, "resource": resource, "expiresAt": expires_at}) if arguments.json else token)
    return 0


def _owner(arguments: argparse.Namespace) -> Identity:
    for text in (arguments.device, arguments.module):
        if text is not None and not is_id(text):
            raise InputError(f"'{text}' is no id: 1 to 128 of {ID_CHARACTERS}")
    return identity(arguments.device, arguments.module)


def seconds_of(ttl: str) -> int:
    """The seconds of a length of time such as 15m or 30d. Raises InputError."""
    found = _TTL.fullmatch(ttl)
    if found is None or int(found[1]) == 0:
        raise InputError(f"--ttl '{ttl}' is no length of time: expected a number with s, m, h, d or w, such as 1h")
    return int(found[1]) * _UNITS[found[2]]


def _key_for(owner: Identity, arguments: argparse.Namespace) -> bytes:
    if arguments.key is not None:
        return read_key(arguments.key)
    if arguments.group_key is not None:
        if owner.module is not None:
            raise InputError("--group-key is for devices; modules have keys of their own")
        return sas.derive_device_key(read_key(arguments.group_key), owner.device)
    keys = _registered_keys(owner, arguments)
    if not keys:
        raise NoError(f"'{owner}' is registered with a certificate: it needs no token, and has no key to sign one")
    return keys[0]


def _registered_keys(owner: Identity, arguments: argparse.Namespace) -> tuple[bytes, ...]:
    """The keys that the registry has for `owner`, or derives by its group."""
    registry = open_registry(arguments)
    entry = registry.find(owner)
    if entry is not None:
        return entry.credential.both if isinstance(entry.credential, SymmetricKeys) else ()
    if owner.module is None:
        for group in registry.groups_for(owner.device):
            return tuple(sas.derive_device_key(key, owner.device) for key in group.keys.both)
    near = did_you_mean(str(owner), map(str, registry.roster.registrations))
    raise NoError(f"'{owner}' is not registered in {data_directory(arguments)}{near}. Give its key with --key instead")


# --- inspect --------------------------------------------------------------------------------------------------------


def _inspect(arguments: argparse.Namespace) -> int:
    token = " ".join(arguments.token)
    if arguments.token == ["-"]:
        if arguments.key == "-":
            raise InputError("standard input cannot be both the token and the key; give one of them otherwise")
        token = sys.stdin.readline().rstrip("\r\n")
    try:
        found = _best(token, arguments)
    except ProtocolError as error:
        raise NoError(
            f"{error}. A token is: SharedAccessSignature sr=<resource>&sig=<signature>&se=<seconds>"
        ) from None
    _print(found, arguments)
    good = found.signature in (Signature.GOOD, Signature.NOT_CHECKED)
    return 0 if good and not found.expired and not found.remarks else 1


def _best(token: str, arguments: argparse.Namespace) -> Inspection:
    """The inspection with the key that fits, or with the first one."""
    judge = partial(inspect, now=time.time(), skew_s=_skew_s())
    if arguments.key is not None:
        return judge(token, key_text(arguments.key))
    found = judge(token, None)
    if arguments.data is None:
        return found
    keys = map(sas.encode_key, _registered_keys(_owner_of(token), arguments))
    inspections = [judge(token, key) for key in keys] or [found]
    return next((one for one in inspections if one.signature is not Signature.UNKNOWN), inspections[0])


def _skew_s() -> float:
    """What the gateway beside this command takes; its setting is in the same environment."""
    try:
        return read_count("GATEWAY_TOKEN_SKEW_S", os.environ)
    except ConfigError as error:
        raise InputError(str(error)) from None


def _owner_of(token: str) -> Identity:
    """Whose token it is, by its own word."""
    match sas.audience(sas.parse(token)).path:
        case ("devices", device):
            return identity(device)
        case ("devices", device, "modules", module):
            return identity(device, module)
        case _:
            raise NoError("the token's sr is not <hub>/devices/<device>[/modules/<module>], so no entry belongs to it")


def _print(found: Inspection, arguments: argparse.Namespace) -> None:
    if arguments.json:
        document = dataclasses.asdict(found) | {"signature": found.signature.value, "advice": ADVICE[found.signature]}
        print(json.dumps(document))
        return
    print(f"sr         {found.resource}")
    print(f"           = {found.audience}")
    print(f"expires    {found.expiry}{' (EXPIRED)' if found.expired else ''}")
    print(f"policy     {found.key_name or 'none (a device or module signed)'}")
    print(f"signature  {ADVICE[found.signature]}")
    for remark in found.remarks:
        print(f"note       {remark}")
