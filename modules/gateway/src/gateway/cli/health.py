"""`gateway health`: whether the gateway that runs lives, for a container's health check; it needs no curl."""

import argparse
import json
import sys
from typing import Final

from gateway.app.asking import NobodyAnswersError, ask
from gateway.app.control import QuestionError
from gateway.cli.inputs import Subparsers, add_data_option, data_directory

ANSWER_S: Final = 10.0
"""Who has not answered by then does not live."""


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Add `health`."""
    what = "whether the gateway that runs lives, for a container's HEALTHCHECK"
    description = (
        "Ask the gateway that runs whether it lives: its event loop turns and its disk answers. A cloud that is away "
        "changes nothing. Exit code 0 for yes, 1 for no, or if none answers."
    )
    parser = commands.add_parser("health", help=what, description=description)
    parser.add_argument(
        "--ready", action="store_true", help="ask whether it takes messages, too: it listens, and its store has room"
    )
    parser.add_argument("--json", action="store_true", help="the answer for programs")
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print. Returns 0 if it lives (or is ready), else 1."""
    question = "ready" if arguments.ready else "live"
    try:
        report = ask(data_directory(arguments), {"ask": "health"}, within_s=ANSWER_S)
    except (NobodyAnswersError, QuestionError) as error:
        print(f"gateway health: {error}", file=sys.stderr)
        return 1
    said = {"live": ("lives", "does not live"), "ready": ("is ready", "is not ready")}[question]
    why = ", ".join(reason.replace("_", " ") for reason in report["reasons"])
    text = f"the gateway {said[0] if report[question] else said[1]}" + (f": {why}" if why else "")
    print(json.dumps(report) if arguments.json else text)
    return 0 if report[question] else 1
