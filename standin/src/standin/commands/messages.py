"""`standin send-c2d`, `purge-c2d` and `monitor-feedback`: messages to devices, and what became of them."""

import argparse
from typing import TYPE_CHECKING, Final

from standin.client import Control
from standin.commands.terminal import DONE, IDENTITY, add_command, json_line, pair, say, text_argument

if TYPE_CHECKING:
    from standin.commands.terminal import Commands

_WAIT_S: Final = 30.0
"""How long one question for the next feedback stays open."""


def add(commands: "Commands") -> None:
    """`send-c2d`, `purge-c2d`, `monitor-feedback`."""
    send = add_command(commands, "send-c2d", _send, "queue a message for a device")
    send.add_argument("identity", metavar=IDENTITY)
    send.add_argument("body", help="the text, @FILE, or - for standard input")
    send.add_argument("--property", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    send.add_argument("--ack", choices=("none", "positive", "negative", "full"), help="what feedback to give of it")
    send.add_argument("--expiry", type=float, metavar="S", help="it may wait so many seconds (default: an hour)")
    send.add_argument("--message-id", metavar="ID")
    send.add_argument("--correlation-id", metavar="ID")
    send.add_argument("--content-type", metavar="TYPE")
    send.add_argument("--content-encoding", metavar="NAME")
    purge = add_command(commands, "purge-c2d", _purge, "forget all messages that wait for a device")
    purge.add_argument("identity", metavar=IDENTITY)
    monitor = add_command(commands, "monitor-feedback", _monitor, "print what became of messages, until Ctrl-C")
    monitor.add_argument("--count", type=int, metavar="N", help="end after so many")


def _send(arguments: argparse.Namespace) -> int:
    message = {
        "body": text_argument(arguments.body),
        "properties": dict(map(pair, arguments.property)),
        "ack": arguments.ack,
        "lifeSecs": arguments.expiry,
        "messageId": arguments.message_id,
        "cid": arguments.correlation_id,
        "contentType": arguments.content_type,
        "contentEncoding": arguments.content_encoding,
    }
    answer = Control(arguments.dir).ask("POST", "/c2d", message, identity=arguments.identity)
    say(f"message #{answer['sequence']} waits for {answer['identity']}")
    return DONE


def _purge(arguments: argparse.Namespace) -> int:
    answer = Control(arguments.dir).ask("DELETE", "/c2d", identity=arguments.identity)
    say(f"{answer['purged']} messages for {answer['identity']} are forgotten")
    return DONE


def _monitor(arguments: argparse.Namespace) -> int:
    control, left = Control(arguments.dir), arguments.count
    while left is None or left > 0:
        for record in control.ask("GET", "/feedback", wait_s=_WAIT_S)["records"]:
            say(json_line(record))
            left = None if left is None else left - 1
    return DONE
