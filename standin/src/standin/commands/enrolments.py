"""`standin enrolments`, `standin linked-hubs`: who may register with the provisioning service, and for which hubs."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from edgeca.credential import thumbprint_sha256
from edgewire.iothub import sas
from standin.client import Control
from standin.commands.terminal import DONE, InputError, add_command, add_group, json_argument, json_line, json_page, say
from standin.documents import JsonObject
from standin.dps_control import without_secrets
from standin.dps_enrolments import Reprovisioning
from standin.dps_linked import find_hub

if TYPE_CHECKING:
    from standin.commands.terminal import Commands


def add(commands: "Commands") -> None:
    """`enrolments` and `linked-hubs`."""
    kinds = add_group(commands, "enrolments", "who may register with the provisioning service")
    _add_add(kinds)
    listing = add_command(kinds, "list", _list, "list enrolments of devices and groups")
    listing.add_argument("--json", action="store_true", help="for programs")
    show = _add_named(kinds, "show", _show, "print an enrolment and its registrations as JSON")
    show.add_argument("--keys", action="store_true", help="its keys, too")
    for name, run in (("enable", _enable), ("disable", _disable), ("remove", _remove)):
        _add_named(kinds, name, run, f"{name} an enrolment; devices that are assigned stay so")
    key = add_command(kinds, "device-key", _device_key, "print the key of one device of a group")
    key.add_argument("name", metavar="GROUP")
    key.add_argument("registration", metavar="ID", help="the registration id")
    hubs = add_group(commands, "linked-hubs", "hubs of other stand-ins that devices may be assigned to")
    link = add_command(hubs, "add", _link, "link the hub of the stand-in that runs in another directory")
    link.add_argument("other", type=Path, metavar="DIRECTORY")
    link.add_argument("--host", help="what devices are told to call (default: the address it listens at)")
    add_command(hubs, "list", _list_hubs, "list linked hubs")
    unlink = add_command(hubs, "remove", _unlink, "unlink a hub; its devices stay")
    unlink.add_argument("name", metavar="HUB")


def _add_add(kinds: "Commands") -> None:
    add = add_command(kinds, "add", _add, "enrol a device or a group, by symmetric keys unless a certificate is named")
    add.add_argument("name", metavar="NAME", help="the registration id, or the name of the group")
    add.add_argument("--group", action="store_true", help="a group of devices")
    add.add_argument("--key", action="append", default=[], help="primary, then secondary, in base64 (default: new)")
    add.add_argument("--certificate", type=Path, action="append", default=[], metavar="FILE", help="the device's")
    add.add_argument("--thumbprint", action="append", default=[], help="… or its thumbprint; up to two in all")
    add.add_argument("--ca", metavar="CA", help="a group's CA: root or issuing of the CA folder, or a file")
    add.add_argument("--device-id", metavar="ID", help="its id at the hub (default: the registration id)")
    add.add_argument("--edge", action="store_true", help="it is an edge device")
    add.add_argument("--tags", default="{}", metavar="JSON", help="tags of its twin when it is new; @FILE, or -")
    add.add_argument("--desired", default="{}", metavar="JSON", help="desired properties of its twin when it is new")
    add.add_argument("--hub", default="", help="a linked hub (default: the stand-in's own)")
    add.add_argument("--reset", action="store_true", help="its twin begins anew whenever it registers again")
    add.add_argument("--payload", default="null", metavar="JSON", help="what it is told (default: what it sent)")
    add.add_argument("--disabled", action="store_true", help="it may not register yet")
    add.add_argument("--json", action="store_true", help="for programs")


def _add_named(
    kinds: "Commands", name: str, run: Callable[[argparse.Namespace], int], summary: str
) -> argparse.ArgumentParser:
    command = add_command(kinds, name, run, summary)
    command.add_argument("name", metavar="NAME")
    kind = command.add_mutually_exclusive_group()
    kind.add_argument(
        "--group", dest="kind", action="store_const", const="group", default="", help="the group so called"
    )
    kind.add_argument("--individual", dest="kind", action="store_const", const="individual", help="… or the device")
    return command


def _add(arguments: argparse.Namespace) -> int:
    body = {
        "name": arguments.name,
        "group": arguments.group,
        "keys": arguments.key,
        "thumbprints": [*map(_thumbprint, arguments.certificate), *arguments.thumbprint],
        "authority": _authority(arguments.ca),
        "deviceId": arguments.device_id,
        "iotEdge": arguments.edge,
        "tags": json_argument(arguments.tags),
        "desired": json_argument(arguments.desired),
        "hub": arguments.hub,
        "reprovisioning": (Reprovisioning.RESET if arguments.reset else Reprovisioning.KEEP).value,
        "payload": json_argument(arguments.payload),
        "enabled": not arguments.disabled,
    }
    added = Control(arguments.dir).ask("POST", "/enrolments", body)
    if arguments.json:
        say(json_line(added))
        return DONE
    enrolment = added["enrolment"]
    say(f"IdScope={added['idScope']};{'Group' if enrolment['group'] else 'RegistrationId'}={enrolment['name']}")
    for name in ("primaryKey", "secondaryKey"):
        if enrolment[name]:
            say(f"{name}={enrolment[name]}")
    return DONE


def _list(arguments: argparse.Namespace) -> int:
    answer = Control(arguments.dir).ask("GET", "/enrolments")
    shown = [without_secrets(enrolment) for enrolment in answer["enrolments"]]
    if arguments.json:
        say(json_line({**answer, "enrolments": shown}))
        return DONE
    for enrolment in shown:
        kind = "group" if enrolment["group"] else "device"
        state = "enabled" if enrolment["enabled"] else "disabled"
        hub = f", for {enrolment['hub']}" if enrolment["hub"] else ""
        count = len(enrolment["registrations"])
        say(f"{enrolment['name']}  {kind}, {enrolment['attestation']}, {state}{hub}, {count} registered")
    return DONE


def _show(arguments: argparse.Namespace) -> int:
    enrolment = _find(arguments)
    say(json_page(enrolment if arguments.keys else without_secrets(enrolment)))
    return DONE


def _enable(arguments: argparse.Namespace) -> int:
    return _set_enabled(arguments, enabled=True)


def _disable(arguments: argparse.Namespace) -> int:
    return _set_enabled(arguments, enabled=False)


def _set_enabled(arguments: argparse.Namespace, *, enabled: bool) -> int:
    control = Control(arguments.dir)
    query = {"name": arguments.name, "kind": arguments.kind}
    answer = control.ask("PATCH", "/enrolments", {"enabled": enabled}, **query)
    say(f"{answer['name']} is {'enabled' if enabled else 'disabled'}")
    return DONE


def _remove(arguments: argparse.Namespace) -> int:
    answer = Control(arguments.dir).ask("DELETE", "/enrolments", name=arguments.name, kind=arguments.kind)
    say(f"{answer['name']} is removed")
    return DONE


def _device_key(arguments: argparse.Namespace) -> int:
    arguments.kind = "group"
    group = _find(arguments)
    if not group["primaryKey"]:
        raise InputError(f"{group['name']} is a group by X.509: its devices have certificates, not keys.")
    # What the device signs with whatever case its id is written in (iothub_wire.md §5.4).
    registration = arguments.registration.lower()
    say(sas.encode_key(sas.derive_device_key(sas.decode_key(group["primaryKey"]), registration)))
    return DONE


def _find(arguments: argparse.Namespace) -> JsonObject:
    """The enrolment that is meant. Raises InputError."""
    wanted = {"": (False, True), "individual": (False,), "group": (True,)}[arguments.kind]
    for enrolment in Control(arguments.dir).ask("GET", "/enrolments")["enrolments"]:
        if enrolment["name"].lower() == arguments.name.lower() and enrolment["group"] in wanted:
            found: JsonObject = enrolment
            return found
    raise InputError(f"there is no enrolment {arguments.name!r}; `standin enrolments list` shows what is.")


def _link(arguments: argparse.Namespace) -> int:
    hub = find_hub(arguments.other, arguments.host)
    body = {"name": hub.name, "host": hub.host, "directory": str(hub.directory)}
    Control(arguments.dir).ask("POST", "/linked-hubs", body)
    say(f"{hub.name} is linked; its devices call {hub.host}")
    return DONE


def _list_hubs(arguments: argparse.Namespace) -> int:
    for hub in Control(arguments.dir).ask("GET", "/linked-hubs")["hubs"]:
        say(f"{hub['name']}  {hub['host']}, {hub['directory']}")
    return DONE


def _unlink(arguments: argparse.Namespace) -> int:
    say(f"{Control(arguments.dir).ask('DELETE', '/linked-hubs', name=arguments.name)['name']} is unlinked")
    return DONE


def _thumbprint(file: Path) -> str:
    try:
        return thumbprint_sha256(x509.load_pem_x509_certificate(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as a certificate in PEM: {error}.") from error


def _authority(text: str | None) -> str:
    """The name of a CA of the folder, or the certificate in a file."""
    if text is None or text in ("root", "issuing"):
        return text or ""
    try:
        return Path(text).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{text} is neither root nor issuing, nor a file that can be read: {error}.") from error
