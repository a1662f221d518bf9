"""`gateway firmware`: what there is for boards, and its roll-out.

What is there is in the data folder, whether the gateway runs or not; roll-outs are asked of the gateway that runs.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.app.asking import NobodyAnswersError, ask
from gateway.app.control import QuestionError
from gateway.cli.inputs import InputError, NoError, Subparsers, add_data_option, data_directory, did_you_mean
from gateway.firmware.book import read_book
from gateway.firmware.bundle import (
    LENGTH_BYTES,
    MAX_IMAGE_BYTES,
    MAX_MANIFEST_BYTES,
    Bundle,
    BundleError,
    Manifest,
    read_bundle,
)
from gateway.firmware.files import FilesError
from gateway.firmware.release import ReleaseKeyError, read_release_key
from gateway.firmware.rollout import DEFAULT_AT_ONCE, DEFAULT_SILENT_S
from gateway.firmware.store import FirmwareStore, FirmwareStoreError, ignore

NO_ANSWER = (404, 409)
"""There is no such thing, or its state forbids it: the answer is no."""
Action = Callable[[argparse.Namespace], int]


# --- the command line -----------------------------------------------------------------------------------------------


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """`gateway firmware …`."""
    what = "firmware of boards: add, list, remove; rollout, status, pause, resume, abort; pin, unpin"
    actions = commands.add_parser("firmware", help=what).add_subparsers(dest="action", metavar="ACTION", required=True)
    add = _action(actions, "add", _add, "take in a bundle, as device-firmware/tools makes them")
    add.add_argument("file", type=Path, metavar="FILE", help="NAME.fw")
    _action(actions, "list", _list, "all versions that there are")
    remove = _action(actions, "remove", _remove, "forget a version that nobody needs any more")
    _add_version(remove)
    rollout = _action(actions, "rollout", _rollout, "bring a version to all boards of its model, some of them first")
    _add_version(rollout)
    rollout.add_argument("--canary", metavar="N|N%", help="boards that go first (default: 10%%; at least one)")
    rollout.add_argument("--max-failures", metavar="N|N%", help="more, and it stops by itself (default: 10%%)")
    rollout.add_argument(
        "--at-once", type=int, metavar="N", help=f"boards under way together (default: {DEFAULT_AT_ONCE})"
    )
    rollout.add_argument(
        "--silent-after",
        type=float,
        metavar="S",
        help=f"a board that accepted and is not heard of for so long has failed (default: {DEFAULT_SILENT_S:g})",
    )
    _action(actions, "status", _status, "roll-outs, and which versions boards run")
    for name, sentence in (
        ("pause", "ask no more boards for now"),
        ("resume", "go on with what was paused or stopped by itself"),
        ("abort", "end a roll-out; boards that have the version keep it"),
    ):
        _action(actions, name, _order, sentence).add_argument("--model", metavar="M", help="of this model")
    pin = _action(actions, "pin", _pin, "keep a board at a version, whatever is rolled out")
    pin.add_argument("device", metavar="DEVICE")
    pin.add_argument("version", metavar="VERSION")
    _action(actions, "unpin", _unpin, "let a board follow roll-outs again").add_argument("device", metavar="DEVICE")


def _action(
    actions: "Subparsers[argparse.ArgumentParser]", name: str, run_: Action, what: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=what.replace("%", "%%"), description=f"{what[0].upper()}{what[1:]}.")
    parser.add_argument("--json", action="store_true", help="the answer for programs")
    add_data_option(parser)
    parser.set_defaults(run_action=run_)
    return parser


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="VERSION")
    parser.add_argument("--model", metavar="M", help="of this model, where several have that version")


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says. Returns 0 done, 1 the answer is no, 2 unusable input or no gateway to ask."""
    action: Action = arguments.run_action
    try:
        return action(arguments)
    except (NoError, FirmwareStoreError, ReleaseKeyError) as error:
        return _complain(str(error), 1)
    except QuestionError as error:
        return _complain(str(error), 1 if error.status in NO_ANSWER else 2)
    except (InputError, FilesError, NobodyAnswersError) as error:
        return _complain(str(error), 2)


# --- what there is --------------------------------------------------------------------------------------------------


def _add(arguments: argparse.Namespace) -> int:
    bundle = _read(arguments.file)
    key_file = os.environ.get("GATEWAY_RELEASE_KEY")
    key = read_release_key(Path(key_file) if key_file else None)
    if key is not None:
        key.check(bundle.manifest)
    _store(arguments).add(bundle)
    manifest = bundle.manifest
    signed = "signed by the release key" if key is not None else "signature not checked: GATEWAY_RELEASE_KEY is unset"
    sentence = f"version {manifest.version} for {manifest.model} added, serial {manifest.serial}, {signed}"
    _print(arguments, _document(manifest) | {"signatureChecked": key is not None}, [sentence])
    return 0


