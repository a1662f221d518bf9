"""A roll-out: one version for all boards of one model, a canary share first, as two tables and no I/O.

What a board has come to is `Progress`, and `STEPS` says what it becomes by what happens; what the roll-out has come to
is `Stage`, and `ORDERS` says what operators may do. What is not in a table changes nothing. `now` is in any clock that
only goes forward.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

from gateway.firmware.boards import Board, BoardState

DEFAULT_AT_ONCE: Final = 4
"""A Pi makes four handshakes with RSA a second beside its work, and a site's Wi-Fi carries as many boards that load."""
MAX_AT_ONCE: Final = 256
DEFAULT_SILENT_S: Final = 900.0
"""A board loads, restarts and proves itself in two minutes; a bad Wi-Fi takes its time."""
MIN_SILENT_S: Final = 5.0
MAX_SILENT_S: Final = 86_400.0
ASK_AGAIN_S: Final = 60.0
"""A board that is connected and did not answer is asked again after so long, or when it comes back."""

REPORT_S: Final = 5.0
"""For a board that has connected to say what it runs, before it is asked to run another."""

_AMOUNT: Final = re.compile(r"([0-9]{1,5})(%?)", re.ASCII)


class Progress(Enum):
    """How far a board has come."""

    WAITING = "waiting"
    ASKED = "asked"
    UPDATING = "updating"
    """It has accepted, and has not said yet what became of it."""
    DONE = "done"
    FAILED = "failed"
    """It refused, could not, or went back to what it had."""
    SILENT = "silent"
    """It accepted, and was not heard of for too long."""
    NEWER = "newer"
    """It runs something newer, and would refuse."""


class Happening(Enum):
    """What happens to a board."""

    ASKED = "asked"
    ACCEPTED = "accepted"
    UNREACHED = "unreached"
    REFUSED = "refused"
    BEGUN = "begun"
    ARRIVED = "arrived"
    BROKEN = "broken"
    OVERTAKEN = "overtaken"
    OVERDUE = "overdue"


STEPS: Final[Mapping[tuple[Progress, Happening], Progress]] = MappingProxyType(
    {
        (Progress.WAITING, Happening.ASKED): Progress.ASKED,
        (Progress.WAITING, Happening.BEGUN): Progress.UPDATING,
        (Progress.WAITING, Happening.ARRIVED): Progress.DONE,
        (Progress.WAITING, Happening.OVERTAKEN): Progress.NEWER,
        # A failure that a waiting board remembers is of another roll-out.
        (Progress.ASKED, Happening.ACCEPTED): Progress.UPDATING,
        (Progress.ASKED, Happening.UNREACHED): Progress.WAITING,
        (Progress.ASKED, Happening.REFUSED): Progress.FAILED,
        (Progress.ASKED, Happening.BEGUN): Progress.UPDATING,
        (Progress.ASKED, Happening.ARRIVED): Progress.DONE,
        (Progress.ASKED, Happening.OVERTAKEN): Progress.NEWER,
        (Progress.UPDATING, Happening.ARRIVED): Progress.DONE,
        (Progress.UPDATING, Happening.BROKEN): Progress.FAILED,
        (Progress.UPDATING, Happening.OVERTAKEN): Progress.NEWER,
        (Progress.UPDATING, Happening.OVERDUE): Progress.SILENT,
        (Progress.SILENT, Happening.BEGUN): Progress.UPDATING,
        (Progress.SILENT, Happening.ARRIVED): Progress.DONE,
        (Progress.SILENT, Happening.BROKEN): Progress.FAILED,
        (Progress.FAILED, Happening.BEGUN): Progress.UPDATING,
        (Progress.FAILED, Happening.ARRIVED): Progress.DONE,
        (Progress.DONE, Happening.BROKEN): Progress.FAILED,
        (Progress.NEWER, Happening.ARRIVED): Progress.DONE,
    }
)

UNDER_WAY: Final = frozenset({Progress.ASKED, Progress.UPDATING})
FAILURES: Final = frozenset({Progress.FAILED, Progress.SILENT})
SETTLED: Final = frozenset({Progress.DONE, *FAILURES})


class Stage(Enum):
    """How far a roll-out has come."""

    CANARY = "canary"
    """A share of the boards goes first."""
    ALL = "all"
    """Every board, and those that come later."""
    PAUSED = "paused"
    STOPPED = "stopped"
    """By itself: too many failures."""
    ABORTED = "aborted"


