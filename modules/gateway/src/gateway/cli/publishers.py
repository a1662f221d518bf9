"""`gateway publishers`: hubs in Event Hubs' form, rules, tokens, revocations. Works while the gateway runs or not."""

import argparse
import base64
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from edgewire.iothub import sas
from edgewire.iothub.http.publisher import PublisherRequest, is_hub, resource_of
from edgewire.iothub.ids import ID_CHARACTERS, is_id
from edgewire.iothub.limits import LAST_EXPIRY_S
from gateway.cli.inputs import InputError, NoError, Subparsers, add_action, did_you_mean, key_text, run_action
from gateway.cli.sas import seconds_of
from gateway.identity.locked_file import LockedFileError
from gateway.identity.publisher_hubs import (
    MAX_KEY_CHARS,
    MIN_KEY_CHARS,
    Hub,
    Hubs,
    PublishersError,
    Rule,
    is_host,
    is_key,
    is_rule,
)
from gateway.identity.publishers import PUBLISHERS_FILE, edit_publishers, read_publishers

KEY_HELP: Final = "as Event Hubs shows it; '-' reads it from standard input, 'env:NAME' from the environment"
NEW_KEY_BYTES: Final = 32


# --- the command line -----------------------------------------------------------------------------------------------


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """`gateway publishers …`."""
    parser = commands.add_parser("publishers", help="who may send in Event Hubs' form: hubs, rules, tokens, revocation")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = add_action(actions, "add-hub", _add_hub, "serve a hub; of one that is there, what is given is changed", "HUB")
    add.add_argument(
        "--host", action="append", metavar="NAME", help="a name its address may have beside the gateway's own; repeat"
    )
    add.add_argument("--device-prefix", metavar="TEXT", help="a publisher is the device TEXT + its name (default: '')")
    add.add_argument(
        "--device", metavar="ID", help="whose messages those are that name no publisher (default: refused)"
    )
    add_action(actions, "remove-hub", _remove_hub, "serve it no more; its rules and revocations are forgotten", "HUB")
    rule = add_action(
        actions, "add-rule", _add_rule, "a rule that may send, with new keys unless one is given", "HUB", "RULE"
    )
    rule.add_argument("--key", metavar="KEY", help=f"its primary key: {KEY_HELP}")
    rule.add_argument("--secondary-key", metavar="KEY", help="its secondary key, in the same way")
    add_action(actions, "remove-rule", _remove_rule, "no token that names it is good any more", "HUB", "RULE")
    renew = add_action(
        actions, "regenerate-key", _regenerate, "a new key; the other one goes on working", "HUB", "RULE"
    )
    renew.add_argument("--which", choices=("primary", "secondary", "both"), default="primary")
    token = add_action(actions, "token", _token, "print a token: the Authorization of a request", "HUB", "RULE")
    token.add_argument("--publisher", metavar="NAME", help="for this publisher alone (default: for the whole hub)")
    token.add_argument("--host", metavar="NAME", help="the name that the publisher dials (default: the hub's first)")
    token.add_argument("--ttl", default="1h", metavar="TIME", help="how long it is valid: 15m, 1h, 30d (default 1h)")
    for name, run_, what in (
        ("revoke", _revoke, "let nobody in as this publisher, whatever the token; at once"),
        ("restore", _restore, "let it in again; tokens that it had are good again"),
    ):
        add_action(actions, name, run_, what, "HUB", "PUBLISHER")
    add_action(actions, "list", _list, "all hubs with their rules and who is revoked; never the keys")


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says. Returns 0 done, 1 no such or already there, 2 unusable input."""
    try:
        return run_action(arguments, PUBLISHERS_FILE)
    except (NoError, PublishersError) as error:
        print(f"gateway publishers: {error}", file=sys.stderr)
        return 1
    except (InputError, LockedFileError) as error:
        print(f"gateway publishers: {error}", file=sys.stderr)
        return 2


def _say(arguments: argparse.Namespace, sentence: str) -> int:
    print(json.dumps({"done": sentence}) if arguments.json else sentence)
    return 0


# --- hubs -------------------------------------------------------------------------------------------------------------


def _add_hub(path: Path, arguments: argparse.Namespace) -> int:
    name = arguments.hub.lower()
    if not is_hub(name):
        raise InputError(
            f"'{arguments.hub[:80]}' is no name of a hub here: up to 256 letters, digits, '.', '_' and '-', with a "
            "letter or digit at both ends, and no first part of another path (devices, twins, messages, …)"
        )
    given = {
        "hosts": None if arguments.host is None else tuple(_host(each) for each in arguments.host),
        "device_prefix": _id(arguments.device_prefix, "beginning of an id"),
        "device": _id(arguments.device, "id"),
    }
    changes: dict[str, Any] = {member: value for member, value in given.items() if value is not None}

    def change(hubs: Hubs) -> Hubs:
        return hubs.with_hub(replace(hubs.by_name.get(name, Hub(name=name)), **changes))

    hub = edit_publishers(path, change).by_name[name]
    if arguments.json:
        print(json.dumps(_document(hub)))
        return 0
    print(f"hub '{name}' is served: {_whose(hub)}")
    if not hub.rules:
        print(f"it has no rule yet: gateway publishers add-rule {name} RULE", file=sys.stderr)
    return 0


def _remove_hub(path: Path, arguments: argparse.Namespace) -> int:
    hub = _known_hub(path, arguments.hub)
    edit_publishers(path, lambda hubs: hubs.without(hub.name))
    return _say(arguments, f"hub '{hub.name}' removed")


def _host(text: str) -> str:
    host = text.strip().lower()
    if not is_host(host):
        raise InputError(
            f"'{text[:80]}' is no host name: give it without scheme, port and path, as in contoso-ns.example"
        )
    return host


def _id(text: str | None, what: str) -> str | None:
    if text and not is_id(text):
        raise InputError(f"'{text[:130]}' is no {what}: 1 to 128 of {ID_CHARACTERS}")
    return text


def _known_hub(path: Path, given: str) -> Hub:
    hubs, _ = read_publishers(path)
    hub = hubs.by_name.get(given.lower())
    if hub is None:
        raise NoError(f"there is no hub '{given[:80]}'{did_you_mean(given.lower(), hubs.by_name)}")
    return hub


# --- rules ------------------------------------------------------------------------------------------------------------


def _add_rule(path: Path, arguments: argparse.Namespace) -> int:
    hub, name = _known_hub(path, arguments.hub), arguments.rule
    if not is_rule(name):
        raise InputError(f"'{name[:80]}' is no name of a rule: letters, digits, '.', '_' and '-'")
    if arguments.key == "-" == arguments.secondary_key:
        raise InputError("standard input cannot be both keys; give one of them otherwise")
    rule = Rule(_given_key(arguments.key), _given_key(arguments.secondary_key))

    def change(hubs: Hubs) -> Hubs:
        now = hubs.hub(hub.name)
        if now.rule(name) is not None:
            raise PublishersError(
                f"hub '{hub.name}' has a rule '{name}' already; `regenerate-key` gives it another key"
            )
        return hubs.with_hub(replace(now, rules={**now.rules, name: rule}))

    edit_publishers(path, change)
    return _show_keys(arguments, hub, name, rule)


def _given_key(given: str | None) -> str:
    if given is None:
        return base64.b64encode(os.urandom(NEW_KEY_BYTES)).decode("ascii")
    key = key_text(given)
    if "SharedAccessKey=" in key:
        raise InputError("that is a whole connection string; give only what stands after 'SharedAccessKey='")
    if not is_key(key):
        raise InputError(
            f"the key must have {MIN_KEY_CHARS} to {MAX_KEY_CHARS} visible ASCII characters; nothing was kept"
        )
    return key


def _regenerate(path: Path, arguments: argparse.Namespace) -> int:
    hub, name = _known_rule(path, arguments)
    fresh, which = _given_key(None), arguments.which

    def change(hubs: Hubs) -> Hubs:
        now = hubs.hub(hub.name)
        old = _rule(now, name)
        first = fresh if which in ("primary", "both") else old.primary
        second = old.secondary if which == "primary" else fresh if which == "secondary" else _given_key(None)
        return hubs.with_hub(replace(now, rules={**now.rules, name: Rule(first, second)}))

    after = edit_publishers(path, change).by_name[hub.name]
    return _show_keys(arguments, after, name, after.rules[name])


def _remove_rule(path: Path, arguments: argparse.Namespace) -> int:
    hub, name = _known_rule(path, arguments)

    def change(hubs: Hubs) -> Hubs:
        now = hubs.hub(hub.name)
        return hubs.with_hub(replace(now, rules={each: rule for each, rule in now.rules.items() if each != name}))

    edit_publishers(path, change)
    return _say(arguments, f"rule '{name}' of hub '{hub.name}' removed")


def _known_rule(path: Path, arguments: argparse.Namespace) -> tuple[Hub, str]:
    """The hub, and the rule's name as the file has it."""
    hub = _known_hub(path, arguments.hub)
    folded = arguments.rule.lower()
    name = next((each for each in hub.rules if each.lower() == folded), None)
    if name is None:
        raise NoError(f"hub '{hub.name}' has no rule '{arguments.rule[:80]}'{did_you_mean(arguments.rule, hub.rules)}")
    return hub, name


