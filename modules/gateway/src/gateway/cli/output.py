"""Standard output that nobody takes any more: a pipe whose reader has gone, a disk that is full."""

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


class Lines:
    """Lines of a program that goes on, whether they can be written or not: those that cannot are counted."""

    def __init__(self) -> None:
        self._lost = 0
        self._why = ""

    def say(self, line: str) -> None:
        """Write one, at once."""
        try:
            print(line, flush=True)
        except OSError as error:
            self._lost += 1
            self._why = error.strerror or str(error)

    def tell_lost(self, tell: Callable[[str], None]) -> None:
        """To be called each second: `tell` writes a line by `say`, and it is tried until one gets through."""
        lost = self._lost
        if lost:
            tell(f"{lost} lines before this one could not be written: {self._why}")
            self._lost = 0 if self._lost == lost else lost

    def close(self) -> None:
        """The last call."""
        try:
            flush()
        except OSError:
            write_no_more()


def flush() -> None:
    """Write what waits now, where an error has an answer: at its end the interpreter would print a traceback."""
    if sys.stdout is not None:  # closed before the start
        sys.stdout.flush()


def write_no_more() -> None:
    """What still waits goes nowhere."""
    with suppress(OSError, AttributeError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def explained(error: OSError) -> str:
    """What an error of a file that nobody foresaw means, and what to do. Without a name it is standard output."""
    where = "standard output" if error.filename is None else f"'{os.fsdecode(error.filename)}'"
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    what = "Make room, or write elsewhere" if full else "See that it is there, and that this user may use it"
    return f"{where}: {error.strerror or error}. {what}, and do it again"
