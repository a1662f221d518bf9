"""`gateway devices`: who may connect. Works on the registry's file, while the gateway runs or not."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from edgewire.iothub import sas
from edgewire.iothub.ids import ID_CHARACTERS, is_id
from edgewire.message import Identity, identity
from gateway.cli.inputs import (
    KEY_HELP,
    InputError,
    NoError,
    Subparsers,
    add_action,
    did_you_mean,
    open_registry,
    read_key,
)
from gateway.identity.registry import Registry, RegistryError
from gateway.identity.roster import (
    MAX_GROUPS,
    CaSigned,
    Credential,
    Group,
    NoCredential,
    Registration,
    Roster,
    SymmetricKeys,
    Thumbprints,
    parse_thumbprint,
)

NEW_KEY_BYTES = 32
NEW_GROUP_KEY_BYTES = 64


# --- the command line -----------------------------------------------------------------------------------------------


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """`gateway devices …`."""
    parser = commands.add_parser("devices", help="who may connect: add, list, show, remove, disable, enable")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_options(
        add_action(actions, "add", _add, "register a device or module (with new keys unless some are given)", "ID")
    )
    group = add_action(
        actions, "add-group", _add_group, "register an enrolment group: its devices need no entry", "NAME"
    )
    _add_key_options(group)
    group.add_argument("--id-prefix", default="", metavar="TEXT", help="only devices whose ids begin so")
    group.add_argument("--disabled", action="store_true", help="let nobody in by it yet")
    add_action(actions, "list", _list, "all devices, modules and groups")
    show = add_action(actions, "show", _show, "one device, module or group", "ID")
    show.add_argument("--keys", action="store_true", help="show keys and connection string too")
    _add_target_options(show)
    _add_host_options(show)
    derive = add_action(actions, "derive-key", _derive_key, "the keys of one device of a group", "ID")
    derive.add_argument("--group", required=True, metavar="NAME")
    _add_host_options(derive)
    for name, run_, what in (
        ("remove", _remove, "forget a device with its modules, a module, or a group"),
        ("disable", _disable, "let it in no more; its connection ends"),
        ("enable", _enable, "let it in again"),
    ):
        _add_target_options(add_action(actions, name, run_, what, "ID"))
    renew = add_action(actions, "regenerate-key", _regenerate_key, "new keys; the other one goes on working", "ID")
    renew.add_argument("--which", choices=("primary", "secondary", "both"), default="primary")
    _add_target_options(renew)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--module", metavar="M", help="a module of this device")
    _add_key_options(parser)
    parser.add_argument("--thumbprint", metavar="HEX", help="SHA-1 or SHA-256 of the device's certificate")
    parser.add_argument("--secondary-thumbprint", metavar="HEX", help="the next certificate, to renew without a gap")
    parser.add_argument("--x509-ca", action="store_true", help="certificate from the trust bundle, common name = ID")
    parser.add_argument(
        "--no-login", action="store_true", help="no credentials: it is known by the topics it publishes to"
    )
    parser.add_argument("--disabled", action="store_true", help="known, but not let in; also for one of a group")


def _add_key_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", metavar="KEY", help=f"primary key: {KEY_HELP}")
    parser.add_argument("--secondary-key", metavar="KEY", help="the same for the secondary key")


def _add_target_options(parser: argparse.ArgumentParser) -> None:
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--module", metavar="M", help="this module of the device")
    target.add_argument("--group", action="store_true", help="ID is the name of a group")


def _add_host_options(parser: argparse.ArgumentParser) -> None:
    hub = os.environ.get("IOTEDGE_IOTHUBHOSTNAME")
    parser.add_argument("--hub", default=hub, metavar="HOST", help="the hub's host name, for the connection string")
    parser.add_argument("--gateway", metavar="HOST", help="this gateway's name, as devices reach it")


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says. Returns 0 done, 1 no such or already there, 2 unusable input."""
    try:
        return _run_action(arguments)
    except NoError as error:
        print(f"gateway devices: {error}", file=sys.stderr)
        return 1
    except (InputError, RegistryError) as error:
        print(f"gateway devices: {error}", file=sys.stderr)
        return 2


