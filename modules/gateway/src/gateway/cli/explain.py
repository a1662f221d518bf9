"""`gateway explain FILE --message M.json`: which routes match a message, and which part of each condition decided."""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgewire.message import Message
from gateway.app.document import GatewaySettings
from gateway.app.sample import SampleError
from gateway.cli.inputs import Subparsers
from gateway.cli.routes_input import (
    EXIT_CODES,
    EXIT_YES,
    InputError,
    add_document_options,
    complain,
    delivery_json,
    print_json,
    read_document,
    read_messages,
    read_one,
    refuse_document,
    say,
)
from gateway.routing.explain import Because, RouteExplanation, shown
from gateway.routing.table import Table, value_of
from gateway.routing.view import source_of

if TYPE_CHECKING:
    from gateway.app.topic_sample import TopicSample

_MESSAGE = """a message is JSON:
  {"body": {"temperature": 31}, "properties": {"kind": "climate"}, "device": "board-1"}
  body             text, or any JSON value (marked as JSON then); bodyBase64 for bytes
  properties       application properties, text
  systemProperties contentType, contentEncoding, messageId, …; nothing is assumed for a body given as text
  device, module, output   who sent it; an array, or one message in each line, is many

a publication to a topic of the device's own choice is JSON too; the rules under "topics" make a message of it:
  {"topic": "site/lab/climate", "body": {"temperature": 31}, "listener": "plain"}

"""


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """`gateway explain …`."""
    parser = commands.add_parser(
        "explain",
        help="which routes match a message, and why",
        description="For every route: did its source match, is its condition true, false or undefined, and which "
        "part of it decided.",
        epilog=_MESSAGE + EXIT_CODES.format(yes="explained (matched or not)", no="the routes have errors"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_document_options(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--message", metavar="FILE", help="messages as JSON; '-' reads standard input")
    what.add_argument("--topic", metavar="TOPIC", help="a publication to this topic, instead of messages")
    parser.add_argument("--body", metavar="TEXT", default="", help="the payload that goes with --topic")
    parser.add_argument("--listener", metavar="NAME", help="where it comes from: plain (the default) or broker")
    parser.add_argument("--cost", action="store_true", help="what IoT Hub meters in a day, if devices send like this")
    parser.add_argument("--every", type=float, metavar="SECS", help="with --cost: between two messages of a device; 10")
    parser.add_argument("--devices", type=int, metavar="N", help="with --cost: how many devices send; 1")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each message")


def run(arguments: argparse.Namespace) -> int:
    """Explains each message."""
    if arguments.message == "-" and arguments.file == "-":
        return complain(InputError("the settings and the messages cannot both come from standard input"))
    try:
        reading = read_document(arguments)
        if reading.table is None or reading.settings is None:
            return refuse_document(reading, as_json=arguments.json)
        messages = _messages(arguments, reading.settings)
        if _is_about_cost(arguments):
            _explain_cost(arguments, messages, reading.settings, reading.table)
            return EXIT_YES
    except InputError as error:
        return complain(error)
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Message):
            _explain_topic(number, message, reading.settings, reading.table, as_json=arguments.json)
        elif arguments.json:
            print_json(_answer(number, message, reading.table))
        else:
            _show(number, message, reading.settings, reading.table)
    return EXIT_YES


def _is_about_cost(arguments: argparse.Namespace) -> bool:
    if not arguments.cost and (arguments.every is not None or arguments.devices is not None):
        raise InputError("--every and --devices go with --cost")
    return bool(arguments.cost)


def _explain_cost(
    arguments: argparse.Namespace, samples: "Sequence[Message | TopicSample]", settings: GatewaySettings, table: Table
) -> None:
    from gateway.cli.explain_cost import explain_cost  # noqa: PLC0415 — a question of its own

    found = [sample if isinstance(sample, Message) else sample.message for sample in samples]
    explain_cost(
        [message for message in found if message is not None],
        settings,
        table,
        every_s=10.0 if arguments.every is None else arguments.every,
        devices=1 if arguments.devices is None else arguments.devices,
        as_json=arguments.json,
    )


def _messages(arguments: argparse.Namespace, settings: GatewaySettings) -> "Sequence[Message | TopicSample]":
    if arguments.topic is None:
        if arguments.body or arguments.listener:
            raise InputError("--body and --listener go with --topic; a message in a FILE has its own")
        return read_messages(arguments.message, settings.topics)
    try:
        sample = {"topic": arguments.topic, "body": arguments.body, "listener": arguments.listener}
        return [read_one(sample, settings.topics)]
    except SampleError as error:
        raise InputError(f"--{error}") from error


def _explain_topic(
    number: int, sample: "TopicSample", settings: GatewaySettings, table: Table, *, as_json: bool
) -> None:
    from gateway.cli.explain_topic import topic_json, topic_lines  # noqa: PLC0415 — most settings have no topics

    if as_json:
        nowhere: dict[str, Any] = {"message": number, "source": None, "routes": {}, "deliveries": []}
        answer = nowhere if sample.message is None else _answer(number, sample.message, table)
        print_json({**answer, "publication": topic_json(sample)})
        return
    say("\n".join(topic_lines(number, sample, settings.topic_devices)))
    if sample.message is None:
        say("")
    else:
        _show(number, sample.message, settings, table)


def _answer(number: int, message: Message, table: Table) -> dict[str, Any]:
    return {
        "message": number,
        "source": source_of(message.envelope),
        "routes": {found.route: _route_json(found) for found in table.explain(message)},
        "deliveries": [delivery_json(delivery) for delivery in table.match(message).deliveries],
    }


def _route_json(found: RouteExplanation) -> dict[str, Any]:
    return {
        "matched": found.matched,
        "source": found.source_matched,
        "result": found.result,
        "because": None if found.because is None else _because_json(found.because),
    }


def _because_json(because: Because) -> dict[str, Any]:
    return {
        "text": because.text,
        "line": because.line,
        "column": because.column,
        "length": because.length,
        "value": because.value,
        "operands": [{"text": operand.text, "value": operand.value} for operand in because.operands],
        "note": because.note,
    }


def _show(number: int, message: Message, settings: GatewaySettings, table: Table) -> None:
    decision = table.match(message)
    to = ", ".join(str(delivery.endpoint) for delivery in decision.deliveries)
    properties = json.dumps(dict(message.envelope.properties), ensure_ascii=False)
    say(f"message {number} from {message.envelope.sender}: {to or 'no route matches, it would be dropped'}")
    say(f"  source {source_of(message.envelope)}, {len(message.body)} bytes, properties {properties}")
    for found in table.explain(message):
        for line in [*_route_lines(found), *_send_lines(found, message, settings)]:
            say(f"  {line}")
    say("")


def _route_lines(found: RouteExplanation) -> list[str]:
    if not found.source_matched:
        return [f"- {found.route}: FROM does not match"]
    if found.because is None:
        return [f"+ {found.route}: matched, there is no condition"]
    state = "matched" if found.matched else f"not matched, the condition is {found.result}"
    lines = [f"{'+' if found.matched else '-'} {found.route}: {state}"]
    because = found.because
    values = ", ".join(f"{operand.text} is {operand.value}" for operand in because.operands)
    seen = f"  ({values})" if values and values != f"{because.text} is {because.value}" else ""
    lines.append(f"    {because.text}  is {because.value}{seen}")
    return lines + ([f"    {because.note}"] if because.note else [])


def _send_lines(found: RouteExplanation, message: Message, settings: GatewaySettings) -> list[str]:
    """What the route's `send` makes of the match, as far as one message can tell."""
    lessened = settings.sending.get(found.route) if found.matched else None
    if lessened is None:
        return []
    lines = []
    rule = lessened.filter
    if rule is not None:
        value = "" if rule.on_change_of is None else f"onChangeOf is {shown(value_of(rule.on_change_of, message))}; "
        lines.append(f"    send: {value}whether it goes on depends on the messages before it (gateway test)")
    if lessened.stage is not None:
        lines.append("    send: what goes on is made into batches or aggregates (gateway test)")
    return lines
