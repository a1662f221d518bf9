"""Events of firmware: roll-outs, what became of boards, and files that are not what they should be."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class BoardFailure(Enum):
    """Why a board did not get the version that was rolled out."""

    REFUSED = "refused"
    """It answered the method `update` with no."""
    FAILED = "failed"
    """It could not load or start it, or went back to what it had."""
    SILENT = "silent"
    """It accepted, and was not heard of for too long."""


class RolloutTurn(Enum):
    """What an operator did with a roll-out, or it came to by itself."""

    STARTED = "started"
    SPREAD = "spread"
    """The canary share is through; all others follow."""
    PAUSED = "paused"
    RESUMED = "resumed"
    ABORTED = "aborted"
    COMPLETED = "completed"


_TURNS = {
    RolloutTurn.STARTED: "begins",
    RolloutTurn.SPREAD: "came through with the first boards: all others follow",
    RolloutTurn.PAUSED: "is paused: no more boards are asked until it is resumed",
    RolloutTurn.RESUMED: "goes on",
    RolloutTurn.ABORTED: "is aborted: no more boards get it; those that have it keep it",
    RolloutTurn.COMPLETED: "is through: every board that is known was asked; those that come later get it, too",
}


@dataclass(frozen=True, slots=True)
class RolloutTurned(Event):
    """A roll-out of firmware has begun, or come to another stage, without a failure."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_rollout_turns_total"
    LABELS: ClassVar[tuple[str, ...]] = ("turn",)

    model: str
    version: str
    turn: RolloutTurn

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"the roll-out of {self.version} to boards '{self.model}' {_TURNS[self.turn]}"


@dataclass(frozen=True, slots=True)
class RolloutStopped(Event):
    """A roll-out has stopped by itself: more boards failed than the operator allowed."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_stopped_rollouts_total"

    model: str
    version: str
    failures: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the roll-out of {self.version} to boards '{self.model}' has stopped: {self.failures} boards did not get "
            "there. Look at them with `gateway firmware status`, then resume or abort it"
        )


@dataclass(frozen=True, slots=True)
class BoardUpdated(Event):
    """A board runs the version that was rolled out."""

    LEVEL: ClassVar[Level] = Level.DEBUG
    METRIC: ClassVar[str] = "gateway_updated_boards_total"

    identity: str
    version: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"'{self.identity}' runs {self.version}"


@dataclass(frozen=True, slots=True)
class BoardNotUpdated(Event):
    """A board did not get the version that was rolled out, and keeps what it has."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_failed_board_updates_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    identity: str
    version: str
    reason: BoardFailure
    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        more = f": {self.detail}" if self.detail else ""
        return f"'{self.identity}' was not updated to {self.version} ({self.reason.value.replace('_', ' ')}){more}"


@dataclass(frozen=True, slots=True)
class FirmwareDamaged(Event):
    """An image or a manifest on disk is not what it was; it is not given to boards."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_damaged_firmware_files_total"

    path: str
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"{self.path} is damaged ({self.error}) and is not given to boards. Check the disk; then remove that "
            "version and add it again"
        )


@dataclass(frozen=True, slots=True)
class FirmwareClosed(Event):
    """The folder of firmware cannot be used: boards get none, and it is tried again."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_failed_firmware_openings_total"

    reason: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"boards get no firmware: {self.reason}"


@dataclass(frozen=True, slots=True)
class RolloutsNotKept(Event):
    """How far roll-outs are could not be written; after a crash, boards may be asked again."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unkept_rollouts_total"

    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"how far roll-outs are was not kept: {self.error}"


@dataclass(frozen=True, slots=True)
class RolloutsSetAside(Event):
    """The file of roll-outs could not be understood; it was set aside, and nothing is rolled out."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_set_aside_rollout_files_total"

    path: str
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the file of roll-outs could not be understood ({self.error}) and is now {self.path}; delete it when done "
            "with. Nothing is rolled out and no board is pinned until you say so again. Check the disk"
        )
