"""`gateway users`: who may log in at the plain listener, and to which topics. Works while the gateway runs or not."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from gateway.cli.inputs import InputError, NoError, Subparsers, add_action, did_you_mean, run_action
from gateway.identity.locked_file import LockedFileError
from gateway.identity.passwords import PasswordError, PasswordHash, hash_password, new_password
from gateway.identity.user_book import USERS_FILE, UserBook, edit_users
from gateway.identity.users import (
    MAX_NETWORKS,
    MAX_PATTERNS,
    MAX_USERS,
    User,
    Users,
    UsersError,
    check_name,
    check_pattern,
    parse_network,
)

HOW_HELP = (
    "'-' reads it from standard input, 'env:NAME' from the environment, 'plain:TEXT' takes it as it stands, for all to "
    "see who list processes"
)

T = TypeVar("T")


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """`gateway users …`."""
    parser = commands.add_parser("users", help="who may log in at the plain listener, and to which topics")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = add_action(
        actions, "add", _add, "add a user, with a password that is made and shown unless one is given", "NAME"
    )
    add.add_argument("--password", metavar="HOW", help=HOW_HELP)
    add.add_argument(
        "--from",
        dest="networks",
        action="append",
        default=[],
        metavar="CIDR",
        help="only from there; without --password, whoever comes from there without a user name is this user",
    )
    _add_patterns(add)
    allow = add_action(actions, "allow", _allow, "let a user publish or subscribe more", "NAME")
    allow.add_argument("--only", action="store_true", help="these and nothing else, of each kind that is given")
    _add_patterns(allow)
    add_action(actions, "list", _list, "all users and what they may")
    add_action(actions, "remove", _remove, "forget a user; its connections end", "NAME")
    change = add_action(actions, "set-password", _set_password, "another password; its connections end", "NAME")
    change.add_argument("--password", metavar="HOW", help=HOW_HELP)


def _add_patterns(parser: argparse.ArgumentParser) -> None:
    levels = "+ is one level, # the rest, %%u its name, %%c the client id; may be given again"
    for option, what in (("--publish", "topics it may publish to"), ("--subscribe", "topics it may subscribe")):
        parser.add_argument(option, action="append", default=[], metavar="PATTERN", help=f"{what}: {levels}")


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says. Returns 0 done, 1 no such or already there, 2 unusable input."""
    try:
        return run_action(arguments, USERS_FILE)
    except NoError as error:
        print(f"gateway users: {error}", file=sys.stderr)
        return 1
    except (InputError, LockedFileError, UsersError, PasswordError) as error:
        print(f"gateway users: {error}", file=sys.stderr)
        return 2


def _add(path: Path, arguments: argparse.Namespace) -> int:
    name = check_name(arguments.name)
    networks = tuple(parse_network(each) for each in arguments.networks)
    if len(networks) > MAX_NETWORKS:
        raise InputError(f"a user has at most {MAX_NETWORKS} networks")
    by_address = bool(networks) and arguments.password is None
    password, shown = (None, "") if by_address else _password(arguments.password)
    user = _with_patterns(User(name=name, password=password, networks=networks), arguments)

    def change(users: Users) -> Users:
        if name in users.by_name:
            raise NoError(f"user '{name}' is there already; change it with allow or set-password, or remove it first")
        if len(users.by_name) >= MAX_USERS:
            raise NoError(f"there are {MAX_USERS} users already, which is the limit; remove one first")
        return users.with_user(user)

    edit_users(path, change)
    document = {**_document(user), **({"password": shown} if shown else {})}
    _print(arguments, document, f"user '{name}' added{_shown(shown)}. {_may(user)}")
    return 0


def _allow(path: Path, arguments: argparse.Namespace) -> int:
    if not arguments.publish and not arguments.subscribe:
        raise InputError("name topics: --publish PATTERN, --subscribe PATTERN, or both")

    def change(users: Users) -> Users:
        user = _existing(users, arguments.name)
        if arguments.only:
            user = replace(
                user,
                publish=() if arguments.publish else user.publish,
                subscribe=() if arguments.subscribe else user.subscribe,
            )
        return users.with_user(_with_patterns(user, arguments))

    user = edit_users(path, change).by_name[arguments.name]
    _print(arguments, _document(user), f"user '{user.name}': {_may(user)}")
    return 0


