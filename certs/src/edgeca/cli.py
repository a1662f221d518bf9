"""The command `edgeca`. Exit codes: 0 done or all well; 1 the answer is no; 2 wrong usage or unreadable input."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Final

from edgeca import changing, files, report
from edgeca.credential import Credential, read_certificates
from edgeca.durations import parse_span
from edgeca.errors import CaError, Refused
from edgeca.folder import Folder, Made, Wish
from edgeca.inspection import Description, describe, find_problems
from edgeca.keys import KeyType, read_key
from edgeca.profiles import Kind
from edgeca.signing import utc_now
from edgeca.toml import DEFAULT_PLACE, config_lines

Clock = Callable[[], datetime]
INTERRUPTED: Final = 130
"""By Ctrl-C, as shells count: 128 and the number of the signal."""
Action = Callable[[argparse.Namespace, Folder, Clock], int]


def main(argv: Sequence[str] | None = None, *, clock: Clock = utc_now) -> int:
    """Run one command; its exit code."""
    try:
        return _run(argv, clock)
    except BrokenPipeError:  # somebody reads only the first lines, as `| head` does
        _write_no_more()
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except CaError as exc:
        print(f"edgeca: {exc}", file=sys.stderr)
        return exc.exit_code
    except OSError as exc:
        _write_no_more()
        print(f"edgeca: cannot use {exc.filename or 'standard output'}: {exc.strerror}", file=sys.stderr)
        return CaError.exit_code


def _run(argv: Sequence[str] | None, clock: Clock) -> int:
    try:
        arguments = _parser().parse_args(argv)
        return _ACTIONS[arguments.command](arguments, Folder(arguments.dir, clock=clock), clock)
    finally:
        if sys.stdout is not None:  # it is closed
            sys.stdout.flush()  # now: at its end the interpreter would print a traceback if nobody takes it


def _write_no_more() -> None:
    """What standard output still holds goes nowhere."""
    with suppress(OSError, AttributeError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeca",
        description="A certificate authority for one IoT Edge site. Asked twice, it changes nothing.",
        epilog="Exit codes: 0 done or all well; 1 the answer is no; 2 wrong usage or unreadable input.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_issuing(commands)
    _add_reading(commands)
    changing.add_changing(commands, _common)
    return parser


def _add_issuing(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parents = [_common(), _wishes()]
    init = commands.add_parser("init", parents=parents, help="make the root and the issuing CA")
    init.add_argument("--name", help="what the CA is called (default: Edge test)")
    init.add_argument("--root", type=Path, metavar="FILE", help="take this root, made elsewhere; needs --root-key")
    init.add_argument("--root-key", type=Path, metavar="FILE", help="its private key, PEM")
    init.add_argument("--root-password-file", type=Path, metavar="FILE", help="the key's password is its first line")
    edge_ca = commands.add_parser("edge-ca", parents=parents, help="the CA of an IoT Edge device, for [edge_ca]")
    edge_ca.add_argument("name", metavar="NAME", help="name of the Edge device")
    edge_id = commands.add_parser("edge-id", parents=parents, help="the identity of an IoT Edge device")
    edge_id.add_argument("name", metavar="NAME", help="device id or registration id of the Edge device")
    device = commands.add_parser("device", parents=parents, help="the certificate of a leaf device")
    device.add_argument("name", metavar="ID", help="device id")
    device.add_argument("--self-signed", action="store_true", help="a primary and a secondary one, for thumbprints")
    server = commands.add_parser("server", parents=parents, help="the certificate of a server")
    server.add_argument("names", metavar="NAME", nargs="+", help="host name or IP address; x.local brings x with it")
    proof = commands.add_parser("proof", parents=[_common(), _days_and_force()], help="proof that we own the root")
    proof.add_argument("name", metavar="CODE", help="verification code of IoT Hub or DPS")
    proof.add_argument(
        "--ca", choices=("root", "issuing"), default="root", help="which CA is being proved (default: the root)"
    )


def _add_reading(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    show = commands.add_parser("show", parents=[_common()], help="what there is: names, thumbprints, days left, chain")
    show.add_argument("name", metavar="NAME", nargs="?", help="only those with this name (default: all)")
    check = commands.add_parser("check", parents=[_common()], help="exit 1 if something is broken or ends soon")
    check.add_argument(
        "--within", default="30d", metavar="SPAN", help="what soon means, e.g. 12h, 30d, 8w (default 30d)"
    )
    bundle = commands.add_parser("bundle", parents=[_common()], help="write trust-bundle.pem: what others must trust")
    bundle.add_argument("--add", type=Path, action="append", default=[], metavar="FILE", help="add these certificates")
    toml = commands.add_parser("toml", parents=[_common(json_too=False)], help="the lines for config.toml of a device")
    toml.add_argument("name", metavar="NAME", help="name of the Edge device")
    toml.add_argument(
        "--at",
        type=PurePosixPath,
        default=DEFAULT_PLACE,
        metavar="FOLDER",
        help=f"where the files will lie on the device (default {DEFAULT_PLACE})",
    )
    toml.add_argument("--host-name", metavar="NAME", help="the name that devices dial: adds the line hostname")


def _common(*, json_too: bool = True) -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    default = Path(os.environ.get("EDGECA_DIR") or "certificates")
    common.add_argument(
        "--dir", type=Path, default=default, help="folder of the CA (default: EDGECA_DIR, or ./certificates)"
    )
    if json_too:
        common.add_argument("--json", action="store_true", help="answer in JSON")
    return common


def _days_and_force() -> argparse.ArgumentParser:
    wishes = argparse.ArgumentParser(add_help=False)
    wishes.add_argument("--days", type=int, help="how long it lives (each kind has its default)")
    wishes.add_argument("--force", action="store_true", help="make a new one; the old one moves to retired/")
    wishes.add_argument(
        "--layout",
        choices=("azure",),
        default=os.environ.get("EDGECA_LAYOUT") or None,
        help="write it under the names of Microsoft's scripts too, in certs/ and private/ (default: EDGECA_LAYOUT)",
    )
    wishes.set_defaults(rsa=None, ec=False)
    return wishes


def _wishes() -> argparse.ArgumentParser:
    wishes = argparse.ArgumentParser(add_help=False, parents=[_days_and_force()])
    kinds = wishes.add_mutually_exclusive_group()
    kinds.add_argument("--rsa", type=int, choices=(2048, 3072, 4096), help="an RSA key of so many bits")
    kinds.add_argument("--ec", action="store_true", help="an EC P-256 key (default: as the root; EC for a new root)")
    return wishes


def _wish(arguments: argparse.Namespace) -> Wish:
    key_type = KeyType(f"RSA {arguments.rsa}") if arguments.rsa else KeyType.EC_P256 if arguments.ec else None
    return Wish(key_type=key_type, days=arguments.days, force=arguments.force)


def _report(arguments: argparse.Namespace, made: Sequence[Made], clock: Clock) -> int:
    copies = changing.export_azure(arguments, made)
    described = [(each, describe(each.entry, each.credential, clock())) for each in made]
    if arguments.json:
        print(json.dumps([report.made_json(*each) for each in described], indent=2))
    else:
        print(report.made_text(described))
        for path in copies:
            print(f"copied to {path}")
    return 0


def _init(arguments: argparse.Namespace, folder: Folder, clock: Clock) -> int:
    root = _foreign_root(arguments)
    if root is None:
        return _report(arguments, folder.init(arguments.name, _wish(arguments)), clock)
    return _report(arguments, folder.adopt(root, _wish(arguments)), clock)


def _foreign_root(arguments: argparse.Namespace) -> Credential | None:
    """The root that --root and --root-key name, None if they name none. Raises CaError."""
    if arguments.root is None and arguments.root_key is None:
        return None
    if arguments.root is None or arguments.root_key is None:
        raise CaError("--root and --root-key belong together: give both, or neither for a root made here")
    if arguments.name is not None or arguments.days is not None:
        raise CaError("--name and --days are for a root made here; that of --root has its own")
    certificate = read_certificates(files.read_bytes(arguments.root), str(arguments.root))[0]
    password = None
    if arguments.root_password_file is not None:
        password = files.read_bytes(arguments.root_password_file).partition(b"\n")[0].rstrip(b"\r")
    return Credential(
        certificate=certificate,
        key=read_key(files.read_bytes(arguments.root_key), str(arguments.root_key), password),
    )


def _edge_ca(arguments: argparse.Namespace, folder: Folder, clock: Clock) -> int:
    return _report(arguments, [folder.edge_ca(arguments.name, _wish(arguments))], clock)


def _edge_id(arguments: argparse.Namespace, folder: Folder, clock: Clock) -> int:
    return _report(arguments, [folder.edge_id(arguments.name, _wish(arguments))], clock)


def _device(arguments: argparse.Namespace, folder: Folder, clock: Clock) -> int:
    if arguments.self_signed:
        return _report(arguments, folder.self_signed(arguments.name, _wish(arguments)), clock)
    return _report(arguments, [folder.device(arguments.name, _wish(arguments))], clock)


def _server(arguments: argparse.Namespace, folder: Folder, clock: Clock) -> int:
    return _report(arguments, [folder.server(arguments.names, _wish(arguments))], clock)


def _proof(arguments: argparse.Namespace, folder: Folder, clock: Clock) -> int:
    return _report(arguments, [folder.proof(arguments.name, _wish(arguments), Kind(arguments.ca))], clock)


def _show(arguments: argparse.Namespace, folder: Folder, clock: Clock) -> int:
    entries = [entry for entry in files.entries(folder.directory) if _is_named(entry, arguments.name)]
    if not entries:
        whose = f"named {arguments.name!r} " if arguments.name else ""
        raise Refused(f"there is no certificate {whose}in {folder.directory}; edgeca --help names what can be made")
    descriptions, unreadable = _describe_all(entries, clock())
    if arguments.json:
        print(json.dumps([report.description_json(each) for each in descriptions], indent=2))
    else:
        print("\n\n".join(report.description_text(each) for each in descriptions))
    for text in unreadable:
        print(f"edgeca: {text}", file=sys.stderr)
    return CaError.exit_code if unreadable else 0


def _is_named(entry: files.Entry, name: str | None) -> bool:
    # The two of a self-signed pair are found under the device's id as well.
    pair = entry.name.rpartition(".")[0] if entry.kind is Kind.SELF_SIGNED else entry.name
    return name is None or name in {entry.name, pair} or (not entry.name and name == entry.kind.value)


def _describe_all(entries: Sequence[files.Entry], now: datetime) -> tuple[list[Description], list[str]]:
    descriptions, unreadable = [], []
    for entry in entries:
        try:
            descriptions.append(describe(entry, files.load(entry), now))
        except CaError as exc:
            unreadable.append(f"{entry.label}: {exc}")
    return descriptions, unreadable


def _check(arguments: argparse.Namespace, folder: Folder, clock: Clock) -> int:
    within = parse_span(arguments.within)
    entries = list(files.entries(folder.directory))
    if not entries:
        raise Refused(f"there is no certificate in {folder.directory} to check")
    problems = list(find_problems(folder.directory, clock(), within))
    if arguments.json:
        print(
            json.dumps(
                {"checked": len(entries), "problems": [report.problem_json(each) for each in problems]}, indent=2
            )
        )
    else:
        for problem in problems:
            print(report.problem_text(problem))
        print(f"{len(entries)} checked, {len(problems) or 'no'} problem{'s' * (len(problems) != 1)}")
    return 1 if problems else 0


def _bundle(arguments: argparse.Namespace, folder: Folder, _clock: Clock) -> int:
    path, changed = folder.bundle(arguments.add)
    if arguments.json:
        print(json.dumps({"file": str(path), "changed": changed}, indent=2))
    else:
        print(f"{path}: {'written' if changed else 'nothing to do, it holds just that already'}")
    return 0


def _toml(arguments: argparse.Namespace, folder: Folder, _clock: Clock) -> int:
    print(config_lines(folder, arguments.name, arguments.at, arguments.host_name), end="")
    return 0


_ACTIONS: Final[Mapping[str, Action]] = MappingProxyType(
    {
        "init": _init,
        "edge-ca": _edge_ca,
        "edge-id": _edge_id,
        "device": _device,
        "server": _server,
        "proof": _proof,
        "show": _show,
        "check": _check,
        "bundle": _bundle,
        "toml": _toml,
        "renew": changing.renew,
        "revoke": changing.revoke,
        "crl": changing.crl,
        "pfx": changing.pfx,
    }
)
