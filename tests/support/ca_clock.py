"""The time that certificates are made in, as a test sets it."""

from datetime import UTC, datetime
from typing import Final

NOW: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)


class CaClock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now