def _run_action(arguments: argparse.Namespace) -> int:
    action: Callable[[Registry, argparse.Namespace], int] = arguments.run_action
    return action(open_registry(arguments), arguments)


# --- adding ---------------------------------------------------------------------------------------------------------


def _add(registry: Registry, arguments: argparse.Namespace) -> int:
    who = _new_identity(arguments)
    entry = Registration(who, _new_credential(arguments), not arguments.disabled)

    def change(roster: Roster) -> Roster:
        if who in roster.registrations:
            raise NoError(f"{_named(who)} is there already; to begin anew, remove it first")
        if who.module is not None and identity(who.device) not in roster.registrations:
            raise NoError(
                f"{_unknown(identity(who.device), roster)}. A module's device must be added before the module"
            )
        return roster.with_registration(entry)

    registry.edit(change)
    _print(arguments, _document(entry, {}), f"{_named(who)} added, {_status(entry)}: {_kind(entry.credential)}")
    return 0


def _add_group(registry: Registry, arguments: argparse.Namespace) -> int:
    if arguments.id_prefix and not is_id(arguments.id_prefix):
        raise InputError(f"'{arguments.id_prefix}' is no beginning of an id, which has {ID_CHARACTERS}")
    name = _checked_id(arguments.name)
    group = Group(name, _new_keys(arguments, NEW_GROUP_KEY_BYTES), arguments.id_prefix, not arguments.disabled)

    def change(roster: Roster) -> Roster:
        if name in roster.groups:
            raise NoError(f"group '{name}' is there already; to begin anew, remove it first (remove {name} --group)")
        if len(roster.groups) >= MAX_GROUPS:
            raise NoError(f"there are {MAX_GROUPS} groups already, which is the limit; remove one first")
        return roster.with_group(group)

    registry.edit(change)
    _print(arguments, _group_document(group, {}), f"group '{name}' added, {_status(group)}, for {_whom(group)}")
    return 0


def _new_identity(arguments: argparse.Namespace) -> Identity:
    module = None if arguments.module is None else _checked_id(arguments.module)
    return identity(_checked_id(arguments.id), module)


def _checked_id(text: str) -> str:
    if not is_id(text):
        raise InputError(f"'{text}' is no id: 1 to 128 of {ID_CHARACTERS}")
    return text


def _new_credential(arguments: argparse.Namespace) -> Credential:
    by_key = arguments.key is not None or arguments.secondary_key is not None
    by_thumbprint = arguments.thumbprint is not None or arguments.secondary_thumbprint is not None
    if by_key + by_thumbprint + arguments.x509_ca + arguments.no_login > 1:
        raise InputError(
            "keys, thumbprints, --x509-ca and --no-login exclude each other: a device proves itself in one way"
        )
    if arguments.module is not None and (by_thumbprint or arguments.x509_ca or arguments.no_login):
        raise InputError("a module proves itself by keys only, with IoT Edge as well as here")
    if arguments.x509_ca:
        return CaSigned()
    if arguments.no_login:
        return NoCredential()
    return _new_thumbprints(arguments) if by_thumbprint else _new_keys(arguments, NEW_KEY_BYTES)


def _new_thumbprints(arguments: argparse.Namespace) -> Thumbprints:
    if arguments.thumbprint is None:
        raise InputError("--secondary-thumbprint needs --thumbprint")
    try:
        second = arguments.secondary_thumbprint
        return Thumbprints(parse_thumbprint(arguments.thumbprint), None if second is None else parse_thumbprint(second))
    except ValueError as error:
        raise InputError(str(error)) from None


def _new_keys(arguments: argparse.Namespace, length: int) -> SymmetricKeys:
    """The keys that were given, and new ones for those that were not."""
    primary = os.urandom(length) if arguments.key is None else read_key(arguments.key)
    secondary = os.urandom(length) if arguments.secondary_key is None else read_key(arguments.secondary_key)
    return SymmetricKeys(primary, secondary)


# --- looking --------------------------------------------------------------------------------------------------------


