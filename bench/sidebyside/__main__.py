"""`python -m sidebyside`: runs the plan, writes results.json, results.md and results.png."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from sidebyside.figures import Row
from sidebyside.load import Generator, build, limited_by
from sidebyside.machine import BenchError, check_cores, describe, raise_open_files, wait_for_quiet
from sidebyside.measures import Context, make_backlog
from sidebyside.plan import FULL, QUICK, Extent, Step, plan
from sidebyside.report import LAYOUTS, markdown, summary
from sidebyside.site import Site, make_site
from sidebyside.targets import PEERS, ROOT, Bench
from standin.client import ControlError

DONE, NO, UNUSABLE = 0, 1, 2


def main() -> int:
    """Run the benchmark. Returns 0 if all was measured, 1 if some of it failed, 2 if it cannot run."""
    arguments = _parser().parse_args()
    try:
        check_cores()
        raise_open_files()
        rows, failures = _measure(arguments)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return UNUSABLE
    _write(arguments.out, rows, failures, quick=arguments.quick)
    return NO if failures else DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sidebyside", description=__doc__)
    parser.add_argument("--rounds", type=int, help="how often all of it is measured (default: 3, quick: 1)")
    parser.add_argument("--quick", action="store_true", help="about three minutes: a piece of each measure")
    parser.add_argument("--only", action="append", choices=list(LAYOUTS), help="only this measure; may be repeated")
    parser.add_argument("--patience", type=float, default=0, metavar="S", help="wait so long for a quiet machine")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results", help="folder of the results")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench", help="scratch folder, on a real disk")
    return parser


def _measure(arguments: argparse.Namespace) -> tuple[list[Row], list[str]]:
    extent: Extent = QUICK if arguments.quick else FULL
    work: Path = arguments.work.resolve()
    site = make_site(work / "site")
    bench = Bench(work / "servers", site)
    bench.folder.mkdir(parents=True, exist_ok=True)
    mqtt, amqp = (_generator(work / name, site) for name in ("mqload", "amqpload"))
    context = Context(bench=bench, generator=mqtt, amqp_generator=amqp, seconds=extent.seconds, warm=extent.warm)
    backlog = bench.folder / "backlog"
    if not arguments.only or "start-up" in arguments.only:
        _say(f"filling a store with {extent.backlog_bytes / 1e9:g} GB")
        backlog, _ = make_backlog(context, extent.backlog_bytes)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    rows: list[Row] = []
    failures: list[str] = []
    for number in range(rounds):
        steps = [step for step in plan(extent, backlog) if not arguments.only or step.measure in arguments.only]
        for row in _round(context, number, steps, failures, arguments.patience):
            rows.append(row)
            _say(_line(row))
    return rows, failures


def _generator(binary: Path, site: Site) -> Generator:
    build(binary)
    return Generator(binary, site)


def _round(
    context: Context, number: int, steps: Sequence[Step], failures: list[str], patience_s: float
) -> Iterator[Row]:
    for step in steps:
        wait_for_quiet(patience_s)
        try:
            values = step.take(context)
        except (BenchError, ControlError, OSError, subprocess.SubprocessError) as error:
            failures.append(f"round {number + 1}, {step.measure}, {step.case}, {step.target}: {error}")
            _say(f"FAILED {failures[-1]}")
        else:
            yield Row(measure=step.measure, case=step.case, target=step.target, round=number, values=values)


def _line(row: Row) -> str:
    layout = LAYOUTS[row.measure]
    figures = (
        f"{row.values[column.name]:,.{column.digits}f} {column.title}"
        for column in layout.columns
        if column.name in row.values
    )
    limit = f"; limited by {limited_by(dict(row.values))}" if "generator_cores" in row.values else ""
    return f"{row.round + 1} {row.measure}, {row.case}, {row.target}: {', '.join(figures)}{limit}"


def _write(folder: Path, rows: Sequence[Row], failures: Sequence[str], *, quick: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rounds = len({row.round for row in rows})
    machine = {**describe(), "run": f"{datetime.now(UTC):%Y-%m-%d}, {rounds} rounds{', quick' if quick else ''}"}
    document = {
        "machine": machine,
        "summary": summary(rows),
        "rows": [asdict(row) for row in rows],
        "failures": failures,
    }
    (folder / "results.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")
    (folder / "results.md").write_text(markdown(machine, rows, failures))
    plot = [str(PEERS / "python"), str(Path(__file__).with_name("plot.py"))]
    subprocess.run([*plot, str(folder / "results.json"), str(folder / "results.png")], check=True)
    _say(f"results in {folder}")


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
