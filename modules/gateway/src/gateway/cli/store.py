"""`gateway store status|verify|repair`: look into the message store, with the gateway running or not."""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from gateway.cli.inputs import Subparsers
from gateway.store.errors import StoreDamaged, StoreError
from gateway.store.files import DiskFiles
from gateway.store.repair import RepairReport, repair
from gateway.store.status import read_status
from gateway.store.values import StoreStatus
from gateway.store.verify import Verification, verify

DATA_VARIABLE: Final = "GATEWAY_DATA_DIR"
DEFAULT_DATA: Final = "/data"

STATUS: Final = "what waits for which endpoint, and how much disk it takes"
VERIFY: Final = "read everything and name what is damaged (exit 1 if anything is)"
REPAIR: Final = "keep all that can be read, move damaged files aside, say what is lost"


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Add `store` and its actions."""
    store = commands.add_parser("store", help="look into the message store, check it, repair it")
    actions = store.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, what in (("status", STATUS), ("verify", VERIFY), ("repair", REPAIR)):
        action = actions.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        action.add_argument(
            "--data",
            type=Path,
            default=Path(os.environ.get(DATA_VARIABLE) or DEFAULT_DATA),
            metavar="DIR",
            help=f"the gateway's data directory (default: {DATA_VARIABLE}, else {DEFAULT_DATA})",
        )
        action.add_argument("--json", action="store_true", help="answer in JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run one action. Returns 0 for done, 1 for damage or nothing there, 2 for what cannot be read."""
    directory: Path = arguments.data / "store"
    if not directory.is_dir():
        return _nothing(directory)
    actions = {"status": _status, "verify": _verify, "repair": _repair}
    try:
        return actions[arguments.action](directory, as_json=arguments.json)
    except StoreDamaged as error:
        print(error, file=sys.stderr)
        return 1
    except (StoreError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def _nothing(directory: Path) -> int:
    print(
        f"There is no message store in {directory}. It is made when the gateway first starts. "
        f"Name the gateway's data directory with --data DIR or {DATA_VARIABLE}.",
        file=sys.stderr,
    )
    return 1


def _status(directory: Path, *, as_json: bool) -> int:
    status = read_status(directory, DiskFiles(directory))
    if status is None:
        return _nothing(directory)
    if as_json:
        print(json.dumps(_status_json(status)))
    else:
        print("\n".join(_status_lines(status)))
    return 0


def _status_json(status: StoreStatus) -> dict[str, Any]:
    return {
        "messages": status.messages,
        "segments": status.segments,
        "bytes": status.bytes,
        "nextSequence": status.next_sequence,
        "setAsideFiles": status.set_aside_files,
        "setAsideBytes": status.set_aside_bytes,
        "queues": [
            {
                "endpoint": str(queue.endpoint),
                "priority": queue.priority,
                "messages": queue.messages,
                "bytes": queue.bytes,
                "oldestAgeSecs": _age_s(queue.oldest_at_ms),
            }
            for queue in status.queues
        ],
    }


def _age_s(received_at_ms: int | None) -> float | None:
    return None if received_at_ms is None else max(round(time.time() - received_at_ms / 1000, 1), 0.0)


def _status_lines(status: StoreStatus) -> list[str]:
    lines = [f"{_count(status.messages, 'delivery', 'deliveries')} wait; {_size(status.bytes)} on disk"]
    lines[0] += f" in {_count(status.segments, 'segment', 'segments')}"
    if status.queues:
        width = max(len("endpoint"), *(len(str(queue.endpoint)) for queue in status.queues))
        lines.append(f"{'endpoint':{width}}  {'priority':>10}  {'messages':>9}  {'size':>9}  oldest")
    for queue in status.queues:
        age = _age_s(queue.oldest_at_ms)
        lines.append(
            f"{queue.endpoint!s:{width}}  {queue.priority:>10}  {queue.messages:>9}  {_size(queue.bytes):>9}  "
            f"{'-' if age is None else _age(age)}"
        )
    if status.set_aside_files:
        files = _count(status.set_aside_files, "file", "files")
        lines.append(f"{files} set aside by repair (*.damaged), {_size(status.set_aside_bytes)}; delete when done with")
    return lines


def _verify(directory: Path, *, as_json: bool) -> int:
    result = verify(directory, DiskFiles(directory))
    if result is None:
        return _nothing(directory)
    print(json.dumps(_verify_json(result)) if as_json else "\n".join(_verify_lines(directory, result)))
    return 1 if result.damage else 0


def _verify_json(result: Verification) -> dict[str, Any]:
    return {
        "segments": result.segments,
        "records": result.records,
        "bytes": result.bytes,
        "cutBytes": result.cut_bytes,
        "damage": [{"file": each.file, "offset": each.offset, "what": each.what} for each in result.damage],
    }


def _verify_lines(directory: Path, result: Verification) -> list[str]:
    read = f"{_count(result.records, 'record', 'records')} in {_count(result.segments, 'segment', 'segments')}"
    lines = [f"read {read}, {_size(result.bytes)}"]
    if result.cut_bytes:
        lines.append(
            f"{result.cut_bytes} bytes at the end are of a batch that was never acknowledged: being written now, or "
            "cut at the next start"
        )
    if not result.damage:
        return [*lines, "no damage"]
    lines += [f"damaged: {directory / each.file}, byte {each.offset}: {each.what}" for each in result.damage]
    lines.append(f"To keep all that can be read: stop the gateway, then gateway store repair --data {directory.parent}")
    return lines


def _repair(directory: Path, *, as_json: bool) -> int:
    report = repair(directory, DiskFiles(directory))
    if report is None:
        return _nothing(directory)
    print(json.dumps(_repair_json(report)) if as_json else "\n".join(_repair_lines(directory, report)))
    return 0


def _repair_json(report: RepairReport) -> dict[str, Any]:
    return {
        "done": report.done,
        "setAside": report.set_aside,
        "lostRecords": report.lost_records,
        "lost": [{"firstSequence": lost.first, "lastSequence": lost.end - 1} for lost in report.lost],
    }


def _repair_lines(directory: Path, report: RepairReport) -> list[str]:
    if not report.done and not report.lost:
        return ["nothing to repair"]
    lines = [*report.done]
    lines += [
        f"lost: {_count(lost.records, 'record', 'records')}, sequence {lost.first} to {lost.end - 1}"
        for lost in report.lost
    ]
    if not report.lost:
        lines.append("no record that anybody waited for is lost")
    if report.set_aside:
        lines.append(f"the damaged files lie in {directory}: {', '.join(report.set_aside)}; delete them when done")
    return lines


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _age(age_s: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if age_s >= length:
            return f"{age_s / length:.1f} {unit}"
    return f"{age_s:.0f} s"