def _set_password(path: Path, arguments: argparse.Namespace) -> int:
    password, shown = _password(arguments.password)
    after = edit_users(
        path, lambda users: users.with_user(replace(_existing(users, arguments.name), password=password))
    )
    document = {**_document(after.by_name[arguments.name]), **({"password": shown} if shown else {})}
    _print(arguments, document, f"user '{arguments.name}' has another password{_shown(shown)}")
    return 0


def _remove(path: Path, arguments: argparse.Namespace) -> int:
    edit_users(path, lambda users: users.without(_existing(users, arguments.name).name))
    _print(arguments, {"removed": arguments.name}, f"user '{arguments.name}' removed")
    return 0


def _list(path: Path, arguments: argparse.Namespace) -> int:
    users = UserBook(path, lambda _event: None).users.by_name
    if arguments.json:
        print(json.dumps([_document(users[name]) for name in sorted(users)]))
        return 0
    if not users:
        print("no users: nobody can log in at the plain listener; `gateway users add NAME` adds one")
    for name in sorted(users):
        user = users[name]
        how = "password" if user.password is not None else "no password"
        places = f", from {', '.join(map(str, user.networks))}" if user.networks else ""
        print(f"{name}  {how}{places}. {_may(user)}")
    return 0


def _existing(users: Users, name: str) -> User:
    user = users.by_name.get(name)
    if user is None:
        raise NoError(f"there is no user '{name}'{did_you_mean(name, users.by_name)}")
    return user


def _with_patterns(user: User, arguments: argparse.Namespace) -> User:
    user = replace(
        user,
        publish=_joined(user.publish, map(check_pattern, arguments.publish)),
        subscribe=_joined(user.subscribe, map(check_pattern, arguments.subscribe)),
    )
    if max(len(user.publish), len(user.subscribe)) > MAX_PATTERNS:
        raise InputError(f"a user has at most {MAX_PATTERNS} patterns of each kind; a + or # stands for many topics")
    return user


def _joined(before: Iterable[T], more: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys((*before, *more)))


def _password(how: str | None) -> tuple[PasswordHash, str]:
    """The hash of the password that was given; or of one that is made, and that one to show."""
    if how is None:
        made = new_password()
        return hash_password(made.encode()), made
    if how == "-":
        return hash_password(sys.stdin.readline().rstrip("\r\n").encode()), ""
    kind, _, rest = how.partition(":")
    if kind == "env":
        if rest not in os.environ:
            raise InputError(f"the environment has no {rest}; set it to the password, or give it with --password -")
        return hash_password(os.environ[rest].encode()), ""
    if kind == "plain":
        return hash_password(rest.encode()), ""
    raise InputError(
        "a password on the command line is seen by all who list processes: --password - reads it from "
        "standard input, env:NAME from the environment; if you mean it, write plain: before it"
    )


def _shown(password: str) -> str:
    return f"; its password, shown this once: {password}" if password else ""


def _may(user: User) -> str:
    if not user.publish and not user.subscribe:
        return f"It may publish and subscribe nothing yet: gateway users allow {user.name} --publish … --subscribe …"
    return f"It may publish {_list_of(user.publish)}, subscribe {_list_of(user.subscribe)}"


def _list_of(patterns: tuple[str, ...]) -> str:
    return ", ".join(patterns) or "nothing"


def _document(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "hasPassword": user.password is not None,
        "from": [str(each) for each in user.networks],
        "publish": list(user.publish),
        "subscribe": list(user.subscribe),
    }


def _print(arguments: argparse.Namespace, document: Mapping[str, Any], sentence: str) -> None:
    print(json.dumps(document) if arguments.json else sentence)
