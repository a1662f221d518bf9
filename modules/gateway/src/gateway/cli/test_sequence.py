"""Runs the cases of `gateway test` that have several messages in time."""

import json
from collections.abc import Sequence as Several
from typing import Any

from edgewire.message import Message
from gateway.app.document import GatewaySettings
from gateway.app.document_sequences import MadeWanted, Sequence
from gateway.app.sending_trial import Sent, Trial
from gateway.routing.table import Table


def run_sequence(
    sequence: Sequence, settings: GatewaySettings, table: Table
) -> tuple[tuple[str, ...], tuple[str, ...], list[str]]:
    """Endpoints reached, routes that matched, and what is not as it must be."""
    trial = Trial(settings, table)
    faults: list[str] = []
    endpoints: dict[str, None] = {}
    routes: dict[str, None] = {}
    for number, step in enumerate(sequence.steps, 1):
        decision, left = trial.feed(step.message, step.at_s)
        reached = {str(trial.goes_to(delivery)) for delivery in left}
        routes.update(dict.fromkeys(decision.routes))
        endpoints.update(dict.fromkeys(sorted(reached)))
        if step.endpoints is not None:
            which = f"message {number}, at {step.at_s:g} s,"
            faults += (f"{which} does not go on to {name}" for name in sorted(step.endpoints - reached))
            faults += (f"{which} goes on to {name}, which is not expected" for name in sorted(reached - step.endpoints))
    trial.finish()
    if sequence.made is not None:
        faults += _made_faults(sequence.made, [sent for sent in trial.sent if sent.is_made])
    return tuple(endpoints), tuple(routes), faults


def _made_faults(wanted: Several[MadeWanted], made: list[Sent]) -> list[str]:
    faults = []
    if len(wanted) != len(made):
        faults.append(f"{len(made)} messages are made, not {len(wanted)}")
    for number, (want, sent) in enumerate(zip(wanted, made, strict=False), 1):
        which = f"what is made, number {number},"
        if want.endpoint is not None and want.endpoint != str(sent.endpoint):
            faults.append(f"{which} goes to {sent.endpoint}, not to {want.endpoint}")
        found = _read(sent.message)
        if want.body is not None and (where := _difference(want.body, found, "body")):
            faults.append(f"{which} differs: {where}")
        properties = sent.message.envelope.properties
        faults += (
            f"{which} has '{name}' = '{properties.get(name)}', not '{text}'"
            for name, text in want.properties.items()
            if properties.get(name) != text
        )
    return faults + [f"also made: {sent.message.body.decode()}" for sent in made[len(wanted) :]]


def _read(message: Message) -> Any:
    """The body of a made message; one with a value in each line is a list of them."""
    if message.envelope.system.get("contentType") == "application/json":
        return json.loads(message.body)
    return [json.loads(line) for line in message.body.splitlines()]


def _difference(wanted: Any, found: Any, path: str) -> str:
    """Where `found` lacks what is wanted; an object may have more."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, item in wanted.items():
            if key not in found:
                return f"{path} has no '{key}'"
            if where := _difference(item, found[key], f"{path}.{key}"):
                return where
        return ""
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        differences = (_difference(*pair, f"{path}[{n}]") for n, pair in enumerate(zip(wanted, found, strict=True)))
        return next((where for where in differences if where), "")
    return "" if wanted == found else f"{path} is {json.dumps(found)}, not {json.dumps(wanted)}"
