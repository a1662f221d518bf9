"""`send` of a route: reads it and refuses what contradicts itself. What each part means: docs/sending.md."""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from edgewire.message import Delivery
from gateway.app.document_rows import Either, Entries, Items, Number, Row, Section, Text, Whole, names, words
from gateway.routing.compile import compile_expression
from gateway.routing.expression import Constant, Expression, Type
from gateway.routing.problems import RouteProblem, near_match
from gateway.routing.table import Route
from gateway.sending import how

if TYPE_CHECKING:
    from gateway.dispatch.filters import Filter, Lessened
    from gateway.sending.how import Aggregate, Batch

Problem = Callable[[str, str, str], None]
"""Takes the path in the document, what is wrong there, and what to write instead."""

MAX_INTERVAL_S: Final = 604_800
"""Between two messages: a week."""
MAX_NTH: Final = 1_000_000
MAX_NAME_CHARS: Final = 64
"""Of a value's name in an aggregate."""

_SAMPLE_ROWS: Final = (
    Row(name="everyNth", shape=Whole(least=2, most=MAX_NTH), unit="messages", help="the first of each so many"),
    Row(name="share", shape=Number(least=0, most=1, above=True), help="so large a part of all, at random"),
)
_FILTER_ROWS: Final = (
    Row(
        name="onChangeOf",
        shape=Text(examples=("$body.temperature",)),
        help="an expression: a message goes when its value is another than the last one sent",
    ),
    Row(
        name="deadBand",
        shape=Either(
            (
                Number(least=0, most=1e308),
                Section(
                    (
                        Row(
                            name="percent",
                            shape=Number(least=0, most=100),
                            required=True,
                            help="so many percent of the last value sent",
                        ),
                    )
                ),
            )
        ),
        help="a change by no more than this is none",
    ),
    Row(
        name="atMostEverySecs",
        shape=Number(least=0, most=MAX_INTERVAL_S, above=True),
        unit="seconds",
        help="what comes sooner after the last one sent is held back",
    ),
    Row(
        name="atLeastEverySecs",
        shape=Number(least=0, most=MAX_INTERVAL_S, above=True),
        unit="seconds",
        help="a message goes anyway when so long nothing went",
    ),
    Row(name="sample", shape=Section(_SAMPLE_ROWS), help="one of the two: every n-th, or a share"),
)
_BATCH: Final = how.Batch()
_BATCH_ROWS: Final = (
    Row(
        name="maxMessages",
        shape=Whole(least=2, most=how.MAX_BATCH_MESSAGES),
        default=_BATCH.max_messages,
        help="the batch goes with the last of them",
    ),
    Row(
        name="maxBytes",
        shape=Whole(least=1, most=how.MAX_BATCH_BYTES),
        unit="bytes",
        default=_BATCH.max_bytes,
        help="of its body; it goes before it would be larger",
    ),
    Row(
        name="maxAgeSecs",
        shape=Number(least=0, most=how.MAX_AGE_S, above=True),
        unit="seconds",
        default=_BATCH.max_age_s,
        help="how long the first of them waits at most",
    ),
    Row(name="format", shape=words(how.Form), default=_BATCH.form.value, help="one array, or a value in each line"),
    Row(
        name="items",
        shape=words(how.Items),
        default=_BATCH.items.value,
        help="what stands there of each message: all of it, or its body",
    ),
    Row(name="per", shape=words(how.Per), default=_BATCH.per.value, help="a batch of each device, or one of all"),
)
_AGGREGATE_ROWS: Final = (
    Row(
        name="windowSecs",
        shape=Whole(least=1, most=how.MAX_WINDOW_S),
        unit="seconds",
        required=True,
        help="length of a window; windows are aligned to the clock, in UTC",
    ),
    Row(
        name="values",
        shape=Entries(
            shape=Text(examples=("$body.temperature",)),
            names=rf"[\s\S]{{1,{MAX_NAME_CHARS}}}",
            least=1,
            most=how.MAX_VALUES,
        ),
        required=True,
        help="expressions of numbers, by the name of each in the result",
    ),
    Row(name="measures", shape=Items(shape=words(how.Measure), least=1), help="what is told of each; left out: all"),
)
_ROWS: Final = (
    *_FILTER_ROWS,
    Row(name="batch", shape=Section(_BATCH_ROWS), help="several messages in one"),
    Row(name="aggregate", shape=Section(_AGGREGATE_ROWS), help="numbers of a window instead of messages"),
)
SHAPE: Final = Section(_ROWS)

