"""Log lines made of events, for people or for programs, never more than a reader can take, and without secrets.

Events hold no secrets of ours. But a peer may put its token where an id or a topic belongs, by mistake or on purpose.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from types import MappingProxyType
from typing import Final

from gateway.observe.events import Event, Level

LINES_PER_PERIOD: Final = 20
"""Lines of one event class in one period; a flood of refusals must not fill an SD card."""

PERIOD_S: Final = 10.0

FIELD_CHARS: Final = 1_000
"""Of one field in a line for programs: a client id may have 65,535."""
FIELD_ITEMS: Final = 20
"""Of a field that is several texts: settings may have a thousand problems."""
SENTENCE_CHARS: Final = 4_000
"""Of a sentence, which may hold such an id or several."""

HIDDEN: Final = "(hidden)"

_NAMED_SECRET: Final = re.compile(r"(sig|SharedAccessKey)(=|%3D)[^&;\s'\"]+", re.IGNORECASE)
# Only where such a run begins, and without going back in it: a client id may be one run of 65,535 characters.
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{22,}+(?:=|%3D){1,2}")
_LOOKS_RANDOM: Final = re.compile(r"(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z])(?!.*/messages/)")

_RANK: Final[Mapping[Level, int]] = MappingProxyType({Level.DEBUG: 0, Level.INFO: 1, Level.WARNING: 2, Level.ERROR: 3})


class Log:
    """Writes one line per event at or above `level`, and counts instead of writing once a class is too loud.

    `write` takes a line without its end; `clock` gives seconds since 1970.
    """

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float], *, level: Level, as_json: bool = False
    ) -> None:
        self._write = write
        self._clock = clock
        self._rank = _RANK[level]
        self._line = _json_line if as_json else _human_line
        self._periods: dict[type[Event], tuple[float, int]] = {}

    def write_event(self, event: Event) -> None:
        """Write `event`, unless it is too quiet or its class has been too loud in this period."""
        kind = type(event)
        if _RANK[kind.LEVEL] < self._rank:
            return
        now = self._clock()
        started, written = self._periods.get(kind, (now, 0))
        if not started <= now < started + PERIOD_S:
            self._say_what_was_held_back(kind, written, now)
            started, written = now, 0
        self._periods[kind] = (started, written + 1)
        if written < LINES_PER_PERIOD:
            self._write(self._line(now, kind.LEVEL, event.sentence(), event))

    def tell_held_back(self) -> None:
        """To be called each second: of a flood that is over, how many lines were held back."""
        now = self._clock()
        for kind, (started, written) in list(self._periods.items()):
            if not started <= now < started + PERIOD_S:
                del self._periods[kind]
                self._say_what_was_held_back(kind, written, now)

    def tell_all_held_back(self) -> None:
        """The last call: nothing comes after it."""
        for kind, (_, written) in list(self._periods.items()):
            self._say_what_was_held_back(kind, written, self._clock())
        self._periods.clear()

    def line(self, event: Event) -> str:
        """`event` as it would be written, whatever the level."""
        return self._line(self._clock(), type(event).LEVEL, event.sentence(), event)

    def write_text(self, level: Level, text: str) -> None:
        """A line that is no event: it is always written."""
        self._write(self._line(self._clock(), level, text, None))

    def _say_what_was_held_back(self, kind: type[Event], written: int, now: float) -> None:
        held_back = written - LINES_PER_PERIOD
        if held_back > 0:
            sentence = f"{held_back} more of the same kind ({kind.__name__}) were counted but not written"
            self._write(self._line(now, kind.LEVEL, sentence, None))


def clean(text: str) -> str:
    """`text` in one printable line: control characters and line ends escaped, so no peer can forge a log line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def without_secrets(text: str) -> str:
    """`text` without what looks like a token's signature, or like a key of 16 bytes or more in Base64."""
    text = _NAMED_SECRET.sub(rf"\1\2{HIDDEN}", text)
    return _BASE64.sub(lambda found: HIDDEN if _LOOKS_RANDOM.match(found[0]) else found[0], text)


def _shown(sentence: str) -> str:
    return clean(without_secrets(sentence)[:SENTENCE_CHARS])


def _human_line(now: float, level: Level, sentence: str, _event: Event | None) -> str:
    return f"{_time(now)} {level.value.upper():7} {_shown(sentence)}"


def _json_line(now: float, level: Level, sentence: str, event: Event | None) -> str:
    row: dict[str, object] = {"time": _time(now), "level": level.value, "message": _shown(sentence)}
    if event is not None:
        row["event"] = type(event).__name__
        row.update({field.name: _plain(getattr(event, field.name)) for field in fields(event)})
    return json.dumps(row, default=str)


def _plain(value: object) -> object:
    if isinstance(value, str):
        return without_secrets(value)[:FIELD_CHARS]  # in this order: half a secret would not be known for one
    if isinstance(value, tuple):
        return [_plain(each) for each in value[:FIELD_ITEMS]]
    return value.value if isinstance(value, Enum) else value


def _time(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
