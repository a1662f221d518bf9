"""Cases of `tests` with several messages in time: what the `send` of routes lets go on of them, and makes of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgewire.message import Message
from gateway.app.document_rows import Anything, Either, Entries, Items, Number, Row, Section, Text, names
from gateway.app.sample import EXPECT_ROW, SampleError, read_sample
from gateway.app.sample import ROWS as SAMPLE_ROWS
from gateway.app.topic_sample import ROWS as TOPIC_ROWS
from gateway.routing.problems import near_match

MAX_MESSAGES: Final = 10_000
"""Of one case."""
MAX_AT_S: Final = 604_800
"""When a message of a case may come: within a week."""

_MADE_ROWS: Final = (
    Row(name="endpoint", shape=Text(), help="where it goes"),
    Row(name="body", shape=Anything(), help="what must be in its body, whatever else there is"),
    Row(name="properties", shape=Entries(shape=Text()), help="what must be among its properties"),
)
MADE_SHAPE: Final = Items(shape=Section(_MADE_ROWS))
_STEP_ROWS: Final = (
    Row(
        name="at",
        shape=Number(least=0, most=MAX_AT_S),
        unit="seconds",
        help="when it comes, after the start; left out: a second after the one before",
    ),
    EXPECT_ROW,
)
STEPS_SHAPE: Final = Items(
    shape=Either((Section((*_STEP_ROWS, *SAMPLE_ROWS)), Section((*_STEP_ROWS, *TOPIC_ROWS)))),
    least=1,
    most=MAX_MESSAGES,
)
_EXAMPLE: Final = 'write [{"at": 0, "body": {…}, "expect": ["$upstream"]}, {"at": 10, …}]'


@dataclass(frozen=True, slots=True)
class Step:
    """A message `at_s` seconds after the start, and where it must go on to; None if that does not matter."""

    at_s: float
    message: Message
    endpoints: frozenset[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeWanted:
    """What a made message must have: of body and properties what is written, whatever else there is."""

    endpoint: str | None
    body: Any
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sequence:
    """Messages in time, and what must be made of them, in order; None if that does not matter."""

    steps: tuple[Step, ...]
    made: tuple[MadeWanted, ...] | None


class SequenceReader:
    """Reads the members `messages` and `made` of a case. `endpoints` reads a list of endpoints at a path.

    `message` reads a message; it raises SampleError.
    """

    def __init__(
        self,
        problem: Callable[[str, str, str], None],
        endpoints: Callable[[Any, str], frozenset[str]],
        endpoint_name: Callable[[str], str | None],
        message: Callable[[Mapping[str, Any]], Message] = read_sample,
    ) -> None:
        self._message = message
        self._problem = problem
        self._endpoints = endpoints
        self._endpoint_name = endpoint_name

    def read(self, entry: Mapping[str, Any], path: str) -> Sequence:
        """What a case says; what is wrong of it is told and left out."""
        for key in ("message", "expect", "routes", "becomes"):
            if key in entry:
                fix = (
                    "each of the messages has its own 'expect'" if key == "expect" else "write a case of its own for it"
                )
                self._problem(f"{path}.{key}", f"a case with 'messages' has no '{key}'", fix)
        return Sequence(self._steps(entry.get("messages"), f"{path}.messages"), self._made(entry.get("made"), path))

    def _steps(self, value: Any, path: str) -> tuple[Step, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_MESSAGES:
            self._problem(path, f"this must be a list of 1 to {MAX_MESSAGES} messages", _EXAMPLE)
            return ()
        steps: list[Step] = []
        for number, given in enumerate(value):
            before = steps[-1].at_s if steps else None
            step = self._step(given, f"{path}[{number}]", before)
            if step is not None:
                steps.append(step)
        return tuple(steps)

    def _step(self, given: Any, path: str, before_s: float | None) -> Step | None:
        if not isinstance(given, dict):
            self._problem(path, "a message is an object", _EXAMPLE)
            return None
        at_s = given.get("at", 0.0 if before_s is None else before_s + 1)
        if isinstance(at_s, bool) or not isinstance(at_s, int | float) or not (before_s or 0) <= at_s <= MAX_AT_S:
            self._problem(f"{path}.at", f"{at_s!r} is no time from {before_s or 0:g} on", "write seconds, in order")
            return None
        expect = self._endpoints(given["expect"], f"{path}.expect") if "expect" in given else None
        try:
            message = self._message({key: item for key, item in given.items() if key not in ("at", "expect")})
        except SampleError as error:
            self._problem(path, str(error), "")
            return None
        return Step(float(at_s), message, expect)

    def _made(self, value: Any, path: str) -> tuple[MadeWanted, ...] | None:
        if value is None:
            return None
        path = f"{path}.made"
        fix = 'write [{"endpoint": "$upstream", "body": {"count": 6}}], or [] for nothing'
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._problem(path, "this must be a list of objects", fix)
            return None
        return tuple(self._wanted(item, f"{path}[{number}]") for number, item in enumerate(value))

    def _wanted(self, item: Mapping[str, Any], path: str) -> MadeWanted:
        for key in item:
            if key not in names(_MADE_ROWS):
                near = near_match(key, names(_MADE_ROWS))
                fix = f"did you mean '{near}'?" if near else f"known here: {', '.join(names(_MADE_ROWS))}"
                self._problem(f"{path}.{key}", f"there is no '{key}'", fix)
        given = item.get("endpoint")
        endpoint = self._endpoint_name(given) if isinstance(given, str) else None
        if given is not None and endpoint is None:
            fix = 'write "$upstream" or "Endpoint(\'archive\')"'
            self._problem(f"{path}.endpoint", f"{given!r} is no endpoint", fix)
        properties = item.get("properties", {})
        if not isinstance(properties, dict) or not all(isinstance(text, str) for text in properties.values()):
            self._problem(f"{path}.properties", "these must be texts by their names", 'write {"sendCount": "6"}')
            properties = {}
        return MadeWanted(endpoint=endpoint, body=item.get("body"), properties=properties)
