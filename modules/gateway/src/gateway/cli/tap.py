"""`gateway tap`: the live flow of the gateway that runs, filtered and sampled; the flow itself does not notice."""

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.app.asking import NobodyAnswersError, follow
from gateway.app.control import QuestionError
from gateway.app.show import MAX_BODY_CHARS
from gateway.cli.inputs import InputError, NoError, Subparsers, add_data_option, data_directory
from gateway.observe.log import clean

DEFAULT_PER_SECOND: Final = 50
_SAMPLE: Final = re.compile(r"(?:1/)?([1-9][0-9]{0,5})")

EPILOG: Final = """a condition is one of a route, as after WHERE:
  gateway tap --where '$body.temperature > 30' --device 'lab-*'

--sample 5 shows at most five messages of a second, --sample 1/10 every tenth that fits. What was not shown is counted.

exit codes:
  0  shown, until --count, --seconds or Ctrl-C
  1  the condition has an error, or the gateway stopped
  2  no gateway answers, or wrong usage
"""


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Add `tap`."""
    what = "the live flow of the gateway that runs: each message, its routes, where it goes"
    parser = commands.add_parser(
        "tap",
        help=what,
        description=f"{what[0].upper()}{what[1:]}. The flow does not wait for it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", metavar="PATTERN", help="only of these devices; * and ? as in a shell")
    parser.add_argument("--route", metavar="NAME", help="only what this route matched; * and ? as in a shell")
    parser.add_argument("--where", metavar="CONDITION", help="only messages for which this is true")
    parser.add_argument("--endpoint", metavar="TEXT", help="only what goes to an endpoint with this in its name")
    parser.add_argument("--sample", metavar="N|1/N", default=str(DEFAULT_PER_SECOND), help="see below; 50 a second")
    parser.add_argument("--count", type=int, metavar="N", help="end after so many messages")
    parser.add_argument("--seconds", type=float, metavar="S", help="end after so many seconds")
    parser.add_argument("--no-body", action="store_true", help="leave the bodies out")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each message")
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it. Returns the exit code."""
    shower = _Shower(arguments)
    code = 0
    try:
        question = _question(arguments)
        until = math.inf if arguments.seconds is None else time.monotonic() + arguments.seconds
        if not shower.show(follow(data_directory(arguments), question, until=until)) and time.monotonic() < until:
            code = _complain("the gateway has stopped", 1)
    except KeyboardInterrupt:
        pass  # how it is usually ended
    except (InputError, NobodyAnswersError) as error:
        return _complain(error, 2)
    except (NoError, QuestionError) as error:
        return _complain(error, 1)
    shower.sum_up()
    return code


def _complain(error: Exception | str, code: int) -> int:
    print(f"gateway tap: {error}", file=sys.stderr)
    return code


def _question(arguments: argparse.Namespace) -> dict[str, Any]:
    for name in ("count", "seconds"):
        value = getattr(arguments, name)
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"--{name} must be more than 0")
    if arguments.where is not None:
        _check(arguments.where)
    named = {name: getattr(arguments, name) for name in ("device", "route", "where", "endpoint")}
    return {"ask": "tap", **named, **_sample(arguments.sample)}


def _sample(text: str) -> dict[str, int]:
    found = _SAMPLE.fullmatch(text)
    if found is None:
        raise InputError(f"--sample is '{text}': write a number of messages in a second, or 1/10 for every tenth")
    number = int(found[1])
    return {"each": number} if text.startswith("1/") else {"perSecond": number}


def _check(condition: str) -> None:
    """Say what is wrong with a condition before anybody is asked."""
    from gateway.app.tapping import in_condition  # noqa: PLC0415 — the compiler, for those who filter
    from gateway.routing.compile import compile_expression  # noqa: PLC0415 — as above
    from gateway.routing.problems import RouteProblem  # noqa: PLC0415 — as above

    found = compile_expression(condition)
    if isinstance(found, RouteProblem):
        raise NoError(in_condition(found))


class _Shower:
    """Prints what comes, and counts."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._as_json: bool = arguments.json
        self._with_body = not arguments.no_body
        self._most = math.inf if arguments.count is None else arguments.count
        self._shown = 0
        self._left_out = 0

    def show(self, lines: Iterable[Mapping[str, Any]]) -> bool:
        """Print what the gateway says. Returns whether as many were shown as are wanted, False if it said no more."""
        return any(self._take(said) for said in lines)

    def _take(self, said: Mapping[str, Any]) -> bool:
        """Print one line of it. Returns whether that was the last one wanted."""
        if "leftOut" in said:
            self._left_out += said["leftOut"]
            self._say_left_out(said["leftOut"])
        elif "message" in said:
            self._shown += 1
            self._show(said["message"])
        return self._shown >= self._most

    def sum_up(self) -> None:
        """Say how much was shown."""
        print(f"{self._shown} shown, {self._left_out} not shown", file=sys.stderr)

    def _show(self, message: dict[str, Any]) -> None:
        if not self._with_body:
            message = {name: value for name, value in message.items() if not name.startswith("body")}
        _print(json.dumps(message) if self._as_json else line_of(message))

    def _say_left_out(self, count: int) -> None:
        if self._as_json:
            _print(json.dumps({"leftOut": count}))
        else:
            _print(
                f"… {count} more were not shown: narrow it by --device, --route or --where, or ask for more by --sample"
            )


def line_of(message: Mapping[str, Any]) -> str:
    """A message for a person: when, who, what it says, which routes, where to."""
    sender = message["device"] if message["module"] is None else f"{message['device']}/{message['module']}"
    parts = [f"{message['at'][11:23]} {sender:<12}"]
    if message["properties"]:
        pairs = (name if value is None else f"{name}={value}" for name, value in message["properties"].items())
        parts.append(f"[{' '.join(pairs)}]")
    if "body" in message:
        parts.append(_body(message))
    if message["routes"]:
        parts.append(f"→ {' + '.join(message['routes'])} → {', '.join(message['endpoints']) or 'held back'}")
    else:
        parts.append("→ no route, ends here")
    return clean(" ".join(parts))


def _body(message: Mapping[str, Any]) -> str:
    text = message["body"]
    if text is None:
        return f"({message['bytes']} bytes that are no text)"
    cut = text[:MAX_BODY_CHARS]
    return cut if len(cut) == len(text) and not message["bodyCut"] else f"{cut}… ({message['bytes']} bytes)"


def _print(line: str) -> None:
    # At once: whoever pipes it into another program watches, too. Half a character is written out.
    print(line.encode("utf-8", "backslashreplace").decode(), flush=True)
