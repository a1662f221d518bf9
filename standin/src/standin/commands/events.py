"""`standin events` and `standin monitor-events`: what arrived in the hub."""

import argparse
from typing import TYPE_CHECKING, Any, Final

from standin.client import Control
from standin.commands.terminal import DONE, add_command, json_line, say
from standin.events import from_json
from standin.show import event_line

if TYPE_CHECKING:
    from standin.commands.terminal import Commands

_WAIT_S: Final = 30.0
"""How long one question for what comes next stays open."""


def add(commands: "Commands") -> None:
    """`events`, `monitor-events`."""
    events = add_command(commands, "events", _list, "list what arrived")
    events.add_argument("--after", type=int, default=0, metavar="N", help="only those behind sequence number N")
    monitor = add_command(commands, "monitor-events", _monitor, "print what arrives from now on, until Ctrl-C")
    monitor.add_argument("--after", type=int, metavar="N", help="begin behind sequence number N (default: now)")
    monitor.add_argument("--count", type=int, metavar="N", help="end after so many")
    for command in (events, monitor):
        command.add_argument("--device-id", metavar="ID", help="only those of this device")
        command.add_argument("--json", action="store_true", help="one JSON object a line, bodies whole")


def _list(arguments: argparse.Namespace) -> int:
    control, after = Control(arguments.dir), arguments.after
    while events := control.ask("GET", "/events", after=after)["events"]:
        for event in _wanted(arguments, events):
            _show(arguments, event)
        after = events[-1]["sequence"]
    return DONE


def _monitor(arguments: argparse.Namespace) -> int:
    control, left = Control(arguments.dir), arguments.count
    after = control.ask("GET", "/status")["lastSequence"] if arguments.after is None else arguments.after
    while left is None or left > 0:
        events = control.ask("GET", "/events", after=after, wait_s=_WAIT_S)["events"]
        for event in _wanted(arguments, events)[:left]:
            _show(arguments, event)
            left = None if left is None else left - 1
        after = events[-1]["sequence"] if events else after
    return DONE


def _wanted(arguments: argparse.Namespace, events: list[Any]) -> list[Any]:
    return [event for event in events if arguments.device_id in (None, event["device"])]


def _show(arguments: argparse.Namespace, event: Any) -> None:
    say(json_line(event) if arguments.json else event_line(from_json(event)))