class Order(Enum):
    """What operators tell a roll-out, and what it tells itself."""

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    STOP = "stop"
    SPREAD = "spread"
    """The canary share is through."""


_BACK: Final = None
"""To the stage that it was in before it was held."""
ORDERS: Final[Mapping[tuple[Stage, Order], Stage | None]] = MappingProxyType(
    {
        (Stage.CANARY, Order.PAUSE): Stage.PAUSED,
        (Stage.CANARY, Order.ABORT): Stage.ABORTED,
        (Stage.CANARY, Order.STOP): Stage.STOPPED,
        (Stage.CANARY, Order.SPREAD): Stage.ALL,
        (Stage.ALL, Order.PAUSE): Stage.PAUSED,
        (Stage.ALL, Order.ABORT): Stage.ABORTED,
        (Stage.ALL, Order.STOP): Stage.STOPPED,
        (Stage.PAUSED, Order.RESUME): _BACK,
        (Stage.PAUSED, Order.ABORT): Stage.ABORTED,
        (Stage.PAUSED, Order.STOP): Stage.STOPPED,
        (Stage.STOPPED, Order.RESUME): _BACK,
        (Stage.STOPPED, Order.ABORT): Stage.ABORTED,
    }
)
GOING: Final = frozenset({Stage.CANARY, Stage.ALL})


