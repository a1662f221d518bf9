"""`gateway top`: the gateway that runs, on a terminal, told anew every other second."""

import argparse
import json
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from gateway.app.asking import NobodyAnswersError, ask
from gateway.app.control import QuestionError
from gateway.cli.inputs import InputError, Subparsers, add_data_option, data_directory
from gateway.cli.top_screen import Order, screen

INTERVAL_S: Final = 2.0
MIN_INTERVAL_S: Final = 0.2
MAX_INTERVAL_S: Final = 3_600.0
WITHIN_S: Final = 10.0
"""For the gateway to answer: it is asked for numbers that it has."""

# ECMA-48 and xterm's own: another screen, no cursor; and back.
_ENTER: Final = "\x1b[?1049h\x1b[?25l"
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_REST_OF_LINE: Final = "\x1b[K"
_REST_OF_SCREEN: Final = "\x1b[J"

KEYS: Final = "q quit   d devices by rate or as last seen   r routes by rate or by hits"


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Add `top`."""
    what = "the gateway that runs, on a terminal: upstream, rates, store, busiest devices and routes, events"
    parser = commands.add_parser(
        "top",
        help=what,
        description=f"{what[0].upper()}{what[1:]}. Without a terminal it prints all of it once.",
        epilog=f"keys: {KEYS}",
    )
    parser.add_argument("--interval", type=float, default=INTERVAL_S, metavar="S", help="seconds between looks; 2")
    parser.add_argument("--once", action="store_true", help="print it once, and end")
    parser.add_argument("--json", action="store_true", help="print it once, for programs")
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it. Returns 0, or 2 if no gateway answers."""
    folder = data_directory(arguments)
    try:
        interval_s = _interval(arguments)
        if arguments.json:
            print(json.dumps(_asked(folder)))
        elif arguments.once or not (sys.stdin.isatty() and sys.stdout.isatty()):
            width = shutil.get_terminal_size().columns
            print("\n".join(line.rstrip() for line in screen(_asked(folder), width, None, Order())))
        else:
            _Watch(folder, interval_s).run()
    except (NobodyAnswersError, QuestionError, InputError) as error:
        print(f"gateway top: {error}", file=sys.stderr)
        return 2
    return 0


def _interval(arguments: argparse.Namespace) -> float:
    interval_s: float = arguments.interval
    if not MIN_INTERVAL_S <= interval_s <= MAX_INTERVAL_S:
        raise InputError(f"--interval must be {MIN_INTERVAL_S} to {MAX_INTERVAL_S:.0f} seconds")
    return interval_s


def _asked(folder: Path) -> dict[str, Any]:
    return ask(folder, {"ask": "top"}, within_s=WITHIN_S)


class _Watch:
    """The terminal, while somebody looks at it."""

    def __init__(self, folder: Path, interval_s: float) -> None:
        self._folder = folder
        self._interval_s = interval_s
        self._order = Order()
        self._state = _asked(folder)  # who cannot be asked at all is told so without another screen
        self._problem = ""

    def run(self) -> None:
        """Until q or Ctrl-C."""
        with _own_screen():
            try:
                while self._keys():
                    self._look()
            except KeyboardInterrupt:
                pass  # as q

    def _keys(self) -> bool:
        """Show, and wait for the next look; a key counts at once. False: to the end."""
        look_at = time.monotonic() + self._interval_s
        while True:
            self._show()
            if not select.select([sys.stdin], [], [], max(0.0, look_at - time.monotonic()))[0]:
                return True
            typed = os.read(sys.stdin.fileno(), 64)  # past Python's buffer, which select knows nothing of
            if not typed or b"q" in typed:
                return False
            for key in typed:
                self._order = _reordered(self._order, key)

    def _look(self) -> None:
        try:
            self._state, self._problem = _asked(self._folder), ""
        except (NobodyAnswersError, QuestionError) as error:
            self._problem = str(error)  # it may be starting again

    def _show(self) -> None:
        size = shutil.get_terminal_size()  # asked each time: a window is resized at any moment
        last = self._problem or KEYS
        lines = screen(self._state, size.columns, size.lines - 1, self._order)
        text = f"{_REST_OF_LINE}\r\n".join([*lines, last[: size.columns - 1]])
        sys.stdout.write(f"{_HOME}{text}{_REST_OF_LINE}{_REST_OF_SCREEN}")
        sys.stdout.flush()


def _reordered(order: Order, key: int) -> Order:
    match key:
        case 0x64:  # d
            return order.other_devices()
        case 0x72:  # r
            return order.other_routes()
        case _:
            return order


@contextmanager
def _own_screen() -> Iterator[None]:
    """Keys come one by one, unseen; afterwards the terminal is as it was, whoever ends it."""
    before = termios.tcgetattr(sys.stdin)
    heard = signal.signal(signal.SIGTERM, _told_to_end)
    try:
        tty.setcbreak(sys.stdin)
        sys.stdout.write(_ENTER)
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, heard)


def _told_to_end(number: int, _frame: FrameType | None) -> None:
    """As `timeout` does, or a shell that is closed from elsewhere."""
    raise SystemExit(128 + number)
