"""What a check found: a verdict, what is so, what follows from it, and what to do."""

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and may not for long, or not as well as it could."""
    PROBLEM = "problem"
    """Something does not work, or will not after the next start."""
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `follows` and `fix` are there for a warning and a problem."""

    verdict: Verdict
    says: str
    follows: str = ""
    fix: str = ""


class NotCheckedError(Exception):
    """A check cannot look; the text says why."""


def ok(says: str) -> Finding:
    """It is as it should be."""
    return Finding(verdict=Verdict.OK, says=says)


def warning(says: str, follows: str, fix: str) -> Finding:
    """It needs attention some day."""
    return Finding(verdict=Verdict.WARNING, says=says, follows=follows, fix=fix)


def problem(says: str, follows: str, fix: str) -> Finding:
    """It needs a person."""
    return Finding(verdict=Verdict.PROBLEM, says=says, follows=follows, fix=fix)


def not_checked(says: str) -> Finding:
    """Nobody looked, and why."""
    return Finding(verdict=Verdict.NOT_CHECKED, says=says)
