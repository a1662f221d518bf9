"""What it costs to match a message against a table of N routes: parsing of the body included, store excluded."""

import argparse
import json
import time
from typing import Final

from edgewire.iothub.bag import read_bag
from edgewire.iothub.messages import envelope_for
from edgewire.message import Message, identity
from gateway.routing.compile import RouteSpec, compile_routes

KINDS: Final = {
    "site": (
        "$body.messageType = 'kind-{number}'",
        "$body.machine.temperature > {number} AND $body.site = 'plant-{number}'",
        "$body.ambient.humidity < {number} AND $body.messageType = 'alert'",
        "site = 'plant-{number}' AND $body.machine.temperature > 70",
    ),
    "equality": ("$body.messageType = 'kind-{number}'",),
    "range": ("$body.machine.temperature > {number}",),
    "guarded": ("is_number($body.machine.temperature) AND $body.machine.temperature > {number}",),
    "conjunction": ("$body.machine.temperature > {number} AND $body.site = 'plant-{number}'",),
    "fields": (
        "$body.field{number} > 5",
        "$body.messageType = 'state' AND $body.field{number} < 7",
        "is_number($body.field{number})",
        "NOT ($body.field{number} != 3)",
    ),
}
"""Conditions by kind. `site` is what sites have, its four in turn: by type, by place, by a threshold with something
else (`site` without `$body` is a property). In the others all routes are alike. Each of `fields` reads a key of its
own; a message has one of the first 16."""
BODIES: Final = 16
REPEATS: Final = 7
BUDGET_S: Final = 0.15


def routes(count: int, kind: str) -> dict[str, RouteSpec]:
    """So many routes, of the kind's conditions in turn."""
    conditions = KINDS[kind]
    texts = (conditions[number % len(conditions)].format(number=number) for number in range(count))
    return {f"r{n}": RouteSpec(text=f"FROM /messages/* WHERE {text} INTO $upstream") for n, text in enumerate(texts)}


def messages() -> list[Message]:
    """256 B bodies like mqload's, from one device: its envelope is known after the first."""
    envelope = envelope_for(
        identity("device-00000"), read_bag("$.ct=application%2Fjson&$.ce=utf-8&site=plant-3"), marks={}
    )
    made = []
    for number in range(BODIES):
        head = (
            f'{{"messageType":"state","site":"plant-{number}","machine":{{"temperature":{20 + number}.5}},'
            f'"ambient":{{"humidity":{24 + number}}},"field{number}":3,"pad":"'
        )
        made.append(Message(envelope, (head + "x" * (254 - len(head)) + '"}').encode()))
    return made


def time_table(count: int, kind: str) -> float:
    """Microseconds per message: the best of some repeats, as only disturbances make it longer."""
    table = compile_routes(routes(count, kind)).table
    if table is None:
        raise SystemExit("the routes do not compile")
    batch = messages()
    best = float("inf")
    for _ in range(REPEATS):
        started_at, matched = time.perf_counter(), 0
        while time.perf_counter() - started_at < BUDGET_S:
            for message in batch:
                table.match(message)
            matched += len(batch)
        best = min(best, (time.perf_counter() - started_at) / matched)
    return best * 1e6


def main() -> None:
    """Read the command line, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, required=True)
    parser.add_argument("--kind", choices=KINDS, default="site")
    arguments = parser.parse_args()
    print(json.dumps({"match_us": time_table(arguments.routes, arguments.kind)}))


if __name__ == "__main__":
    main()