def _rule(hub: Hub, name: str) -> Rule:
    rule = hub.rule(name)
    if rule is None:
        raise PublishersError(f"hub '{hub.name}' has no rule '{name}' any more")
    return rule


def _show_keys(arguments: argparse.Namespace, hub: Hub, name: str, rule: Rule) -> int:
    if arguments.json:
        keys = {"primaryKey": rule.primary, "secondaryKey": rule.secondary}
        print(json.dumps({"hub": hub.name, "rule": name, **keys}))
        return 0
    print(rule.primary)
    print(f"the primary key of rule '{name}' of hub '{hub.name}'; its text signs, not base64 of it", file=sys.stderr)
    return 0


# --- tokens and revocation --------------------------------------------------------------------------------------------


def _token(path: Path, arguments: argparse.Namespace) -> int:
    hub, name = _known_rule(path, arguments)
    publisher = arguments.publisher
    if publisher is not None:
        _check_publisher(hub, publisher)
    host = _host(arguments.host) if arguments.host is not None else _first_host(hub)
    expires_at = int(time.time()) + seconds_of(arguments.ttl)
    if expires_at > LAST_EXPIRY_S:
        raise InputError(f"--ttl {arguments.ttl} ends after the year 9999, which no hub takes")
    resource = resource_of(host, PublisherRequest(hub.name, publisher))
    token = sas.make(resource, hub.rules[name].keys[0], expires_at, name)
    print(json.dumps({"token": token, "resource": resource, "expiresAt": expires_at}) if arguments.json else token)
    if publisher in hub.revoked:
        print(f"publisher '{publisher}' is revoked: no token lets it in until `restore`", file=sys.stderr)
    return 0


