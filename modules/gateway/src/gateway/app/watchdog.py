"""Ends a gateway that is stuck: the agent restarts what has ended, and leaves alone what merely hangs.

A thread looks whether there is progress: whether the event loop turns, and whether the store's thread comes back from
its writes. It counts its own looks, not seconds: a process that was halted, or a machine that slept, has not
hung. What had been acknowledged is on disk, so that ending at once loses nothing.

A thread of Python cannot look while machine code keeps the interpreter for itself. For that case there is a second
watch, of `faulthandler`, which needs no interpreter; it ends the process after twice the time, with exit code 1.
"""

import faulthandler
import os
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.observe.process import GatewayStuck, StuckPart

LOOKS: Final = 20
"""Looks without progress that make it stuck, spread over its time."""
STANDARD_OUTPUT: Final = 1
STANDARD_ERROR: Final = 2
STUCK: Final = 3
"""Exit code of a gateway that was stuck."""
MAX_STACKS_BYTES: Final = 65_536
"""Of what all threads were at, in the last words."""
WORDS_S: Final = 2.0
"""For the last words to be taken: what hangs may be who reads them."""


class Patience:
    """Counts looks without progress at one part. `progress` gives what changes while the part works; None: idle."""

    def __init__(self, part: StuckPart, progress: Callable[[], object]) -> None:
        self.part = part
        self._progress = progress
        self._seen: object = None
        self.looks = 0

    def look(self) -> None:
        """Look once more."""
        now = self._progress()
        self.looks = self.looks + 1 if now is not None and now == self._seen else 0
        self._seen = now


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How a process says its last words: `line` writes the event as the log would, `end` ends the process."""

    line: Callable[[GatewayStuck], str]
    end: Callable[[int], None] = os._exit


class Watchdog:
    """Watches for `seconds` without progress. `loop` gives the beats of the event loop, `writer` the store's job."""

    def __init__(
        self, seconds: float, *, loop: Callable[[], object], writer: Callable[[], object], words: Words
    ) -> None:
        self._seconds = seconds
        self._words = words
        self._parts = (Patience(StuckPart.EVENT_LOOP, loop), Patience(StuckPart.STORE, writer))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def stop(self) -> None:
        """The process ends by itself."""
        self._stopped.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def silent_s(self, part: StuckPart) -> float:
        """For how long this part has made no progress."""
        looks = next(patience.looks for patience in self._parts if patience.part is part)
        return looks * self._seconds / LOOKS

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds / LOOKS):
            faulthandler.dump_traceback_later(2 * self._seconds, exit=True, file=STANDARD_ERROR)
            for patience in self._parts:
                patience.look()
                if patience.looks >= LOOKS:
                    faulthandler.cancel_dump_traceback_later()
                    self._end(GatewayStuck(patience.part, self._seconds))
                    return

    def _end(self, stuck: GatewayStuck) -> None:
        """Say what was wrong and end, also if nobody takes the words."""
        speaking = threading.Thread(target=self._say, args=(stuck,), name="last words", daemon=True)
        speaking.start()
        speaking.join(2 * WORDS_S)
        self._words.end(STUCK)

    def _say(self, stuck: GatewayStuck) -> None:
        _write(STANDARD_OUTPUT, f"{self._words.line(stuck)}\n".encode())
        _write(STANDARD_ERROR, stacks())


def stacks() -> bytes:
    """What all threads are at: files, lines and functions, and no value of any variable, so that it holds no secret."""
    descriptor = os.memfd_create("stacks")
    try:
        faulthandler.dump_traceback(file=descriptor, all_threads=True)
        return os.pread(descriptor, MAX_STACKS_BYTES, 0)
    finally:
        os.close(descriptor)


def _write(descriptor: int, text: bytes) -> None:
    """Write by the descriptor itself: the loop's thread may hang in a print, with its lock. A full pipe is left be."""
    while text:
        _, ready, _ = select.select([], [descriptor], [], WORDS_S)
        if not ready:
            return
        try:
            text = text[os.write(descriptor, text[: select.PIPE_BUF]) :]
        except OSError:
            return
