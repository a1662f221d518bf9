"""`standin eventhubs`: Event Hubs beside the hub, to send to and to read from."""

import argparse
from typing import TYPE_CHECKING

from standin.client import Control
from standin.commands.terminal import DONE, add_command, add_group, json_line, say

if TYPE_CHECKING:
    from standin.commands.terminal import Commands


def add(commands: "Commands") -> None:
    """`eventhubs`."""
    kinds = add_group(commands, "eventhubs", "Event Hubs beside the hub: make one, say how to reach it")
    make = add_command(kinds, "add", _add, "make an Event Hub")
    make.add_argument("name", metavar="NAME")
    make.add_argument("--partitions", type=int, default=4, metavar="N", help="default: %(default)s")
    show = add_command(kinds, "list", _list, "list them, and how many events each has")
    show.add_argument("--json", action="store_true", help="for programs")
    string = add_command(kinds, "connection-string", _string, "print what a client of one is configured with")
    string.add_argument("name", metavar="NAME")
    string.add_argument("--policy", default="send", metavar="NAME", help="send, listen or manage (default: send)")
    string.add_argument("--new-key", action="store_true", help="give the policy a new key first")


def _add(arguments: argparse.Namespace) -> int:
    made = Control(arguments.dir).ask(
        "POST", "/event-hubs", {"name": arguments.name, "partitions": arguments.partitions}
    )
    say(f"{made['name']} with {made['partitions']} partitions")
    return DONE


def _list(arguments: argparse.Namespace) -> int:
    for each in Control(arguments.dir).ask("GET", "/event-hubs")["eventHubs"]:
        say(
            json_line(each)
            if arguments.json
            else f"{each['name']:24} {each['partitions']:3} partitions, {each['events']} events"
        )
    return DONE


def _string(arguments: argparse.Namespace) -> int:
    control = Control(arguments.dir)
    query = {"name": arguments.name, "policy": arguments.policy}
    if arguments.new_key:
        control.ask("POST", "/event-hubs/key", query)
    say(control.ask("GET", "/event-hubs/connection-string", **query)["connectionString"])
    return DONE
