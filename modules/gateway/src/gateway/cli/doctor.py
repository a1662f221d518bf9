"""`gateway doctor`: looks at all that a gateway needs, and says what is wrong, what follows and what to do."""

import argparse
import json
import os
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from gateway.cli.inputs import Subparsers, add_data_option
from gateway.cli.routes_input import EXIT_CODES, InputError, complain, read_json, say
from gateway.doctor.checkup import Result, examine, worst
from gateway.doctor.finding import Verdict
from gateway.doctor.patient import find_patient

WIDTH: Final = 118
_HANGING: Final = 10


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Add `doctor`."""
    what = "clock, names, ports, certificates, disk, store, ways upstream, deployment: what is wrong, and the fix"
    parser = commands.add_parser(
        "doctor",
        help=what,
        description="Look at all that a gateway needs, running or not, and at the deployment that FILE has. Nothing is "
        "changed, and no secret is shown.",
        epilog=EXIT_CODES.format(yes="no problems (there may be warnings)", no="problems found"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="settings, or a deployment manifest or template, to look at beside"
    )
    parser.add_argument("--module", metavar="NAME", help="whose settings are meant, in a deployment with several")
    parser.add_argument("--offline", action="store_true", help="ask nobody outside of this machine")
    parser.add_argument("--all", action="store_true", help="name what could not be checked, too")
    parser.add_argument("--json", action="store_true", help="the answer for programs")
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Look, and tell. Returns 0 if there is no problem, 1 if there is one, 2 if FILE cannot be read."""
    try:
        document = None if arguments.file is None else read_json(arguments.file)
    except InputError as error:
        return complain(error)
    patient = find_patient(
        os.environ,
        data=arguments.data,
        document=document,
        document_name=arguments.file or "",
        module=arguments.module,
    )
    results = examine(patient, offline=arguments.offline)
    if arguments.json:
        print(json.dumps(answer(results)))
    else:
        for line in lines_of(results, everything=arguments.all):
            say(line)
    return 1 if worst(results) is Verdict.PROBLEM else 0


def answer(results: Sequence[Result]) -> dict[str, Any]:
    """The findings for programs."""
    return {"verdict": worst(results).value, "findings": [result.row() for result in results]}


def lines_of(results: Sequence[Result], *, everything: bool) -> Iterator[str]:
    """The findings for a person: what is wrong comes last, where the eye is."""
    counts = Counter(result.finding.verdict for result in results)
    order = (Verdict.NOT_CHECKED, Verdict.OK, Verdict.WARNING, Verdict.PROBLEM)
    for verdict in order if everything else order[1:]:
        for result in results:
            if result.finding.verdict is verdict:
                yield from _lines(result)
    told = [
        f"{counts[Verdict.OK]} ok",
        _count(counts[Verdict.WARNING], "warning"),
        _count(counts[Verdict.PROBLEM], "problem"),
    ]
    left_out = counts[Verdict.NOT_CHECKED]
    hint = "" if everything or not left_out else " (--all says why)"
    yield f"{', '.join(told)}, {left_out} not checked{hint}"


def _lines(result: Result) -> Iterator[str]:
    finding = result.finding
    yield from _wrapped(_HEADS[finding.verdict], f"{result.check}: {finding.says}")
    if finding.follows:
        yield from _wrapped("  so", finding.follows)
    if finding.fix:
        yield from _wrapped("  do", finding.fix)


_HEADS: Final = {
    Verdict.OK: "ok",
    Verdict.WARNING: "warning",
    Verdict.PROBLEM: "PROBLEM",
    Verdict.NOT_CHECKED: "skipped",
}


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{head:{_HANGING}}",
        subsequent_indent=" " * _HANGING,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
