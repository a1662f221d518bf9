"""`gateway check FILE`: says whether settings are good, and what in them may surprise."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gateway.app.document import Reading, SettingsProblem
from gateway.app.settings import read_text
from gateway.cli.inputs import Subparsers
from gateway.cli.routes_input import (
    EXIT_CODES,
    EXIT_NO,
    EXIT_YES,
    InputError,
    add_document_options,
    complain,
    plural,
    print_json,
    problem_json,
    read_document,
    say,
)


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """`gateway check …`."""
    parser = commands.add_parser(
        "check",
        help="check settings and routes before they are deployed",
        description="Check a settings document and every route in it. Errors point at the place and say what to write; "
        "warnings name routes that may do something else than they seem to.",
        epilog=EXIT_CODES.format(yes="no errors (there may be warnings)", no="errors found, or warnings with --strict"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_document_options(parser)
    parser.add_argument("--json", action="store_true", help="one line of JSON with all problems and warnings")
    parser.add_argument("--strict", action="store_true", help="take warnings for errors")


def run(arguments: argparse.Namespace) -> int:
    """Checks, and prints what was found."""
    try:
        reading = read_document(arguments)
        if arguments.route is None:
            reading = _with_secrets(reading, os.environ)
    except InputError as error:
        return complain(error)
    good = not reading.problems and not (arguments.strict and reading.warnings)
    if arguments.json:
        print_json(_answer(reading, good=good))
    else:
        _show(reading, "the route" if arguments.route is not None else arguments.file)
    return EXIT_YES if good else EXIT_NO


def _with_secrets(reading: Reading, environ: Mapping[str, str]) -> Reading:
    """The reading, and a warning for each endpoint that has no usable connection string here."""
    if reading.settings is None or not reading.settings.endpoints:
        return reading
    from gateway.app.endpoint_secrets import missing  # noqa: PLC0415 — most documents have no endpoints

    folder = Path(read_text("GATEWAY_SECRETS_DIR", environ))
    found = tuple(
        SettingsProblem(path=f"endpoints.{name}", message=what, fix="until then its messages wait in the store")
        for name, what in missing(reading.settings.endpoints.values(), folder, environ)
    )
    return replace(reading, warnings=(*reading.warnings, *found))


def _answer(reading: Reading, *, good: bool) -> dict[str, object]:
    routes = reading.settings.routes if reading.settings is not None else {}
    return {
        "ok": good,
        "module": reading.module,
        "routes": list(routes),
        "topics": 0
        if reading.settings is None or reading.settings.topics is None
        else len(reading.settings.topics.rules),
        "tests": len(reading.settings.tests) if reading.settings is not None else 0,
        "problems": [problem_json(problem) for problem in reading.problems],
        "warnings": [problem_json(warning) for warning in reading.warnings],
    }


def _show(reading: Reading, name: str) -> None:
    for problem in reading.problems:
        say(f"error: {problem.rendered()}\n")
    for warning in reading.warnings:
        say(f"warning: {warning.rendered()}\n")
    found = [plural(len(reading.problems), "error"), plural(len(reading.warnings), "warning")]
    if reading.settings is None:
        say(f"{name}: {', '.join(found)}. The gateway would refuse this and keep its last good settings.")
        return
    of_module = f" of module '{reading.module}'" if reading.module else ""
    if reading.settings.topics is not None:
        found.insert(0, plural(len(reading.settings.topics.rules), "topic rule"))
    say(f"{name}: {plural(len(reading.settings.routes), 'route')}{of_module}, {', '.join(found)}")
