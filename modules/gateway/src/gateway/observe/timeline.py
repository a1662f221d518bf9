"""The latest events, as sentences, for whoever looks back: bounded in number and size, never with a secret."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.observe.events import Event, Level
from gateway.observe.head import DeviceConnected, DeviceDisconnected
from gateway.observe.log import clean, without_secrets

MAX_EVENTS: Final = 500
"""Kept; beyond, the oldest goes."""
EVENT_CHARS: Final = 500
"""Of a sentence."""
EVENTS_PER_PERIOD: Final = 20
"""Of one class: a storm of connections must not push everything else out."""
EVENT_PERIOD_S: Final = 10.0

# Who comes and goes is no line of the log, and yet the first thing that somebody looks for.
_ALSO: Final = (DeviceConnected, DeviceDisconnected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One event. `at` in seconds since 1970; `event` is its class."""

    at: float
    level: str
    event: str
    sentence: str

    def row(self) -> dict[str, str]:
        """For programs."""
        return {"at": iso(self.at), "level": self.level, "event": self.event, "sentence": self.sentence}


Hearer = Callable[[Happened], None]


class Timeline:
    """Remembers what happened, unless it was too quiet or its class was too loud."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._events: deque[Happened] = deque(maxlen=MAX_EVENTS)
        self._periods: dict[type[Event], tuple[float, int]] = {}
        self._left_out: dict[type[Event], None] = {}
        """Kinds of which some were not kept in their periods, those that were loud first in front."""
        self._hearers: tuple[Hearer, ...] = ()

    def on_event(self, event: Event) -> None:
        """A listener of the observer."""
        kind = type(event)
        if kind.LEVEL is Level.DEBUG and kind not in _ALSO:
            return
        now = self._clock()
        self._say_what_was_left_out(now)
        started, kept = self._periods.get(kind, (now, 0))
        if _is_over(started, now):
            started, kept = now, 0
        self._periods[kind] = (started, kept + 1)
        if kept < EVENTS_PER_PERIOD:
            self._keep(kind, event.sentence(), now)
        else:
            self._left_out[kind] = None

    def last(self, count: int) -> list[Happened]:
        """The latest, the newest last."""
        self._say_what_was_left_out(self._clock())
        return list(self._events)[-count:] if count > 0 else []

    def hear(self, hearer: Hearer) -> Callable[[], None]:
        """Tell `hearer` of each from now on, until the returned function is called."""
        self._hearers = (*self._hearers, hearer)
        return lambda: self._leave(hearer)

    def _leave(self, hearer: Hearer) -> None:
        self._hearers = tuple(each for each in self._hearers if each is not hearer)

    def _say_what_was_left_out(self, now: float) -> None:
        """Of each kind whose period is over: a storm that has ended is told as one that goes on."""
        for kind in [kind for kind in self._left_out if _is_over(self._periods[kind][0], now)]:
            started, kept = self._periods.pop(kind)
            del self._left_out[kind]
            more = f"{kept - EVENTS_PER_PERIOD} more of the same kind ({kind.__name__})"
            self._keep(kind, f"{more} were counted but are not shown", min(now, started + EVENT_PERIOD_S))

    def _keep(self, kind: type[Event], sentence: str, now: float) -> None:
        # In this order: half a secret would not be known for one.
        text = clean(without_secrets(sentence[: 8 * EVENT_CHARS]))
        if len(text) > EVENT_CHARS:
            text = text[: EVENT_CHARS - 1] + "…"
        happened = Happened(at=now, level=kind.LEVEL.value, event=kind.__name__, sentence=text)
        self._events.append(happened)
        for hearer in self._hearers:
            hearer(happened)


def _is_over(started: float, now: float) -> bool:
    return not started <= now < started + EVENT_PERIOD_S


def iso(at: float) -> str:
    """A time, in seconds since 1970, as ISO 8601 with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