def _check_publisher(hub: Hub, publisher: str) -> None:
    if not is_id(publisher) or not is_id(hub.device_prefix + publisher):
        raise InputError(f"'{publisher[:130]}' is no publisher here: its device's id is 1 to 128 of {ID_CHARACTERS}")


def _first_host(hub: Hub) -> str:
    names: Sequence[str] = (*hub.hosts, *filter(None, map(os.environ.get, ("GATEWAY_HOST_NAME", "EdgeDeviceHostName"))))
    if not names:
        raise InputError("give the name that the publisher dials with --host, or set GATEWAY_HOST_NAME")
    return _host(names[0])


def _revoke(path: Path, arguments: argparse.Namespace) -> int:
    hub, publisher = _known_hub(path, arguments.hub), arguments.publisher
    _check_publisher(hub, publisher)
    if publisher in hub.revoked:
        raise NoError(f"publisher '{publisher}' of hub '{hub.name}' is revoked already")
    edit_publishers(path, lambda hubs: hubs.with_revoked(hub.name, publisher, int(time.time())))
    return _say(arguments, f"publisher '{publisher}' of hub '{hub.name}' revoked")


def _restore(path: Path, arguments: argparse.Namespace) -> int:
    hub, publisher = _known_hub(path, arguments.hub), arguments.publisher
    if publisher not in hub.revoked:
        near = did_you_mean(publisher, hub.revoked)
        raise NoError(f"publisher '{publisher[:130]}' of hub '{hub.name}' is not revoked{near}")
    edit_publishers(path, lambda hubs: hubs.with_restored(hub.name, publisher))
    return _say(arguments, f"publisher '{publisher}' of hub '{hub.name}' let in again")


# --- looking ----------------------------------------------------------------------------------------------------------


def _list(path: Path, arguments: argparse.Namespace) -> int:
    hubs, _ = read_publishers(path)
    if arguments.json:
        print(json.dumps({"hubs": [_document(hub) for hub in hubs.by_name.values()]}))
        return 0
    if not hubs.by_name:
        print("no hubs; `gateway publishers add-hub` makes one")
    for hub in hubs.by_name.values():
        rules = ", ".join(hub.rules) or "none"
        hosts = f"; also as {', '.join(hub.hosts)}" if hub.hosts else ""
        print(f"{hub.name}  rules: {rules}; {_whose(hub)}{hosts}")
        for publisher, at in hub.revoked.items():
            since = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
            print(f"  revoked since {since}: {publisher}")
    return 0


def _whose(hub: Hub) -> str:
    prefix = f"'{hub.device_prefix}' + its name" if hub.device_prefix else "of its name"
    others = f", other messages are of '{hub.device}'" if hub.device else ""
    return f"a publisher is the device {prefix}{others}"


def _document(hub: Hub) -> dict[str, Any]:
    """A hub for programs; without its keys."""
    return {
        "name": hub.name,
        "hosts": list(hub.hosts),
        "devicePrefix": hub.device_prefix,
        "device": hub.device,
        "rules": list(hub.rules),
        "revoked": [{"publisher": publisher, "at": at} for publisher, at in hub.revoked.items()],
    }
