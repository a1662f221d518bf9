"""What is kept of roll-outs, in `firmware/rollout.json`: boards as they were seen, pins, versions, progress.

One JSON object with a version, replaced whole. What an operator was told is on disk before the answer; progress follows
within seconds, and a start after a crash asks a board again rather than never. A file that cannot be understood is set
aside: then nothing is rolled out until somebody says so again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.firmware import files
from gateway.firmware.boards import NOBODY, Board, read_board, write_board
from gateway.firmware.bundle import is_name
from gateway.firmware.rollout import Amount, Progress, Rollout, Stage, Terms
from gateway.observe.events import Event
from gateway.observe.firmware import RolloutsSetAside

FILE_NAME: Final = "rollout.json"
SET_ASIDE: Final = ".damaged"
VERSION: Final = 1
MAX_BOARDS: Final = 10_000
"""As many as a group lets in; the one that was not heard of for longest is forgotten."""
MAX_BOOK_BYTES: Final = 16_777_216
"""Ten thousand boards with ids of 128 characters and all that is said of them take 8 MB."""


@dataclass(slots=True)
class Book:
    """All that is kept."""

    boards: dict[str, Board] = field(default_factory=dict)
    """By device; the one heard of last is last."""
    pins: dict[str, str] = field(default_factory=dict)
    """The version that a device stays at, whatever is rolled out."""
    released: dict[str, str] = field(default_factory=dict)
    """By model, the version that came through a roll-out last: what a new board gets."""
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    """By model, the latest."""

    def note(self, device: str, board: Board) -> None:
        """Keep how a board is; beyond the bound another is forgotten."""
        self.boards.pop(device, None)
        self.boards[device] = board
        if len(self.boards) > MAX_BOARDS:
            oldest = next(iter(self.boards))
            del self.boards[oldest]
            for rollout in self.rollouts.values():
                rollout.drop(oldest)

    def needs(self, model: str, version: str) -> str:
        """Why a version must stay, as a clause; empty if nothing needs it."""
        rollout = self.rollouts.get(model)
        if rollout is not None and rollout.version == version and rollout.stage is not Stage.ABORTED:
            return "its roll-out has not been aborted, and boards that come get it"
        if self.released.get(model) == version:
            return "new boards get it; roll out another first"
        pinned = [device for device, pin in self.pins.items() if pin == version and self.model_of(device) == model]
        return f"'{pinned[0]}' is pinned to it" if pinned else ""

    def model_of(self, device: str) -> str:
        """The model of a board, empty if nobody has said it."""
        return self.boards.get(device, NOBODY).model


def read_book(folder: Path, emit: Callable[[Event], None]) -> Book:
    """The book in this folder; an empty one if there is none. Raises FilesError."""
    path = folder / FILE_NAME
    if not path.exists():
        return Book()
    text = files.read(path, MAX_BOOK_BYTES)
    try:
        return _read(orjson.loads(text or b""))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        aside = path.with_name(FILE_NAME + SET_ASIDE)
        path.replace(aside)
        emit(RolloutsSetAside(str(aside), f"{type(error).__name__}: {error}"))
        return Book()


def write_book(folder: Path, text: bytes) -> None:
    """Put this text, of `text_of`, in place. Raises FilesError."""
    files.replace(folder / FILE_NAME, text)


def text_of(book: Book) -> bytes:
    """The book as it stands in the file."""
    return orjson.dumps(
        {
            "version": VERSION,
            "boards": {device: write_board(board) for device, board in book.boards.items()},
            "pins": book.pins,
            "released": book.released,
            "rollouts": {model: _write_rollout(rollout) for model, rollout in book.rollouts.items()},
        }
    )


def _read(said: Mapping[str, Any]) -> Book:
    """Raises ValueError, TypeError, KeyError, AttributeError."""
    if said["version"] != VERSION:
        raise ValueError(f"version {said['version']} is not known here")
    return Book(
        boards={device: read_board(board) for device, board in said["boards"].items()},
        pins=_names(said["pins"]),
        released=_names(said["released"]),
        rollouts={model: _read_rollout(rollout) for model, rollout in said["rollouts"].items()},
    )


def _names(said: Mapping[str, Any]) -> dict[str, str]:
    if not all(isinstance(value, str) and is_name(value) for value in said.values()):
        raise ValueError("a version is none")
    return dict(said)


def _write_rollout(rollout: Rollout) -> dict[str, Any]:
    terms = rollout.terms
    return {
        "model": rollout.model,
        "version": rollout.version,
        "serial": rollout.serial,
        "canary": str(terms.canary),
        "maxFailures": str(terms.max_failures),
        "atOnce": terms.at_once,
        "silentSecs": terms.silent_s,
        "stage": rollout.stage.value,
        "held": rollout.held.value,
        "forgiven": rollout.forgiven,
        "complete": rollout.is_complete,
        "boards": {device: progress.value for device, progress in rollout.boards.items()},
    }


def _read_rollout(said: Mapping[str, Any]) -> Rollout:
    terms = Terms(
        canary=Amount.parse(said["canary"]),
        max_failures=Amount.parse(said["maxFailures"]),
        at_once=int(said["atOnce"]),
        silent_s=float(said["silentSecs"]),
    )
    if not is_name(said["model"]) or not is_name(said["version"]):
        raise ValueError("a model or version is none")
    return Rollout(
        model=said["model"],
        version=said["version"],
        serial=int(said["serial"]),
        terms=terms,
        stage=Stage(said["stage"]),
        held=Stage(said["held"]),
        forgiven=int(said["forgiven"]),
        is_complete=bool(said["complete"]),
        boards={device: Progress(progress) for device, progress in said["boards"].items()},
    )
