"""`gateway run`: the gateway itself."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

from gateway.app.open_files import allow_open_files
from gateway.app.settings import SETTINGS, ConfigError, read_environment
from gateway.app.show import shown
from gateway.cli.output import Lines
from gateway.observe.events import Level
from gateway.observe.log import Log
from gateway.observe.process import OpenFilesLimited
from gateway.observe.spoken import Listening

COLLECT_AFTER = 20_000
"""New containers (a few MB) before the collector looks for cycles. A message that waits for the disk is about ten, and
none is part of a cycle: at Python's own 700, a thousand devices with one message each under way cost two to six
microseconds per message for walks that find nothing."""

DONE = 0
FAULT = 1
UNUSABLE = 2


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    rows = "\n".join(f"  {row.name} ({row.default or 'unset'}): {row.help}" for row in SETTINGS)
    parser = commands.add_parser(
        "run",
        help="run the gateway until SIGTERM",
        description="Run the gateway until SIGTERM or Ctrl-C; it flushes and ends within five seconds. "
        "SIGHUP has it look at certificates, keys, trust bundle and revocation lists at once.",
        epilog=f"settings, from the environment:\n{rows}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--show", action="store_true", help="print every message and the routes it matched")


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop. Returns 0 after a clean stop, 1 after a fault, 2 if it cannot start."""
    try:
        import uvloop  # noqa: PLC0415 — there is no wheel for armv7; asyncio's own loop serves there
    except ImportError:
        return asyncio.run(_serve(show=arguments.show))
    return uvloop.run(_serve(show=arguments.show))


async def _serve(*, show: bool) -> int:
    # Here, as the other commands would pay for it: it brings the SDK and aiohttp, four fifths of their start.
    from gateway.app.gateway import Gateway, GatewayFaultError  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    hearing: Listening | None = None
    lines = Lines()
    try:
        environment = read_environment(os.environ)
        gateway = Gateway(environment, os.environ)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, gateway.look_again)
        log = Log(lines.say, time.time, level=Level(environment.log_level), as_json=environment.log_format == "json")
        gateway.observer.listen(log.write_event)
        gateway.operating.last_word = log.line
        gateway.operating.chores.append(log.tell_held_back)
        gateway.operating.chores.append(partial(lines.tell_lost, partial(log.write_text, Level.WARNING)))
        hearing = Listening(gateway.observer.emit, asyncio.get_running_loop().call_soon_threadsafe)
        logging.getLogger().addHandler(hearing)
        limit = allow_open_files(environment.max_connections)
        if limit is not None:
            gateway.observer.emit(OpenFilesLimited(limit, environment.max_connections))
        if show:
            gateway.tap.watch(lambda routed: lines.say(shown(routed)))
        if environment.log_format == "json":
            await gateway.run(stop, partial(_on_ready, partial(log.write_text, Level.INFO)))
        else:
            await gateway.run(stop, partial(_on_ready, lines.say))
        log.tell_all_held_back()
    except ConfigError as error:
        return _complain(str(error), UNUSABLE)
    except GatewayFaultError as fault:
        return _complain(str(fault), FAULT)
    finally:
        if hearing is not None:
            logging.getLogger().removeHandler(hearing)
        lines.close()
    return DONE


def settle_collector() -> None:
    """Spare the collector what it would look at in vain, once everything is set up."""
    # What has been made until now lives as long as the process: the collector need not walk over it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def _on_ready(say: Callable[[str], None], places: str) -> None:
    """Say so: a line of its own for people and scripts that wait for it, one of JSON where all lines are."""
    settle_collector()
    say(f"READY {places}")


def _complain(text: str, code: int) -> int:
    for line in text.splitlines():
        print(f"gateway: {line}", file=sys.stderr, flush=True)
    return code
