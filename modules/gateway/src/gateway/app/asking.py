"""The other end of the control socket: how a command asks the gateway that runs."""

import json
import math
import socket
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final

from gateway.app.control import SOCKET_NAME, QuestionError

ANSWER_S: Final = 10.0
"""For an answer that the gateway has, and for the first line of one without end."""
WHAT_TO_DO: Final = (
    "its log says what it did last. One that is stuck ends itself after GATEWAY_WATCHDOG_SECS; if this one does not, "
    "end it and start it again: what it has acknowledged is on disk"
)
"""About a gateway that hangs."""
_PIECE_BYTES: Final = 65_536


class NobodyAnswersError(Exception):
    """No gateway runs on this data folder, or it is not ours to ask; the text says what to do."""


class HangsError(NobodyAnswersError):
    """A gateway runs on this data folder, and says nothing."""


def ask(folder: Path, question: Mapping[str, Any], *, within_s: float = ANSWER_S) -> dict[str, Any]:
    """The answer of the gateway with this data folder. Raises NobodyAnswersError, QuestionError."""
    path = folder / SOCKET_NAME
    try:
        with _asked(path, question, within_s) as line:
            said = json.loads(_read_all(line))
    except (OSError, ValueError) as error:
        raise _nobody(path, error, within_s) from error
    _check(said)
    answer: dict[str, Any] = said["answer"]
    return answer


def follow(folder: Path, question: Mapping[str, Any], *, until: float = math.inf) -> Generator[dict[str, Any]]:
    """The lines of an answer without end, until the gateway stops, or `until` by `time.monotonic`.

    The first comes at once: a gateway that has none for `ANSWER_S` hangs. Raises NobodyAnswersError, QuestionError.
    """
    path = folder / SOCKET_NAME
    try:
        line = _asked(path, question, ANSWER_S)
    except OSError as error:
        raise _nobody(path, error, ANSWER_S) from error
    with line:
        try:
            piece = line.recv(_PIECE_BYTES)
        except OSError as error:
            raise _nobody(path, error, ANSWER_S) from error
        rest = b""
        while piece:
            *whole, rest = (rest + piece).split(b"\n")
            for each in whole:
                said = json.loads(each)
                _check(said)
                yield said
            piece = _piece(line, until)


def _asked(path: Path, question: Mapping[str, Any], within_s: float) -> socket.socket:
    """A connection on which this was asked. Raises OSError."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.settimeout(within_s)
        line.connect(str(path))
        line.sendall(json.dumps(question).encode() + b"\n")
    except OSError:
        line.close()
        raise
    return line


def _piece(line: socket.socket, until: float) -> bytes:
    """What comes next; nothing at the end, or when the time is over."""
    left_s = until - time.monotonic()
    if left_s <= 0:
        return b""
    line.settimeout(None if math.isinf(left_s) else left_s)
    try:
        return line.recv(_PIECE_BYTES)
    except TimeoutError:
        return b""
    except ConnectionResetError:
        return b""  # it was killed


def _nobody(path: Path, error: Exception, within_s: float) -> NobodyAnswersError:
    # A socket whose queue is full of questions that nobody took says EAGAIN at once.
    if isinstance(error, TimeoutError | BlockingIOError):
        return HangsError(
            f"the gateway at {path} has not answered within {within_s:g} s: it hangs, or its machine is overloaded. "
            f"I{WHAT_TO_DO[1:]}"
        )
    if isinstance(error, PermissionError):
        return NobodyAnswersError(
            f"this user may not open {path}: only the gateway's own user may. Run the command as that user, or as root"
        )
    return NobodyAnswersError(
        f"no gateway answers at {path} ({error}). Run the command where the gateway runs, in its container, and "
        "name its data folder with --data or GATEWAY_DATA_DIR"
    )


def _check(said: Mapping[str, Any]) -> None:
    if "error" in said:
        raise QuestionError(said["error"]["status"], said["error"]["message"])


def _read_all(line: socket.socket) -> bytes:
    pieces = []
    while piece := line.recv(_PIECE_BYTES):
        pieces.append(piece)
    return b"".join(pieces)
