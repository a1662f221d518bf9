"""What libraries write by `logging`, asyncio's word on a fault of ours too: events like all others."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.observe.events import Event, Level
from gateway.observe.log import without_secrets

TEXT_CHARS: Final = 4_000
"""Of what a library says, with where an exception came from: the end of it, which has the cause."""


@dataclass(frozen=True, slots=True)
class LibrarySpoke(Event):
    """A library has warned of something, or something went wrong in a task of ours that nobody waits for."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_library_warnings_total"

    library: str
    text: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.library} says: {self.text}"


class Listening(logging.Handler):
    """Turns records into events. `later` calls on the event loop, from any thread; RuntimeError once it is closed."""

    def __init__(
        self, emit: Callable[[Event], None], later: Callable[[Callable[[Event], None], Event], object]
    ) -> None:
        super().__init__(logging.WARNING)
        self._emit_event = emit
        self._later = later
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """A record has come."""
        try:
            # In this order: half a secret would not be known for one.
            text = without_secrets(self.format(record))[-TEXT_CHARS:]
            event = LibrarySpoke(record.name.partition(".")[0], text)
            self._later(self._emit_event, event)
        except RuntimeError:  # nobody turns the loop any more
            self.handleError(record)
