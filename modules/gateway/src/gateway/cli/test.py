"""`gateway test FILE`: runs the cases that stand beside the routes."""

import argparse
from dataclasses import dataclass
from typing import Any

from edgewire.message import Message
from gateway.app.document import GatewaySettings
from gateway.app.document_tests import Becomes, RouteTest
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
    read_document,
    refuse_document,
    say,
)
from gateway.routing.table import Decision, Table

_CASES = """cases stand in the document under "tests":
  {"name": "an alert goes up", "message": {"body": {"kind": "alert"}}, "expect": ["$upstream"], "routes": ["alerts"]}
  expect   the endpoints, [] for none: "$upstream", "/modules/<module>/inputs/<input>", "Endpoint('<name>')",
           "Topic('<topic as the route writes it>')"
  routes   which routes match, if that matters
  message  as for `gateway explain`, a publication to a topic too: {"topic": "site/lab/climate", "body": …}
  becomes  of a publication: {"device": "lab", "properties": {"kind": "climate"}}, as far as it matters
messages in time, for routes with "send":
  {"name": "…", "messages": [{"at": 0, "body": {…}, "expect": ["$upstream"]}, {"at": 5, "body": {…}, "expect": []}],
   "made": [{"endpoint": "$upstream", "body": {"count": 6}}]}
  at       seconds from the start; without it one second after the message before
  expect   where the message goes on to, as it is or within what is made of it
  made     batches and aggregates in their order, up to the last; body: as far as it matters

"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one case went."""

    name: str
    endpoints: tuple[str, ...]
    routes: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True if all came as expected."""
        return not self.faults


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """`gateway test …`."""
    parser = commands.add_parser(
        "test",
        help="run the test cases written beside the routes",
        description="Runs the test cases of a settings document against its routes.",
        epilog=_CASES + EXIT_CODES.format(yes="all cases passed", no="a case failed, none is there, or errors"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_document_options(parser)
    parser.add_argument("--json", action="store_true", help="one line of JSON for each case")


def run(arguments: argparse.Namespace) -> int:
    """Runs the cases, and prints how they went."""
    try:
        reading = read_document(arguments)
    except InputError as error:
        return complain(error)
    if reading.table is None or reading.settings is None:
        return refuse_document(reading, as_json=arguments.json)
    outcomes = [run_case(case, reading.settings, reading.table) for case in reading.settings.tests]
    for outcome in outcomes:
        if arguments.json:
            print_json(_answer(outcome))
        else:
            _show(outcome)
    if not arguments.json:
        say(_summary(outcomes, reading.settings))
    return EXIT_YES if outcomes and all(outcome.passed for outcome in outcomes) else EXIT_NO


def run_case(case: RouteTest, settings: GatewaySettings, table: Table) -> Outcome:
    """Matches the message of a case, or its messages in time, and compares."""
    if case.sequence is not None:
        from gateway.cli.test_sequence import run_sequence  # noqa: PLC0415 — most cases are of one message

        endpoints, routes, faults = run_sequence(case.sequence, settings, table)
        return Outcome(name=case.name, endpoints=endpoints, routes=routes, faults=tuple(faults))
    decision = Decision((), ()) if case.message is None else table.match(case.message)
    return Outcome(
        name=case.name,
        endpoints=tuple(str(delivery.endpoint) for delivery in decision.deliveries),
        routes=decision.routes,
        faults=(*_mapping_faults(case), *_faults(case, decision)),
    )


def _mapping_faults(case: RouteTest) -> list[str]:
    """What is wrong with what a topic became; that it is no message is right where nothing is expected of it."""
    if case.topic is None:
        return []
    if case.message is None:
        if case.becomes is None and not case.endpoints:
            return []
        taken = "no rule takes it" if case.topic.mapped is None else "it is refused"
        return [f"topic '{case.topic.topic}' becomes no message, {taken}", *case.topic.reasons]
    return [] if case.becomes is None else _differences(case.becomes, case.message)


def _differences(wanted: Becomes, message: Message) -> list[str]:
    device, properties = message.envelope.sender.device, message.envelope.properties
    faults = []
    if wanted.device is not None and wanted.device != device:
        faults.append(f"its device is '{device}', not '{wanted.device}'")
    for name, value in wanted.properties.items():
        if properties.get(name) != value:
            faults.append(f"its property '{name}' is {_quoted(properties.get(name))}, not {_quoted(value)}")
    return faults


def _quoted(value: str | None) -> str:
    return "not there" if value is None else f"'{value}'"


def _faults(case: RouteTest, decision: Decision) -> list[str]:
    endpoints = {str(delivery.endpoint) for delivery in decision.deliveries}
    faults = [f"it does not go to {endpoint}" for endpoint in sorted(case.endpoints - endpoints)]
    faults += (f"it goes to {endpoint}, which is not expected" for endpoint in sorted(endpoints - case.endpoints))
    if case.routes is not None:
        matched = frozenset(decision.routes)
        faults += (f"route '{name}' does not match" for name in sorted(case.routes - matched))
        faults += (f"route '{name}' matches, which is not expected" for name in sorted(matched - case.routes))
    return faults


def _answer(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "passed": outcome.passed,
        "endpoints": list(outcome.endpoints),
        "routes": list(outcome.routes),
        "faults": list(outcome.faults),
    }


def _show(outcome: Outcome) -> None:
    if outcome.passed:
        say(f"ok    {outcome.name}")
        return
    say(f"FAIL  {outcome.name}")
    for fault in outcome.faults:
        say(f"      {fault}")
    by = ", ".join(outcome.routes) or "none"
    say(f"      routes that match: {by}")


def _summary(outcomes: list[Outcome], settings: GatewaySettings) -> str:
    if not outcomes:
        routes = plural(len(settings.routes), "route")
        return f'no test cases for {routes}: write them beside the routes under "tests" (gateway test --help)'
    failed = sum(not outcome.passed for outcome in outcomes)
    result = f"{failed} failed; try gateway explain" if failed else "all passed"
    return f"{plural(len(outcomes), 'case')}, {result}"
