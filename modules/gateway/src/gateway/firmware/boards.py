"""Boards as they were seen: which model, which version, how it goes with the last update.

A board tells it in its reported property `firmware`: `{"version", "serial", "state", "failed"}`, and `reason` and
`model` if it likes. A patch may hold only what has changed. Whatever is not of this form is passed over: a twin is the
device's own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

import orjson

from gateway.firmware.bundle import MAX_SERIAL, is_name

PROPERTY: Final = b'"firmware"'
"""What a patch without these bytes holds is of no interest here, and is not parsed."""
MAX_PATCH_BYTES: Final = 65_536
"""Of one that no twin's room has looked at."""


class BoardState(Enum):
    """What a board says of its firmware."""

    RUNNING = "running"
    UPDATING = "updating"
    TRIAL = "trial"
    """The new version runs, and is not confirmed yet."""
    ROLLED_BACK = "rolled-back"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What is known of one board; empty or 0 for what is not."""

    model: str = ""
    version: str = ""
    serial: int = 0
    state: BoardState | None = None
    failed: str = ""
    """The version that it could not be brought to."""
    reason: str = ""
    """Why, in a word of the board's own."""


NOBODY: Final = Board()


def model_by_id(device: str, models: Iterable[str]) -> str:
    """The model that an id begins with, as `nodemcu-a1b2c3` does; the longest, empty if there is none."""
    return max((model for model in models if device.startswith(f"{model}-")), key=len, default="")


def read_patch(patch: bytes) -> dict[str, Any] | None:
    """A patch that may say something of firmware; None for all others, and for what is no patch."""
    if PROPERTY not in patch or len(patch) > MAX_PATCH_BYTES:
        return None
    try:
        said = orjson.loads(patch)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None


def read_report(patch: Mapping[str, Any], before: Board) -> Board | None:
    """The board after this patch of its reported properties; None if it says nothing of firmware."""
    firmware = patch.get("firmware")
    return read_board(firmware, before) if isinstance(firmware, dict) else None


def read_board(members: Mapping[str, Any], before: Board = NOBODY) -> Board:
    """The board with what these members say, and the rest as before."""
    changed: dict[str, Any] = {}
    for name in ("model", "version", "failed", "reason"):
        if name in members:
            value = members[name]
            changed[name] = value if isinstance(value, str) and is_name(value) else ""
    if "serial" in members:
        serial = members["serial"]
        changed["serial"] = serial if type(serial) is int and 0 <= serial <= MAX_SERIAL else 0
    if "state" in members:
        changed["state"] = _state(members["state"])
    if not changed.get("model", "-"):
        del changed["model"]  # what a board is does not change by its forgetting it
    return replace(before, **changed)


def write_board(board: Board) -> dict[str, Any]:
    """The members that `read_board` reads."""
    return {
        "model": board.model,
        "version": board.version,
        "serial": board.serial,
        "state": None if board.state is None else board.state.value,
        "failed": board.failed or None,
        "reason": board.reason or None,
    }


def _state(value: Any) -> BoardState | None:
    try:
        return BoardState(value)
    except ValueError:
        return None