def _list(registry: Registry, arguments: argparse.Namespace) -> int:
    roster = registry.roster
    entries = sorted(roster.registrations.values(), key=lambda entry: str(entry.identity))
    groups = sorted(roster.groups.values(), key=lambda group: group.name)
    if arguments.json:
        devices = [_document(entry, {}) for entry in entries]
        print(json.dumps({"devices": devices, "groups": [_group_document(group, {}) for group in groups]}))
        return 0
    rows = [(str(entry.identity), _status(entry), _kind(entry.credential)) for entry in entries]
    rows += [(f"group {group.name}", _status(group), _whom(group)) for group in groups]
    if not rows:
        print("no devices yet; `gateway devices add ID` registers one")
    width = max((len(row[0]) for row in rows), default=0)
    for name, status, kind in rows:
        print(f"{name:{width}}  {status:8}  {kind}")
    return 0


def _show(registry: Registry, arguments: argparse.Namespace) -> int:
    if arguments.group:
        group = _group(registry.roster, arguments.id)
        keys = _key_members(group.keys) if arguments.keys else {}
        _print_fields(arguments, _group_document(group, keys))
        return 0
    entry = _entry(registry.roster, identity(arguments.id, arguments.module))
    document = _document(entry, _secrets(entry, arguments) if arguments.keys else {})
    if entry.identity.module is None:
        document["modules"] = sorted(
            one.module for one in registry.roster.registrations if one.device == entry.identity.device and one.module
        )
    _print_fields(arguments, document)
    return 0


def _derive_key(registry: Registry, arguments: argparse.Namespace) -> int:
    group = _group(registry.roster, arguments.group)
    device = _checked_id(arguments.id)
    if not group.takes(device):
        raise NoError(f"'{device}' cannot belong to group '{group.name}', which is for {_whom(group)}")
    if identity(device) in registry.roster.registrations:
        raise NoError(f"device '{device}' has an entry of its own, which wins over any group; see `devices show`")
    primary, secondary = (sas.derive_device_key(key, device) for key in group.keys.both)
    entry = Registration(identity(device), SymmetricKeys(primary, secondary), group.enabled)
    _print_fields(arguments, {**_document(entry, _secrets(entry, arguments)), "group": group.name})
    return 0


def _secrets(entry: Registration, arguments: argparse.Namespace) -> dict[str, str]:
    """Keys, and the connection string where the hub is known."""
    keys = _key_members(entry.credential) if isinstance(entry.credential, SymmetricKeys) else {}
    if arguments.hub is None or isinstance(entry.credential, NoCredential):
        return keys
    parts = [f"HostName={arguments.hub}", f"DeviceId={entry.identity.device}"]
    if entry.identity.module is not None:
        parts.append(f"ModuleId={entry.identity.module}")
    parts.append(f"SharedAccessKey={keys['primaryKey']}" if keys else "x509=true")
    if arguments.gateway is not None:
        parts.append(f"GatewayHostName={arguments.gateway}")
    return keys | {"connectionString": ";".join(parts)}


# --- changing -------------------------------------------------------------------------------------------------------


def _remove(registry: Registry, arguments: argparse.Namespace) -> int:
    if arguments.group:
        registry.edit(lambda roster: roster.without_group(_group(roster, arguments.id).name))
        return _done(arguments, f"group '{arguments.id}' removed")
    who = identity(arguments.id, arguments.module)
    registry.edit(lambda roster: roster.without(_entry(roster, who).identity))
    return _done(arguments, f"{_named(who)} removed")


def _disable(registry: Registry, arguments: argparse.Namespace) -> int:
    return _set_status(registry, arguments, enabled=False)


def _enable(registry: Registry, arguments: argparse.Namespace) -> int:
    return _set_status(registry, arguments, enabled=True)


def _set_status(registry: Registry, arguments: argparse.Namespace, *, enabled: bool) -> int:
    status = "enabled" if enabled else "disabled"
    if arguments.group:
        registry.edit(lambda roster: roster.with_group(replace(_group(roster, arguments.id), enabled=enabled)))
        return _done(arguments, f"group '{arguments.id}' {status}")
    who = identity(arguments.id, arguments.module)
    registry.edit(lambda roster: roster.with_registration(replace(_entry(roster, who), enabled=enabled)))
    return _done(arguments, f"{_named(who)} {status}")


