"""`gateway claims`: codes by which boards get their identity at first contact. Works while the gateway runs or not."""

import argparse
import csv
import io
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from edgewire.iothub.bootstrap import SecretKind, plain_code
from gateway.cli.inputs import InputError, NoError, Subparsers, add_action, did_you_mean, run_action
from gateway.identity.claim_codes import MAX_CODES, ClaimsError, Code
from gateway.identity.claim_making import (
    DEFAULT_LIFE,
    NoSuchCodeError,
    TypedError,
    code_of,
    in_order,
    make_claim,
    revoke_claim,
    status_of,
    until,
    whom,
)
from gateway.identity.claims import CLAIMS_FILE, edit_claims, read_claims
from gateway.identity.locked_file import LockedFileError

MAX_CSV_BYTES: Final = 2 * 1024 * 1024
COLUMNS: Final = ("code", "id", "model", "group", "expires", "boards")


# --- the command line -----------------------------------------------------------------------------------------------


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """`gateway claims …`."""
    parser = commands.add_parser("claims", help="codes for boards' first contact: add, import, list, revoke")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = add_action(actions, "add", _add, "make a code and show it, this once")
    add.add_argument("--boards", type=int, default=1, metavar="N", help="good for so many boards (default: 1)")
    add.add_argument(
        "--expires", default=DEFAULT_LIFE, metavar="TIME", help=f"30m, 24h, 7d, or never (default: {DEFAULT_LIFE})"
    )
    only = add.add_mutually_exclusive_group()
    only.add_argument("--id", default="", metavar="ID", help="for this board alone; renews its key if it has one")
    only.add_argument("--id-prefix", default="", metavar="TEXT", help="only for boards whose ids begin so")
    add.add_argument("--model", default="", metavar="NAME", help="only for boards of this model")
    add.add_argument(
        "--group", default="", metavar="NAME", help="with --id: the key derived from this group's, not a random one"
    )
    imported = add_action(
        actions, "import", _import, f"take in printed codes: CSV with the columns {', '.join(COLUMNS)}"
    )
    imported.add_argument("file", metavar="FILE", help="'-' is standard input; all columns but code may be missing")
    add_action(actions, "list", _list, "all codes by their names, and which boards came by them; never the codes")
    revoke = add_action(
        actions, "revoke", _revoke, "nobody can come by it any more; boards that did keep their identity"
    )
    revoke.add_argument("name", metavar="NAME", help="the name that list shows")


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says. Returns 0 done, 1 no such or already there, 2 unusable input."""
    try:
        return run_action(arguments, CLAIMS_FILE)
    except (NoError, ClaimsError) as error:
        print(f"gateway claims: {error}", file=sys.stderr)
        return 1
    except (InputError, TypedError, LockedFileError) as error:
        print(f"gateway claims: {error}", file=sys.stderr)
        return 2


# --- adding -----------------------------------------------------------------------------------------------------------


def _add(path: Path, arguments: argparse.Namespace) -> int:
    given = ("boards", "expires", "id", "id_prefix", "model", "group")
    made = make_claim(path, {name: str(getattr(arguments, name)) for name in given})
    code = made.code
    if arguments.json:
        print(json.dumps({"code": made.shown, **_document(code)}))
        return 0
    print(made.shown)
    print(f"code '{code.name}' for {whom(code)}, {until(code)}; it is not shown again", file=sys.stderr)
    return 0


def _import(path: Path, arguments: argparse.Namespace) -> int:
    now, added = time.time(), []
    for line, row in _rows(arguments.file):
        try:
            added.append(code_of(row, SecretKind.LABEL, now))
        except TypedError as error:
            raise InputError(f"line {line}: {error}. Nothing was taken in") from None
    if not added:
        raise InputError(f"{arguments.file} holds no codes")
    edit_claims(path, lambda codes: codes.without_old(now).with_codes(added))
    if arguments.json:
        print(json.dumps({"codes": [_document(code) for code in added]}))
    else:
        print(f"{len(added)} codes taken in")
    return 0


def _rows(file: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows behind the head line, each with its line's number. Raises InputError."""
    reader = csv.reader(io.StringIO(_text_of(file)), strict=True)
    try:
        head = [name.strip().lower() for name in next(reader, [])]
        _check_head(head)
        for row in reader:
            if reader.line_num > MAX_CODES + 1:
                raise InputError(f"{file} has more than {MAX_CODES} lines")
            if not any(row):
                continue
            if len(row) != len(head):
                raise InputError(f"line {reader.line_num} has {len(row)} columns, the first line {len(head)}")
            yield reader.line_num, dict(zip(head, (each.strip() for each in row), strict=True))
    except csv.Error as error:
        raise InputError(f"line {reader.line_num}: {error}") from None


def _check_head(head: Sequence[str]) -> None:
    for name in head:
        if name not in COLUMNS or head.count(name) > 1:
            near = did_you_mean(name, COLUMNS)
            raise InputError(f"the first line names '{name[:40]}'; there are {', '.join(COLUMNS)}, each once{near}")
    if "code" not in head:
        raise InputError("the first line must name the columns, 'code' among them")


def _text_of(file: str) -> str:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_CSV_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(MAX_CSV_BYTES + 1)
        if len(data) > MAX_CSV_BYTES:
            raise InputError(f"{file} has more than {MAX_CSV_BYTES} bytes")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8") from None


# --- looking and revoking ---------------------------------------------------------------------------------------------


def _list(path: Path, arguments: argparse.Namespace) -> int:
    codes, _ = read_claims(path)
    listed = in_order(codes.by_name.values())
    if arguments.json:
        print(json.dumps({"codes": [_document(code) for code in listed]}))
        return 0
    if not listed:
        print("no codes; `gateway claims add` makes one")
    now = time.time()
    for code in listed:
        boards = ", ".join(use.device for use in code.uses)
        came = f"; came by it: {boards}" if boards else ""
        print(f"{code.name}  {code.kind.value:5}  {status_of(code, now):7}  {whom(code)}, {until(code)}{came}")
    return 0


def _revoke(path: Path, arguments: argparse.Namespace) -> int:
    name = arguments.name
    if plain_code(name) is not None:
        raise InputError("revoke takes the name that `gateway claims list` shows, not the code")
    try:
        revoke_claim(path, name)
    except NoSuchCodeError as error:
        known, _ = read_claims(path)
        raise NoError(f"{error}{did_you_mean(name, known.by_name)}") from None
    sentence = f"code '{name}' revoked"
    print(json.dumps({"done": sentence}) if arguments.json else sentence)
    return 0


def _document(code: Code) -> dict[str, Any]:
    """A code for programs; without the code."""
    return {
        "name": code.name,
        "kind": code.kind.value,
        "status": status_of(code, time.time()),
        "boards": code.boards,
        "expiresAt": code.expires_at,
        "id": code.device,
        "idPrefix": code.id_prefix,
        "model": code.model,
        "group": code.group,
        "uses": [{"id": use.device, "at": use.at} for use in code.uses],
    }
