"""The other end of the control socket: how a command asks the gateway that runs."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gateway.app.control import SOCKET_NAME, QuestionError

ANSWER_S: Final = 620.0
"""A method may wait 300 s for its device to connect and 300 s for the answer."""
_PIECE_BYTES: Final = 65_536


class NobodyAnswersError(Exception):
    """No gateway runs on this data folder, or it is not ours to ask; the text says what to do."""


def ask(folder: Path, question: Mapping[str, Any], *, within_s: float = ANSWER_S) -> dict[str, Any]:
    """The answer of the gateway with this data folder. Raises NobodyAnswersError, QuestionError."""
    path = folder / SOCKET_NAME
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(within_s)
            line.connect(str(path))
            line.sendall(json.dumps(question).encode() + b"\n")
            said = json.loads(_read_all(line))
    except (OSError, ValueError) as error:
        raise NobodyAnswersError(
            f"no gateway answers at {path} ({error}). Run the command where the gateway runs, in its container, and "
            "name its data folder with --data or GATEWAY_DATA_DIR"
        ) from error
    if "error" in said:
        raise QuestionError(said["error"]["status"], said["error"]["message"])
    answer: dict[str, Any] = said["answer"]
    return answer


def _read_all(line: socket.socket) -> bytes:
    pieces = []
    while piece := line.recv(_PIECE_BYTES):
        pieces.append(piece)
    return b"".join(pieces)