class AmountError(ValueError):
    """That is no number and no share."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of boards, or a share of them."""

    value: int
    is_share: bool

    @classmethod
    def parse(cls, text: str) -> "Amount":
        """The amount in `5` or `10%`. Raises AmountError."""
        found = _AMOUNT.fullmatch(text)
        if found is None or (found[2] and int(found[1]) > 100):
            raise AmountError(f"'{text}' is neither a number of boards, as 3, nor a share of them, as 10%")
        return cls(int(found[1]), bool(found[2]))

    def __str__(self) -> str:
        return f"{self.value}%" if self.is_share else str(self.value)

    def least(self, of: int) -> int:
        """At least this share of so many: rounded up."""
        return math.ceil(of * self.value / 100) if self.is_share else self.value

    def most(self, of: int) -> int:
        """At most this share of so many: rounded down."""
        return of * self.value // 100 if self.is_share else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an operator asked for.

    canary: how many go first. max_failures: with more, of the stage's boards, it stops. at_once: under way together.
    silent_s: how long a board that accepted may be silent.
    """

    canary: Amount = Amount(10, True)
    max_failures: Amount = Amount(10, True)
    at_once: int = DEFAULT_AT_ONCE
    silent_s: float = DEFAULT_SILENT_S


@dataclass(slots=True, kw_only=True)
class Rollout:
    """One version on its way to the boards of one model."""

    model: str
    version: str
    serial: int
    terms: Terms
    stage: Stage = Stage.CANARY
    held: Stage = Stage.CANARY
    """The stage that it goes back to when it is resumed."""
    forgiven: int = 0
    """Failures before it was resumed: they do not stop it again."""
    is_complete: bool = False
    """Every board that was known had it at one time; those that come later get it too."""
    boards: dict[str, Progress] = field(default_factory=dict)
    _silent_at: dict[str, float] = field(default_factory=dict)
    _ask_at: dict[str, float] = field(default_factory=dict)

    # What happens.

    def admit(self, device: str, board: Board) -> None:
        """A board of this model is known from now on."""
        if device not in self.boards:
            self.boards[device] = Progress.WAITING
            self.hear(device, board, 0.0)

    def drop(self, device: str) -> None:
        """A board is none of this roll-out any more."""
        self.boards.pop(device, None)
        self._silent_at.pop(device, None)
        self._ask_at.pop(device, None)

    def hear(self, device: str, board: Board, now: float) -> Progress | None:
        """A board has said how it is. Returns its progress if it is another now."""
        self._ask_at.pop(device, None)
        happening = self._meaning_of(board)
        return None if happening is None else self.happen(device, happening, now)

    def happen(self, device: str, happening: Happening, now: float) -> Progress | None:
        """Something has happened to a board. Returns its progress if it is another now."""
        before = self.boards.get(device)
        after = None if before is None else STEPS.get((before, happening))
        if after is None or after is before:
            return None
        self.boards[device] = after
        self._silent_at.pop(device, None)
        self._ask_at.pop(device, None)
        if after is Progress.UPDATING:
            self._silent_at[device] = now + self.terms.silent_s
        elif happening is Happening.UNREACHED:
            self._ask_at[device] = now + ASK_AGAIN_S
        return after

    def come_back(self, device: str, now: float) -> None:
        """A board has connected: it may be asked once it has said what it runs, or has had the time to."""
        if device in self.boards:
            self._ask_at[device] = now + REPORT_S

    def begin_again(self, now: float) -> None:
        """After a start of the gateway: whoever was asked is asked again, whoever was updating has its time anew."""
        for device, progress in self.boards.items():
            if progress is Progress.ASKED:
                self.boards[device] = Progress.WAITING
            elif progress is Progress.UPDATING:
                self._silent_at[device] = now + self.terms.silent_s

    def overdue(self, now: float) -> list[str]:
        """The boards that have been silent for too long; `happen` OVERDUE is said of each by the caller."""
        return [device for device, at in self._silent_at.items() if at <= now]

    def deadline(self) -> float | None:
        """When to look again at the latest."""
        return min((*self._silent_at.values(), *self._ask_at.values()), default=None)

    # What follows.

    def due(self, connected: Collection[str], now: float) -> list[str]:
        """The boards to ask now; `happen` ASKED is said of each by the caller."""
        self._ask_at = {device: at for device, at in self._ask_at.items() if at > now}
        if self.stage not in GOING:
            return []
        free = self.terms.at_once - self.count(*UNDER_WAY)
        if self.stage is Stage.CANARY:
            free = min(free, self.canary_size - self.count(*UNDER_WAY, *SETTLED))
        ready = (
            device
            for device, progress in self.boards.items()
            if progress is Progress.WAITING and device in connected and device not in self._ask_at
        )
        return [device for device, _ in zip(ready, range(free), strict=False)]

    def judge(self) -> Order | None:
        """What the roll-out should be told now, from how its boards are."""
        if self.stage not in GOING:
            return None
        base = self.canary_size if self.stage is Stage.CANARY else self._in_it()
        if self.failures - self.forgiven > self.terms.max_failures.most(base):
            return Order.STOP
        if self.stage is Stage.CANARY and self._in_it() and self.count(*SETTLED) >= self.canary_size:
            return Order.SPREAD
        return None

    def obey(self, order: Order) -> bool:
        """Do as told. False if that is nothing for this stage."""
        if (self.stage, order) not in ORDERS:
            return False
        after = ORDERS[self.stage, order]
        if order in {Order.PAUSE, Order.STOP} and self.stage in GOING:
            self.held = self.stage
        if order is Order.RESUME and self.stage is Stage.STOPPED:
            self.forgiven = self.failures
        self.stage = self.held if after is None else after
        return True

    def completes(self) -> bool:
        """Whether every board that is known has it for the first time; True is said once."""
        if self.is_complete or self.stage is not Stage.ALL or not self.count(Progress.DONE):
            return False
        self.is_complete = not self.count(Progress.WAITING, *UNDER_WAY)
        return self.is_complete

    def is_meant_for(self, device: str) -> bool:
        """Whether a board that asks by itself should get this version."""
        if self.stage is Stage.ALL or (self.is_complete and self.stage is not Stage.ABORTED):
            return True
        return self.boards.get(device) in {*UNDER_WAY, Progress.DONE} and self.stage is not Stage.ABORTED

    # Numbers.

    @property
    def canary_size(self) -> int:
        """How many boards go first: at least one."""
        return max(1, min(self.terms.canary.least(self._in_it()), self._in_it()))

    @property
    def failures(self) -> int:
        """How many boards did not get there."""
        return self.count(*FAILURES)

    def count(self, *progress: Progress) -> int:
        """How many boards have come so far."""
        return sum(each in progress for each in self.boards.values())

    def counts(self) -> dict[str, int]:
        """How many boards have come how far."""
        return {each.value: self.count(each) for each in Progress}

    def named(self, progress: Iterable[Progress]) -> dict[str, str]:
        """The boards that have come so far, by name."""
        return {device: each.value for device, each in self.boards.items() if each in progress}

    def _in_it(self) -> int:
        return len(self.boards) - self.count(Progress.NEWER)

    def _meaning_of(self, board: Board) -> Happening | None:
        """What the state of a board means to this roll-out."""
        if board.state is BoardState.UPDATING:
            return Happening.BEGUN
        if board.version == self.version:
            return Happening.BEGUN if board.state is BoardState.TRIAL else Happening.ARRIVED
        if board.serial > self.serial:
            return Happening.OVERTAKEN
        return Happening.BROKEN if board.failed == self.version else None
