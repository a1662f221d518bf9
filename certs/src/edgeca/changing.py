"""The commands that change what was made: renew, revoke, crl, pfx."""

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from edgeca import azure_layout, files, report
from edgeca.credential import Credential
from edgeca.durations import parse_span
from edgeca.errors import CaError
from edgeca.files import Entry
from edgeca.folder import Folder, Made
from edgeca.inspection import describe
from edgeca.pfx import new_password, write_old_pfx, write_pfx
from edgeca.profiles import Kind
from edgeca.renewal import UNRENEWED, KeyWish, Renewal, RenewalWish, find_entries
from edgeca.revocation import Reason
from edgeca.revoking import Lists, Target, Written, target_of_entry, target_of_file, target_of_serial

Clock = Callable[[], datetime]
LIST_WITHIN: Final = "30d"
KINDS: Final = tuple(kind.value for kind in Kind)


def add_changing(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: Callable[[], argparse.ArgumentParser]
) -> None:
    """Add the commands to the command line; `common` gives what all of them take."""
    _add_renew(commands.add_parser("renew", parents=[common()], help="a new end for the same names and kind of key"))
    _add_revoke(commands.add_parser("revoke", parents=[common()], help="take certificates back, on a revocation list"))
    crl = commands.add_parser("crl", parents=[common()], help="sign the revocation lists anew before they are due")
    crl.add_argument(
        "--within",
        default=LIST_WITHIN,
        metavar="SPAN",
        help=f"those due within this time, e.g. 12h, 30d (default {LIST_WITHIN})",
    )
    crl.add_argument("--days", type=int, help="until the next ones are due (default 90)")
    crl.add_argument("--force", action="store_true", help="whenever they are due")
    pfx = commands.add_parser("pfx", parents=[common()], help="certificate, key and chain in one PKCS #12 file")
    pfx.add_argument("name", metavar="NAME", help="which certificate")
    _add_kind(pfx)
    password = pfx.add_mutually_exclusive_group()
    password.add_argument(
        "--ask", action="store_true", help="ask for the password (default: make one, in a file beside)"
    )
    password.add_argument("--password-file", type=Path, metavar="FILE", help="its first line is the password")
    pfx.add_argument("--legacy", action="store_true", help="encrypted as Windows before 2019 can read, which is weak")


