"""`gateway status`: the state of the gateway that runs, as its direct method `getStatus` tells it."""

import argparse
import json
import sys
from typing import Any

from gateway.app.asking import NobodyAnswersError, ask
from gateway.app.control import QuestionError
from gateway.cli.inputs import Subparsers, add_data_option, data_directory


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Add `status`."""
    what = "the state of the gateway that runs: devices, upstream, store, settings"
    parser = commands.add_parser("status", help=what, description=f"{what[0].upper()}{what[1:]}.")
    parser.add_argument("--devices", action="store_true", help="name the devices that are connected, too")
    parser.add_argument("--json", action="store_true", help="the answer for programs, with all counters")
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print. Returns 0, or 2 if no gateway answers."""
    folder = data_directory(arguments)
    try:
        status = ask(folder, {"ask": "status"})
        if arguments.devices:
            status["connected"] = ask(folder, {"ask": "connected"})["connected"]
    except (NobodyAnswersError, QuestionError) as error:
        print(f"gateway status: {error}", file=sys.stderr)
        return 2
    print(json.dumps(status) if arguments.json else "\n".join(_lines(status)))
    return 0


def _lines(status: dict[str, Any]) -> list[str]:
    store, settings = status["store"], status["settings"]
    version = "" if settings["version"] is None else f" version {settings['version']}"
    lines = [
        f"gateway {status['version']}, up {status['uptimeSecs']} s",
        f"devices   {status['devices']} connected",
        *_links(status),
        f"settings  from {settings['source']}{version}"
        + ("" if settings["lastOfferWasGood"] else "; the last were bad"),
        *(
            f"          batches of route '{route}' wait: they go as the module, which has no way upstream here"
            for route in settings.get("batchesWithoutSender", ())
        ),
        f"store     {store['bytes']} of {store['maxBytes']} bytes" + (f", {store['state']}" if store["state"] else ""),
    ]
    lines += [f"          {_queue(queue)}" for queue in store["queues"]]
    lines += [f"          {name}" for name in status.get("connected", ())]
    lines += _plain(status.get("plain"))
    lines += _topics(status.get("topics"))
    return lines


def _links(status: dict[str, Any]) -> list[str]:
    """The ways upstream that are used."""
    ways = {"upstream": "", "upstreamOnBehalf": "on behalf of devices: "}
    said = [f"upstream  {what}{status[way]['sentence']}" for way, what in ways.items() if status.get(way) is not None]
    if status.get("broker") is not None:
        said.append(f"broker    {status['broker']['sentence']}")
    said += [f"endpoint  {name}: {link['sentence']}" for name, link in status.get("endpoints", {}).items()]
    return said or ["upstream  none"]


def _plain(plain: dict[str, Any] | None) -> list[str]:
    """Who talks at the plain listener; nothing where it is off."""
    if plain is None:
        return []
    away = plain["sessions"] - plain["clients"]
    kept = (
        f"{plain['subscriptions']} filters, {plain['retained']} retained messages, {plain['waitingBytes']} bytes wait"
    )
    return [f"plain     {plain['clients']} clients, {away} away and remembered; {kept}"]


def _topics(topics: dict[str, Any] | None) -> list[str]:
    """What became of publications to topics; nothing where nobody maps any."""
    if topics is None:
        return []
    lines = [f"topics    {topics['rules']} rules, {topics['devicesWithoutCredentials']} devices without credentials"]
    lines += [
        f"          no rule takes '{each['topic']}' ({each['listener']}), {each['count']} times"
        for each in topics["unmatched"]
    ]
    lines += [
        f"          refused '{each['topic']}' ({each['listener']}), {each['count']} times: {each['detail']}"
        for each in topics["refused"]
    ]
    return lines


def _queue(queue: dict[str, Any]) -> str:
    age = "" if queue["oldestAgeSecs"] is None else f", the oldest for {queue['oldestAgeSecs']} s"
    return f"{queue['messages']} messages for {queue['endpoint']}, priority {queue['priority']}{age}"
