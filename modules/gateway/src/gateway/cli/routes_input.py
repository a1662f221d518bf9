"""What `check`, `explain` and `test` take in alike: a settings document or one route, and messages."""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from edgewire.message import DEFAULT_PRIORITY, Delivery, Message
from gateway.app.document import Reading, SettingsProblem, read_settings
from gateway.app.sample import SampleError, read_sample
from gateway.routing.problems import RouteProblem

if TYPE_CHECKING:
    from gateway.app.topic_sample import TopicSample
    from gateway.topics.mapping import TopicMap

EXIT_YES: Final = 0
EXIT_NO: Final = 1
EXIT_UNREADABLE: Final = 2

EXIT_CODES: Final = """exit codes:
  0  {yes}
  1  {no}
  2  wrong usage, or an input that cannot be read
"""


_ENDPOINT: Final = re.compile(r"""\bEndpoint\s*\(\s*["']([^"']+)["']""", re.IGNORECASE)


class InputError(Exception):
    """An input cannot be read; the text says which, why and what to do."""


class _RepeatedKeyError(ValueError):
    """A JSON object has a key twice, so one of the two would be lost."""


def add_document_options(parser: argparse.ArgumentParser) -> None:
    """`FILE`, `--route` and `--module`."""
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="settings document, module twin, deployment manifest or template; '-' reads standard input",
    )
    parser.add_argument("--route", metavar="TEXT", help="one route instead of a FILE: 'FROM … INTO …'")
    parser.add_argument("--module", metavar="NAME", help="whose settings are meant, in a deployment with several")


def read_document(arguments: argparse.Namespace) -> Reading:
    """The settings that the arguments name.

    Raises InputError.
    """
    if (arguments.file is None) == (arguments.route is None):
        raise InputError("give either a FILE or --route 'FROM … INTO …'")
    if arguments.route is not None:
        # A route alone may name any endpoint: the settings that it is written for have it, or are checked for it.
        endpoints = {name: {"type": "eventhub"} for name in _ENDPOINT.findall(arguments.route)}
        return read_settings({"routes": {"route": arguments.route}, "endpoints": endpoints})
    return read_settings(read_json(arguments.file), module=arguments.module)


def read_json(name: str) -> Any:
    """The JSON in a file, or on standard input for '-'.

    Raises InputError with line and column of what is no JSON.
    """
    found = _parse(_text_of(name), name)
    try:
        orjson.dumps(found)  # as the gateway itself, which refuses such a document
    except TypeError as error:  # half a character, an integer of more than 64 bits
        raise InputError(f"{name} is JSON that cannot be kept: {error}") from error
    return found


def _text_of(name: str) -> str:
    try:
        if name == "-":
            return sys.stdin.read()
        return Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is no text in UTF-8: byte {error.start + 1} fits nowhere") from error


def _parse(text: str, name: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise InputError(f"{name} is no JSON: line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (_RepeatedKeyError, RecursionError) as error:
        raise InputError(f"{name}: {error}") from error


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _RepeatedKeyError(f"the key '{twice}' stands twice in one object; the first one would be lost")
    return found


def read_messages(name: str, topics: "TopicMap | None" = None) -> "list[Message | TopicSample]":
    """The messages in a file or on standard input: one object, an array of them, or one object in each line.

    Those with a topic are publications, of which `topics` make messages. Raises InputError.
    """
    text = _text_of(name)
    if not text.strip():
        raise InputError(f'{name} is empty; write a message as JSON, as {{"body": {{…}}}}')
    samples = _samples(text, name)
    messages: list[Message | TopicSample] = []
    for number, sample in enumerate(samples, 1):
        try:
            messages.append(read_one(sample, topics))
        except SampleError as error:
            which = f", message {number}" if len(samples) > 1 else ""
            raise InputError(f"{name}{which}: {error}") from error
    return messages


def read_one(sample: Any, topics: "TopicMap | None") -> "Message | TopicSample":
    """The message, or the publication, that a sample describes. Raises SampleError."""
    if not (isinstance(sample, dict) and "topic" in sample):
        return read_sample(sample)
    from gateway.app.topic_sample import read_topic_sample  # noqa: PLC0415 — most settings have no topics

    return read_topic_sample(sample, topics)


def _samples(text: str, name: str) -> list[Any]:
    try:
        whole = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not _is_json(lines[0]):
            return [_parse(text, name)]
        return [_parse(line, f"{name}, line {number}") for number, line in enumerate(lines, 1)]
    return whole if isinstance(whole, list) else [whole]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return False
    return True


def complain(error: InputError) -> int:
    """Says what could not be read. Returns the exit code."""
    say(f"gateway: {error}", error=True)
    return EXIT_UNREADABLE


def problem_json(problem: SettingsProblem) -> dict[str, Any]:
    """A problem for programs; those inside a route's text have its line and column."""
    found: dict[str, Any] = {"path": problem.path, "message": problem.message, "fix": problem.fix}
    return found if problem.route is None else {**_place_json(problem.route), **found}


def _place_json(problem: RouteProblem) -> dict[str, Any]:
    return {"route": problem.route, "line": problem.line, "column": problem.column, "length": problem.length}


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """A delivery for programs; no priority and no limit are null."""
    return {
        "endpoint": str(delivery.endpoint),
        "priority": None if delivery.priority == DEFAULT_PRIORITY else delivery.priority,
        "timeToLiveSecs": delivery.time_to_live_s,
    }


def say(text: str, *, error: bool = False) -> None:
    """Prints text that may come from a message: half a surrogate pair cannot be printed, so it is written out."""
    print(text.encode("utf-8", "backslashreplace").decode(), file=sys.stderr if error else sys.stdout)


def print_json(value: Any) -> None:
    """One line of JSON, in ASCII, so that it survives any terminal and pipe."""
    print(json.dumps(value))


def refuse_document(reading: Reading, *, as_json: bool) -> int:
    """Says why the routes cannot be used. Returns the exit code."""
    if as_json:
        print_json({"problems": [problem_json(problem) for problem in reading.problems]})
    for problem in reading.problems:
        say(problem.rendered(), error=True)
    return EXIT_NO


def plural(count: int, noun: str) -> str:
    """`1 route`, `2 routes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