_E = TypeVar("_E", bound=Enum)


def read_sends(
    sends: Mapping[str, Any], routes: Iterable[Route], problem: Problem, warn: Problem
) -> "dict[str, Lessened]":
    """What `send` of each route says, by the route's name. `routes` are the compiled ones; none if some are wrong.

    What is wrong is told to `problem`, what may surprise to `warn`.
    """
    from gateway.dispatch.filters import Lessened  # noqa: PLC0415 — most settings have no `send`

    by_name = {route.name: route for route in routes}
    found: dict[str, Lessened] = {}
    for name, value in sends.items():
        reader = _Reader(f"routes.{name}.send", problem, warn)
        rule, making = reader.read(value)
        route = by_name.get(name)
        if route is None or (rule is None and making is None):
            continue
        reader.check_expiry(route.delivery, rule)
        stage = None
        if making is not None:
            from gateway.sending.how import How, stage_for  # noqa: PLC0415 — as above

            reader.check_life(route.delivery, making)
            stage = stage_for(name, How(making=making, delivery=route.delivery))
        found[name] = Lessened(route=route, filter=rule, stage=stage)
    return found


class _Reader:
    """Reads one `send`."""

    def __init__(self, path: str, problem: Problem, warn: Problem) -> None:
        self._path = path
        self._report = problem
        self._warn = warn

    def read(self, value: Any) -> "tuple[Filter | None, Batch | Aggregate | None]":
        """Its filter, and what is made of what passes it; nothing of what is wrong."""
        fix = 'write {"onChangeOf": "$body.temperature", "deadBand": 0.5}'
        if not isinstance(value, dict):
            self._problem("", "this must be an object", fix)
            return None, None
        given = {key: item for key, item in value.items() if item is not None}  # a twin keeps null of what is removed
        self._check_keys(given, "", names(_ROWS))
        if not given:
            self._problem("", "it says nothing: every match would be sent", f"leave it out, or {fix}")
        return self._filter(given), self._making(given)

    def check_life(self, delivery: Delivery, making: "Batch | Aggregate") -> None:
        """Refuse what would expire before it is made into something."""
        from gateway.sending.how import Batch  # noqa: PLC0415 — see read_sends

        waits_s = making.max_age_s if isinstance(making, Batch) else making.window_s
        if delivery.time_to_live_s is not None and delivery.time_to_live_s <= waits_s:
            what = (
                f"messages wait here for up to {waits_s:g} s, and the route keeps them for {delivery.time_to_live_s} s"
            )
            key = "batch.maxAgeSecs" if isinstance(making, Batch) else "aggregate.windowSecs"
            self._problem(key, what, "make it shorter, or timeToLiveSecs of the route longer")

    def check_expiry(self, delivery: Delivery, rule: "Filter | None") -> None:
        """Warn of changes that the cloud may never learn."""
        if rule is None or rule.on_change_of is None or rule.at_least_every_s is not None:
            return
        if delivery.time_to_live_s is not None:
            what = f"a value that waits {delivery.time_to_live_s} s for its endpoint expires, and is not sent again"
            self._warn(self._path, f"{what} until it changes", 'add "atLeastEverySecs": 3600')

    # Filters

    def _filter(self, value: Mapping[str, Any]) -> "Filter | None":
        from gateway.dispatch.filters import Filter  # noqa: PLC0415 — see read_sends

        if not any(key in value for key in names(_FILTER_ROWS)):
            return None
        band, percent = self._dead_band(value)
        every_nth, share = self._sample(value.get("sample"))
        at_most_s = self._seconds(value, "atMostEverySecs", MAX_INTERVAL_S)
        at_least_s = self._seconds(value, "atLeastEverySecs", MAX_INTERVAL_S)
        self._check_together(value, at_most_s, at_least_s)
        on_change_of = self._expression(value.get("onChangeOf"), "onChangeOf")
        if on_change_of is not None and "deadBand" in value:
            self._check_number(on_change_of, value["onChangeOf"], "onChangeOf", "a dead band is of numbers")
        return Filter(
            on_change_of=on_change_of,
            dead_band=band,
            dead_band_percent=percent,
            at_most_every_s=at_most_s,
            at_least_every_s=at_least_s,
            every_nth=every_nth,
            share=share,
        )

    def _check_together(self, value: Mapping[str, Any], at_most_s: float | None, at_least_s: float | None) -> None:
        if "deadBand" in value and "onChangeOf" not in value:
            self._problem("deadBand", "of which value?", 'name it: "onChangeOf": "$body.temperature"')
        if "sample" in value and "onChangeOf" in value:
            self._problem("sample", "a sample of changes would lose changes", "keep onChangeOf, or sample")
        if at_most_s is not None and at_least_s is not None and at_most_s >= at_least_s:
            what = f"at least every {at_least_s:g} s and at most every {at_most_s:g} s contradict each other"
            self._problem("atMostEverySecs", what, "make atMostEverySecs the smaller one")
        if at_least_s is not None and not {"onChangeOf", "atMostEverySecs", "sample"} & value.keys():
            what = "alone it holds nothing back: every match is sent anyway"
            self._problem("atLeastEverySecs", what, "add onChangeOf, atMostEverySecs or sample, or leave it out")

    def _dead_band(self, value: Mapping[str, Any]) -> tuple[float, float]:
        """The band as a difference, and in percent; one of them is 0."""
        band = value.get("deadBand")
        if not isinstance(band, dict):
            return self._number(value, "deadBand", 0, 1e308, 'a difference: 0.5, or {"percent": 2}') or 0.0, 0.0
        self._check_keys(band, "deadBand", ("percent",))
        percent = self._number(band, "percent", 0, 100, "a share of the last value sent: 2", inside="deadBand")
        if band.get("percent") is None:
            self._problem("deadBand", "it has no percent", 'write {"percent": 2}')
        return 0.0, percent or 0.0

    def _sample(self, value: Any) -> tuple[int | None, float | None]:
        if value is None:
            return None, None
        if not isinstance(value, dict) or len(value.keys() & set(names(_SAMPLE_ROWS))) != 1:
            self._problem("sample", "it says either everyNth or share", 'write {"everyNth": 10}, or {"share": 0.1}')
            return None, None
        self._check_keys(value, "sample", names(_SAMPLE_ROWS))
        nth = self._whole(value, "everyNth", 2, MAX_NTH, inside="sample")
        share = self._number(value, "share", 0, 1, "a share of all, above 0 and below 1: 0.1", inside="sample")
        if share in (0.0, 1.0):
            self._problem("sample.share", f"{share:g} is {'none' if not share else 'all'} of them", "write 0.1")
        return nth, share

    # Batches and aggregates

    def _making(self, value: Mapping[str, Any]) -> "Batch | Aggregate | None":
        if "aggregate" not in value:
            return self._batch(value["batch"]) if "batch" in value else None
        others = [key for key in ("batch", *names(_FILTER_ROWS)) if key in value]
        if others:
            what = f"an aggregate is of all messages, and is one itself; '{others[0]}' does not go with it"
            self._problem(others[0], what, f"keep aggregate, or {others[0]}; two routes can have one each")
        return self._aggregate(value["aggregate"])

    def _batch(self, value: Any) -> "Batch | None":
        if not isinstance(value, dict):
            self._problem("batch", "this must be an object", 'write {"maxMessages": 100, "maxAgeSecs": 60}')
            return None
        self._check_keys(value, "batch", names(_BATCH_ROWS))
        default = how.Batch()
        age_s = self._seconds(value, "maxAgeSecs", how.MAX_AGE_S, inside="batch")
        size = self._whole(value, "maxBytes", 1, how.MAX_BATCH_BYTES, inside="batch")
        count = self._whole(value, "maxMessages", 2, how.MAX_BATCH_MESSAGES, inside="batch")
        return how.Batch(
            max_messages=count or default.max_messages,
            max_bytes=size or default.max_bytes,
            max_age_s=age_s or default.max_age_s,
            form=self._choice(value, "format", default.form),
            items=self._choice(value, "items", default.items),
            per=self._choice(value, "per", default.per),
        )

    def _aggregate(self, value: Any) -> "Aggregate | None":
        if not isinstance(value, dict):
            fix = 'write {"windowSecs": 60, "values": {"temperature": "$body.temperature"}}'
            self._problem("aggregate", "this must be an object", fix)
            return None
        self._check_keys(value, "aggregate", names(_AGGREGATE_ROWS))
        window_s = self._whole(value, "windowSecs", 1, how.MAX_WINDOW_S, inside="aggregate")
        if value.get("windowSecs") is None:
            self._problem("aggregate.windowSecs", "it is missing", 'write "windowSecs": 60')
        values = self._values(value.get("values"), how.MAX_VALUES)
        measures = self._measures(value.get("measures"), tuple(how.Measure))
        return how.Aggregate(window_s=window_s or 1, values=values, measures=measures)

    def _values(self, value: Any, most: int) -> dict[str, str]:
        path, fix = "aggregate.values", 'write {"temperature": "$body.temperature"}'
        if not isinstance(value, dict) or not 1 <= len(value) <= most:
            self._problem(path, f"this must be an object with 1 to {most} values and their expressions", fix)
            return {}
        for name, text in value.items():
            if not 1 <= len(name) <= MAX_NAME_CHARS:
                self._problem(path, f"the name of a value has 1 to {MAX_NAME_CHARS} characters", fix)
            expression = self._expression(text, f"{path}.{name}")
            if expression is not None:
                self._check_number(expression, text, f"{path}.{name}", "an aggregate is of numbers")
        return {name: text for name, text in value.items() if isinstance(text, str)}

    def _measures(self, value: Any, known: tuple[_E, ...]) -> tuple[_E, ...]:
        if value is None:
            return known
        words = [measure.value for measure in known]
        if not isinstance(value, list) or not value:
            self._problem("aggregate.measures", "this must be a list", f"write some of {', '.join(words)}")
            return known
        for word in value:
            if word not in words:
                self._unknown("aggregate.measures", word, words)
        return tuple(measure for measure in known if measure.value in value)

    # Single values

    def _problem(self, key: str, message: str, fix: str) -> None:
        self._report(f"{self._path}.{key}" if key else self._path, message, fix)

    def _unknown(self, key: str, given: Any, known: Iterable[str]) -> None:
        known = list(known)
        near = near_match(given, known) if isinstance(given, str) else None
        fix = f"did you mean '{near}'?" if near else "known here: " + ", ".join(known)
        self._problem(key, f"there is no '{given}'", fix)

    def _check_keys(self, value: Mapping[str, Any], inside: str, known: tuple[str, ...]) -> None:
        for key in value:
            if key not in known:
                self._unknown(f"{inside}.{key}" if inside else key, key, known)

    def _number(
        self, value: Mapping[str, Any], key: str, least: float, most: float, what: str, *, inside: str = ""
    ) -> float | None:
        """A number in range; None for nothing, and with a problem for anything else."""
        given = value.get(key)
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, int | float) or not least <= given <= most:
            path = f"{inside}.{key}" if inside else key
            if isinstance(given, str):
                self._problem(path, f"'{given}' is text", f"write {what}, without quotes")
            else:
                self._problem(path, f"{given!r} is not possible", f"write {what}")
            return None
        return float(given)

    def _seconds(self, value: Mapping[str, Any], key: str, most: int, *, inside: str = "") -> float | None:
        found = self._number(value, key, 0, most, f"seconds, above 0 and up to {most}", inside=inside)
        if found == 0:
            path = f"{inside}.{key}" if inside else key
            self._problem(path, "0 seconds would mean nothing", f"write 1 to {most}, or leave it out")
            return None
        return found

    def _whole(self, value: Mapping[str, Any], key: str, least: int, most: int, *, inside: str) -> int | None:
        found = self._number(value, key, least, most, f"a whole number from {least} to {most}", inside=inside)
        if found is not None and not found.is_integer():
            self._problem(f"{inside}.{key}", f"{found:g} is no whole number", f"write {found:.0f}")
            return None
        return None if found is None else int(found)

    def _choice(self, value: Mapping[str, Any], key: str, default: _E) -> _E:
        given = value.get(key)
        if given is None:
            return default
        kind = type(default)
        for choice in kind:
            if choice.value == given:
                return choice
        self._unknown(f"batch.{key}", given, [choice.value for choice in kind])
        return default

    def _check_number(self, expression: Expression, text: str, key: str, why: str) -> None:
        if expression.type is Type.STRING:
            self._problem(key, f"{why}, and '{text}' is text", f'write "as_number({text})"')
        elif expression.type is not Type.NUMBER and expression.type is not Type.BODY:
            self._problem(key, f"{why}, and '{text}' is {expression.type.value}", 'write "$body.temperature"')

    def _expression(self, text: Any, key: str) -> Expression | None:
        if text is None:
            return None
        fix = 'write "$body.temperature"'
        if not isinstance(text, str):
            self._problem(key, "an expression is text", fix)
            return None
        found = compile_expression(text)
        if isinstance(found, RouteProblem):
            self._problem(key, f"{found.place()} of '{text}': {found.message}", found.fix)
            return None
        if isinstance(found, Constant):
            self._problem(key, f"'{text}' is the same for every message", fix)
            return None
        return found
