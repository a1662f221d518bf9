"""`gateway method`: call a direct method of a device or module that is connected here, without the cloud."""

import argparse
import json
import sys
from typing import Any, Final

from gateway.app.asking import ANSWER_S, NobodyAnswersError, ask
from gateway.app.control import QuestionError
from gateway.cli.inputs import Subparsers, add_data_option, data_directory

NO_ANSWER = (404, 504)
"""The device is not there, or did not answer: the answer is no. All else is a question that makes no sense."""
MOST_S: Final = 300.0
"""A device may take to connect, and to answer; the gateway refuses longer times at once."""


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Add `method`."""
    what = "call a direct method of a device that is connected here"
    parser = commands.add_parser(
        "method",
        help=what,
        description=f"{what[0].upper()}{what[1:]}, with the cloud or without. It is called once, and never stored.",
    )
    parser.add_argument("device", metavar="DEVICE", help="the device, or DEVICE/MODULE")
    parser.add_argument("method", metavar="NAME", help="the method's name, as the device knows it")
    parser.add_argument("payload", metavar="JSON", nargs="?", default="null", help="the payload (default: null)")
    parser.add_argument(
        "--timeout", type=float, default=30.0, metavar="S", help="seconds for the answer, 5 to 300 (default: 30)"
    )
    parser.add_argument(
        "--connect-timeout", type=float, default=0.0, metavar="S", help="seconds to wait for the device, up to 300"
    )
    parser.add_argument("--json", action="store_true", help="the answer for programs")
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Call it. Returns 0 for a status below 400, 1 for another or no answer, 2 for what makes no sense."""
    try:
        payload = json.loads(arguments.payload)
    except ValueError as error:
        print(f"gateway method: the payload is not JSON ({error}); a text needs its quotes: '\"on\"'", file=sys.stderr)
        return 2
    device, slash, module = arguments.device.partition("/")
    question = {
        "ask": "method",
        "device": device,
        "module": module if slash else None,
        "method": arguments.method,
        "payload": payload,
        "timeoutSecs": arguments.timeout,
        "connectTimeoutSecs": arguments.connect_timeout,
    }
    try:
        answer = ask(data_directory(arguments), question, within_s=_patience_s(arguments))
    except QuestionError as error:
        print(f"gateway method: {error}", file=sys.stderr)
        return 1 if error.status in NO_ANSWER else 2
    except NobodyAnswersError as error:
        print(f"gateway method: {error}", file=sys.stderr)
        return 2
    return _show(answer, as_json=arguments.json)


def _patience_s(arguments: argparse.Namespace) -> float:
    """How long an answer may take: what the device has, and what the gateway itself may need."""
    given: tuple[float, float] = (arguments.timeout, arguments.connect_timeout)
    return ANSWER_S + sum(min(max(0.0, each), MOST_S) for each in given)


def _show(answer: dict[str, Any], *, as_json: bool) -> int:
    print(json.dumps(answer) if as_json else f"{answer['status']} {json.dumps(answer['payload'])}")
    return 0 if answer["status"] < 400 else 1