def _regenerate_key(registry: Registry, arguments: argparse.Namespace) -> int:
    def change(roster: Roster) -> Roster:
        if arguments.group:
            group = _group(roster, arguments.id)
            return roster.with_group(replace(group, keys=_renewed(group.keys, arguments.which, NEW_GROUP_KEY_BYTES)))
        entry = _entry(roster, identity(arguments.id, arguments.module))
        if not isinstance(entry.credential, SymmetricKeys):
            raise NoError(f"{_named(entry.identity)} has no keys: {_kind(entry.credential)}")
        keys = _renewed(entry.credential, arguments.which, NEW_KEY_BYTES)
        return roster.with_registration(replace(entry, credential=keys))

    registry.edit(change)
    return _done(arguments, f"new {arguments.which} key for '{arguments.id}'; `gateway devices show … --keys` shows it")


def _renewed(keys: SymmetricKeys, which: str, length: int) -> SymmetricKeys:
    primary = keys.primary if which == "secondary" else os.urandom(length)
    return SymmetricKeys(primary, keys.secondary if which == "primary" else os.urandom(length))


# --- finding and wording --------------------------------------------------------------------------------------------


def _entry(roster: Roster, who: Identity) -> Registration:
    entry = roster.registrations.get(who)
    if entry is None:
        raise NoError(_unknown(who, roster))
    return entry


def _group(roster: Roster, name: str) -> Group:
    if name not in roster.groups:
        raise NoError(f"there is no group '{name}'{did_you_mean(name, roster.groups)}")
    return roster.groups[name]


def _unknown(who: Identity, roster: Roster) -> str:
    """That there is no such entry, with what may have been meant."""
    if near := did_you_mean(str(who), map(str, roster.registrations)):
        return f"there is no {_named(who)}{near}"
    groups = [group.name for group in roster.groups.values() if who.module is None and group.takes(who.device)]
    if groups:
        return (
            f"there is no {_named(who)} with an entry of its own; it may come by group '{groups[0]}'. "
            f"To shut out this one: gateway devices add {who.device} --disabled"
        )
    return f"there is no {_named(who)}; `gateway devices list` shows all"


def _named(who: Identity) -> str:
    return f"device '{who}'" if who.module is None else f"module '{who}'"


def _status(one: Registration | Group) -> str:
    return "enabled" if one.enabled else "disabled"


def _whom(group: Group) -> str:
    return f"devices '{group.id_prefix}…'" if group.id_prefix else "devices of any id"


def _kind(credential: Credential) -> str:
    match credential:
        case SymmetricKeys():
            return "symmetric keys"
        case Thumbprints():
            return "certificate by thumbprint"
        case CaSigned():
            return "certificate from the trust bundle"
        case NoCredential():
            return "no login, by topics"


def _document(entry: Registration, secrets: Mapping[str, str]) -> dict[str, Any]:
    """An entry for programs; without secrets unless they are given."""
    document: dict[str, Any] = {"deviceId": entry.identity.device}
    if entry.identity.module is not None:
        document["moduleId"] = entry.identity.module
    document |= {"status": _status(entry), "authentication": _kind(entry.credential)}
    if isinstance(entry.credential, Thumbprints):
        document["thumbprints"] = list(entry.credential)
    return document | dict(secrets)


def _group_document(group: Group, secrets: Mapping[str, str]) -> dict[str, Any]:
    return {"group": group.name, "status": _status(group), "idPrefix": group.id_prefix, **secrets}


def _key_members(keys: SymmetricKeys) -> dict[str, str]:
    return {"primaryKey": sas.encode_key(keys.primary), "secondaryKey": sas.encode_key(keys.secondary)}


def _done(arguments: argparse.Namespace, sentence: str) -> int:
    _print(arguments, {"done": sentence}, sentence)
    return 0


def _print(arguments: argparse.Namespace, document: Mapping[str, Any], sentence: str) -> None:
    print(json.dumps(document) if arguments.json else sentence)


def _print_fields(arguments: argparse.Namespace, document: Mapping[str, Any]) -> None:
    if arguments.json:
        print(json.dumps(document))
        return
    width = max(map(len, document))
    for name, value in document.items():
        shown = ", ".join(value) or "none" if isinstance(value, list) else value or "none"
        print(f"{name:{width}}  {shown}")