def _add_kind(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", choices=KINDS, help="of which kind, where several have this name")


def _add_renew(renew: argparse.ArgumentParser) -> None:
    renew.add_argument("names", metavar="NAME", nargs="*", help="which; root and issuing are names too")
    _add_kind(renew)
    renew.add_argument("--all", action="store_true", help="all but proofs and self-signed pairs")
    renew.add_argument("--within", metavar="SPAN", help="of those, all that end within this time, e.g. 30d")
    kept = renew.add_mutually_exclusive_group()
    kept.add_argument(
        "--keep-key", action="store_true", help="keep the key (default: only root and issuing keep theirs)"
    )
    kept.add_argument(
        "--new-key", action="store_true", help="a new key, for the issuing CA too: all below is signed anew"
    )
    renew.add_argument("--days", type=int, help="how long they live (default: as before)")
    renew.add_argument("--layout", choices=("azure",), default=os.environ.get("EDGECA_LAYOUT") or None)


def _add_revoke(revoke: argparse.ArgumentParser) -> None:
    revoke.add_argument("names", metavar="NAME", nargs="*", help="whose certificates, as they are now")
    _add_kind(revoke)
    revoke.add_argument(
        "--serial", action="append", default=[], metavar="HEX", help="by serial number, as show prints it"
    )
    revoke.add_argument("--file", type=Path, action="append", default=[], help="the certificate in this file")
    revoke.add_argument("--issuer", choices=("root", "issuing"), help="who signed a --serial that is not found here")
    revoke.add_argument("--reason", choices=tuple(reason.value for reason in Reason), default=Reason.UNSPECIFIED.value)
    revoke.add_argument("--days", type=int, help="until the next list is due (default 90)")


def renew(arguments: argparse.Namespace, folder: Folder, clock: Clock) -> int:
    """`edgeca renew`."""
    renewal = Renewal(folder, clock)
    entries = _to_renew(arguments, folder, renewal)
    key = KeyWish.KEEP if arguments.keep_key else KeyWish.NEW if arguments.new_key else KeyWish.USUAL
    made = renewal.renew(entries, RenewalWish(key=key, days=arguments.days))
    export_azure(arguments, made)
    described = [(each, describe(each.entry, each.credential, clock())) for each in made]
    if arguments.json:
        print(json.dumps([report.made_json(*each) for each in described], indent=2))
    else:
        print(report.renewed_text(described, _left_alone(arguments, folder)))
    unreadable = [] if arguments.names else renewal.unreadable()
    for text in unreadable:
        print(f"edgeca: not renewed, {text}", file=sys.stderr)
    return CaError.exit_code if unreadable else 0


def _to_renew(arguments: argparse.Namespace, folder: Folder, renewal: Renewal) -> Sequence[Entry]:
    asked = [bool(arguments.names), arguments.all, arguments.within is not None]
    if sum(asked) != 1:
        raise CaError("say what to renew: names, or --all, or --within 30d")
    folder.authority()  # or there is nothing to renew with
    kind = None if arguments.kind is None else Kind(arguments.kind)
    if arguments.names:
        return find_entries(folder, arguments.names, kind)
    due = renewal.due(None if arguments.all else parse_span(arguments.within))
    return [each for each in due if kind is None or each.kind is kind]


def _left_alone(arguments: argparse.Namespace, folder: Folder) -> list[str]:
    """What a renewal of many does not touch, for a person to know."""
    if arguments.names:
        return []
    return [each.label for each in files.entries(folder.directory) if each.kind in UNRENEWED]


def revoke(arguments: argparse.Namespace, folder: Folder, clock: Clock) -> int:
    """`edgeca revoke`."""
    targets = _targets(arguments, folder)
    if not targets:
        raise CaError("say what to revoke: names, or --serial, or --file")
    done, written = Lists(folder, clock).revoke(targets, Reason(arguments.reason), arguments.days)
    if arguments.json:
        lines = [report.revoked_json(each) for each in done]
        print(json.dumps({"revoked": lines, "lists": _lists_json(written)}, indent=2))
    else:
        print(report.revoked_text(done, written, folder.directory / files.ALL_CRLS))
    return 0


def _targets(arguments: argparse.Namespace, folder: Folder) -> list[Target]:
    kind = None if arguments.kind is None else Kind(arguments.kind)
    issuer = None if arguments.issuer is None else Kind(arguments.issuer)
    targets = [target_of_entry(folder, entry) for entry in find_entries(folder, arguments.names, kind)]
    targets += [target_of_file(folder, path) for path in arguments.file]
    targets += [target_of_serial(folder, _serial(text), issuer) for text in arguments.serial]
    return targets


def _serial(text: str) -> int:
    try:
        serial = int(text.replace(":", "").replace(" ", ""), 16)
    except ValueError as exc:
        raise CaError(
            f"--serial {text!r} is no serial number; write it as edgeca show prints it, in hexadecimal"
        ) from exc
    if serial < 1:
        raise CaError(f"--serial {text!r}: serial numbers begin at 1")
    return serial


def crl(arguments: argparse.Namespace, folder: Folder, clock: Clock) -> int:
    """`edgeca crl`."""
    within = parse_span(arguments.within)
    written = Lists(folder, clock).refresh(within=within, days=arguments.days, force=arguments.force)
    if arguments.json:
        print(json.dumps(_lists_json(written), indent=2))
    else:
        print(report.lists_text(written, folder.directory / files.ALL_CRLS))
    return 0


def _lists_json(written: Sequence[Written]) -> list[dict[str, object]]:
    return [report.list_json(each) for each in written]


def pfx(arguments: argparse.Namespace, folder: Folder, _clock: Clock) -> int:
    """`edgeca pfx`."""
    kind = None if arguments.kind is None else Kind(arguments.kind)
    (entry,) = find_entries(folder, [arguments.name], kind)
    credential = files.load(entry)
    password, kept = _password(arguments, entry)
    path = entry.certificate_path.with_name(entry.certificate_path.name.removesuffix(".cert.pem") + ".pfx")
    write = write_old_pfx if arguments.legacy else write_pfx
    contents = [(path, write(credential, entry.label, password.encode()), files.KEY_MODE)]
    if kept is not None:
        contents.append((kept, f"{password}\n".encode(), files.KEY_MODE))
    files.write_files(contents)
    if kept is None:
        path.with_name(f"{path.name}.password").unlink(missing_ok=True)  # that of the file before
    if arguments.json:
        print(json.dumps({"file": str(path), "passwordFile": None if kept is None else str(kept)}, indent=2))
    else:
        where = "" if kept is None else f"; its password is in {kept}"
        print(f"{entry.label}: {path}{where}")
    return 0


def _password(arguments: argparse.Namespace, entry: Entry) -> tuple[str, Path | None]:
    """The password, and the file to keep it in if it was made here."""
    if arguments.password_file is not None:
        return _password_in(arguments.password_file), None
    if arguments.ask:
        if not sys.stdin.isatty():
            raise CaError("--ask needs a terminal; without one say --password-file, or neither: then one is made")
        try:
            password = getpass.getpass("password: ")
            again = getpass.getpass("again: ")
        except EOFError:
            password = again = ""
        if not password or password != again:
            raise CaError("nothing was written: the two were not the same, or empty")
        return password, None
    name = entry.certificate_path.name.removesuffix(".cert.pem") + ".pfx.password"
    return new_password(), entry.certificate_path.with_name(name)


def _password_in(path: Path) -> str:
    """The first line of a file. Raises CaError."""
    line = files.read_bytes(path).partition(b"\n")[0].rstrip(b"\r")
    if not line:
        raise CaError(f"{path} has no password on its first line")
    try:
        return line.decode()
    except UnicodeDecodeError as exc:
        raise CaError(
            f"the first line of {path} is no text in UTF-8: save it as such, or take another password"
        ) from exc


def export_azure(arguments: argparse.Namespace, made: Sequence[Made]) -> list[Path]:
    """Write what was made under the names of Microsoft's scripts too, if `--layout azure` says so."""
    if arguments.layout != "azure":
        return []
    done: list[tuple[Entry, Credential]] = [(each.entry, each.credential) for each in made]
    return [path for entry, credential in done for path in azure_layout.export(entry, credential)]
