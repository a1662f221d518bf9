"""`gateway claims`: codes by which boards get their identity at first contact. Works while the gateway runs or not."""

import argparse
import csv
import io
import json
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from edgewire.iothub.bootstrap import (
    CODE_ALPHABET,
    CODE_CHARS,
    SecretKind,
    is_model,
    plain_code,
    secret_of_code,
    shown_code,
)
from edgewire.iothub.ids import ID_CHARACTERS, is_id
from gateway.cli.inputs import InputError, NoError, Subparsers, add_action, did_you_mean, run_action
from gateway.identity.claim_codes import MAX_BOARDS, MAX_CODES, ClaimsError, Code, new_name
from gateway.identity.claims import CLAIMS_FILE, edit_claims, read_claims
from gateway.identity.locked_file import LockedFileError

DEFAULT_LIFE: Final = "24h"
MAX_LIFE_S: Final = 3_660 * 86_400
MAX_CSV_BYTES: Final = 2 * 1024 * 1024
COLUMNS: Final = ("code", "id", "model", "group", "expires", "boards")

_UNITS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


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
    except (InputError, LockedFileError) as error:
        print(f"gateway claims: {error}", file=sys.stderr)
        return 2


# --- adding -----------------------------------------------------------------------------------------------------------


def _add(path: Path, arguments: argparse.Namespace) -> int:
    plain = "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_CHARS))
    given = {name: str(getattr(arguments, name)) for name in ("boards", "expires", "id", "model", "group")}
    code = _code({**given, "code": plain}, SecretKind.CLAIM, time.time(), arguments.id_prefix)
    edit_claims(path, lambda codes: codes.without_old(code.made_at).with_codes([code]))
    if arguments.json:
        print(json.dumps({"code": shown_code(plain), **_document(code)}))
        return 0
    print(shown_code(plain))
    print(f"code '{code.name}' for {_whom(code)}, {_until(code)}; it is not shown again", file=sys.stderr)
    return 0


def _code(row: Mapping[str, str], kind: SecretKind, now: float, id_prefix: str = "") -> Code:
    """A code from what was given as text. Raises InputError."""
    plain = plain_code(row["code"])
    if plain is None:
        raise InputError("a code has 12 to 64 letters and digits, hyphens and blanks aside")
    device, model, group = row.get("id", ""), row.get("model", ""), row.get("group", "")
    for text, what in ((device, "id"), (id_prefix, "beginning of an id"), (group, "name of a group")):
        if text and not is_id(text):
            raise InputError(f"'{text[:130]}' is no {what}: 1 to 128 of {ID_CHARACTERS}")
    if model and not is_model(model):
        raise InputError(f"'{model[:40]}' is no model: 1 to 32 letters, digits, '.', '_' and '-'")
    if group and not device:
        raise InputError(
            "a code for a group must name its board (id): whoever has the code would get the key of any device of the "
            "group that it claims to be"
        )
    return Code(
        name=new_name(),
        kind=kind,
        secret=secret_of_code(plain),
        made_at=int(now),
        boards=_boards(row.get("boards", "") or "1"),
        expires_at=_expiry(row.get("expires", "") or "never", now),
        device=device,
        id_prefix=id_prefix,
        model=model,
        group=group,
    )


def _boards(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_BOARDS:
        raise InputError(f"'{text[:20]}' boards: a code is good for 1 to {MAX_BOARDS}")
    return int(text)


def _expiry(text: str, now: float) -> float | None:
    if text == "never":
        return None
    number, unit = text[:-1], _UNITS.get(text[-1:])
    if unit is None or not number.isascii() or not number.isdigit() or not 0 < int(number) * unit <= MAX_LIFE_S:
        raise InputError(f"'{text[:20]}' is no time to expire in: write 30m, 24h, 7d (ten years at most), or never")
    return int(now) + int(number) * unit


def _import(path: Path, arguments: argparse.Namespace) -> int:
    now, added = time.time(), []
    for line, row in _rows(arguments.file):
        try:
            added.append(_code(row, SecretKind.LABEL, now))
        except InputError as error:
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
    listed = sorted(codes.by_name.values(), key=lambda code: (code.kind.value, code.device, code.made_at, code.name))
    if arguments.json:
        print(json.dumps({"codes": [_document(code) for code in listed]}))
        return 0
    if not listed:
        print("no codes; `gateway claims add` makes one")
    now = time.time()
    for code in listed:
        boards = ", ".join(use.device for use in code.uses)
        came = f"; came by it: {boards}" if boards else ""
        print(f"{code.name}  {code.kind.value:5}  {_status(code, now):7}  {_whom(code)}, {_until(code)}{came}")
    return 0


def _revoke(path: Path, arguments: argparse.Namespace) -> int:
    name = arguments.name
    if plain_code(name) is not None:
        raise InputError("revoke takes the name that `gateway claims list` shows, not the code")
    known, _ = read_claims(path)
    if name not in known.by_name:
        raise NoError(f"there is no code '{name}'{did_you_mean(name, known.by_name)}")
    edit_claims(path, lambda codes: codes.without(name))
    sentence = f"code '{name}' revoked"
    print(json.dumps({"done": sentence}) if arguments.json else sentence)
    return 0


def _status(code: Code, now: float) -> str:
    if code.is_used_up:
        return "used"
    return "expired" if code.has_expired(now) else "open"


def _whom(code: Code) -> str:
    if code.device:
        whom = f"board '{code.device}'"
    else:
        boards = "one board" if code.boards == 1 else f"{code.boards} boards"
        whom = f"{boards} '{code.id_prefix}…'" if code.id_prefix else boards
    model = f" of model {code.model}" if code.model else ""
    return f"{whom}{model}" + (f" in group '{code.group}'" if code.group else "")


def _until(code: Code) -> str:
    return "for ever" if code.expires_at is None else f"until {_time(code.expires_at)}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _document(code: Code) -> dict[str, Any]:
    """A code for programs; without the code."""
    return {
        "name": code.name,
        "kind": code.kind.value,
        "status": _status(code, time.time()),
        "boards": code.boards,
        "expiresAt": code.expires_at,
        "id": code.device,
        "idPrefix": code.id_prefix,
        "model": code.model,
        "group": code.group,
        "uses": [{"id": use.device, "at": use.at} for use in code.uses],
    }
