"""Every event of the gateway. Each class: one level, one counter, one row in docs/events.md.

A field in `LABELS` is a label of the counter and holds an enum member or another closed set. A field called `count` is
what the counter grows by (1 without it).
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class Level(Enum):
    """Who must act (style §10)."""

    ERROR = "error"
    """Data lost, or a person is needed."""
    WARNING = "warning"
    """Unexpected; nothing is lost."""
    INFO = "info"
    """Something the operator caused has happened."""
    DEBUG = "debug"
    """The rest."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened. Subclasses say how loud it is and what counts it."""

    LEVEL: ClassVar[Level] = Level.DEBUG
    METRIC: ClassVar[str] = ""
    LABELS: ClassVar[tuple[str, ...]] = ()

    def sentence(self) -> str:
        """What a person reads in the log: what happened, what follows, what to do."""
        raise AssertionError(f"{type(self).__name__} says nothing")  # pragma: no cover