def _read(path: Path) -> Bundle:
    most = LENGTH_BYTES + MAX_MANIFEST_BYTES + MAX_IMAGE_BYTES
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > most:
        raise InputError(f"{path} is larger than any bundle: its image may have {MAX_IMAGE_BYTES} bytes")
    try:
        return read_bundle(data)
    except BundleError as error:
        raise InputError(f"{path} is no bundle of firmware: {error}") from error


def _list(arguments: argparse.Namespace) -> int:
    manifests = _store(arguments).all()
    width = max((len(f"{each.model}  {each.version}") for each in manifests), default=0)
    lines = [
        f"{f'{each.model}  {each.version}':{width}}  serial {each.serial}, {each.size} bytes, {each.format.value}"
        for each in manifests
    ]
    nothing = ["no firmware yet; `gateway firmware add FILE` takes some in"]
    _print(arguments, {"versions": [_document(each) for each in manifests]}, lines or nothing)
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    store = _store(arguments)
    manifest = _find(store, arguments.version, arguments.model)
    why = read_book(store.folder, ignore).needs(manifest.model, manifest.version)
    if why:
        raise NoError(f"version {manifest.version} for {manifest.model} stays: {why}")
    store.remove(manifest)
    _print(arguments, _document(manifest), [f"version {manifest.version} for {manifest.model} removed"])
    return 0


def _find(store: FirmwareStore, version: str, model: str | None) -> Manifest:
    everything = store.all()
    found = [each for each in everything if each.version == version and model in {None, each.model}]
    if not found:
        near = did_you_mean(version, {each.version for each in everything})
        raise NoError(f"there is no version '{version}'{'' if model is None else f' for {model}'}{near}")
    if len(found) > 1:
        raise InputError(f"version {version} is there for {', '.join(each.model for each in found)}; add --model")
    return found[0]


def _store(arguments: argparse.Namespace) -> FirmwareStore:
    folder = data_directory(arguments)
    if not folder.is_dir():
        raise InputError(f"there is no directory {folder}; name the gateway's with --data or GATEWAY_DATA_DIR")
    return FirmwareStore(folder)


def _document(manifest: Manifest) -> dict[str, Any]:
    return {
        "model": manifest.model,
        "version": manifest.version,
        "serial": manifest.serial,
        "size": manifest.size,
        "sha256": manifest.sha256,
        "format": manifest.format.value,
    }


# --- roll-outs ------------------------------------------------------------------------------------------------------


def _rollout(arguments: argparse.Namespace) -> int:
    terms = {
        "canary": arguments.canary,
        "maxFailures": arguments.max_failures,
        "atOnce": arguments.at_once,
        "silentSecs": arguments.silent_after,
    }
    given = {name: value for name, value in terms.items() if value is not None}
    said = _ask(arguments, version=arguments.version, model=arguments.model, **given)
    _print(arguments, said, _rollout_lines(said))
    return 0


def _order(arguments: argparse.Namespace) -> int:
    said = _ask(arguments, model=arguments.model)
    _print(arguments, said, _rollout_lines(said))
    return 0


def _pin(arguments: argparse.Namespace) -> int:
    said = _ask(arguments, device=arguments.device, version=arguments.version)
    _print(arguments, said, [f"'{arguments.device}' stays at {arguments.version}"])
    return 0


def _unpin(arguments: argparse.Namespace) -> int:
    said = _ask(arguments, device=arguments.device)
    _print(arguments, said, [f"'{arguments.device}' follows roll-outs again"])
    return 0


def _status(arguments: argparse.Namespace) -> int:
    said = _ask(arguments)
    lines = [line for rollout in said["rollouts"] for line in _rollout_lines(rollout)]
    for model, versions in sorted(said["boards"].items()):
        counted = ", ".join(f"{count} with {version}" for version, count in sorted(versions.items()))
        lines.append(f"boards    {model}: {counted}")
    lines += [f"pinned    {device} at {version}" for device, version in sorted(said["pins"].items())]
    _print(arguments, said, lines or ["no roll-out yet, and no board was seen"])
    return 0


def _rollout_lines(rollout: Mapping[str, Any]) -> list[str]:
    boards = rollout["boards"]
    stage = "complete" if rollout["complete"] and rollout["stage"] == "all" else rollout["stage"]
    counted = ", ".join(f"{count} {name}" for name, count in boards.items() if count) or "no board yet"
    lines = [f"roll-out  {rollout['version']} to {rollout['model']}, {stage}: {counted}"]
    lines += [f"          {device} {progress}" for device, progress in sorted(rollout["notDone"].items())]
    return lines


def _ask(arguments: argparse.Namespace, **more: Any) -> dict[str, Any]:
    return ask(data_directory(arguments), {"ask": "firmware", "do": arguments.action, **more})


# --- wording --------------------------------------------------------------------------------------------------------


def _print(arguments: argparse.Namespace, document: Mapping[str, Any], lines: list[str]) -> None:
    print(json.dumps(document) if arguments.json else "\n".join(lines))


def _complain(text: str, code: int) -> int:
    print(f"gateway firmware: {text}", file=sys.stderr)
    return code
