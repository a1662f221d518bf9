"""What a stage makes of messages and where that goes, as values and as the text that names the stage.

The text is JSON, sorted, format 1: it names a queue in the store, so one meaning has one text.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from edgewire.message import Delivery, Endpoint, EndpointKind, stage_of

FORMAT: Final = 1

MAX_BATCH_MESSAGES: Final = 1_000
"""Messages in one batch: half of what a stage holds."""
MAX_BATCH_BYTES: Final = 200_000
"""A batch's body: with its properties, and the names of its sender, within IoT Hub's 256 KiB."""
MAX_AGE_S: Final = 3_600
"""What waits keeps its segments of the store: an hour's at most."""
MAX_WINDOW_S: Final = 86_400
MAX_VALUES: Final = 16
"""Values of one aggregate."""


class Form(Enum):
    """How the messages of a batch stand in its body."""

    JSON = "json"
    """One array."""
    NDJSON = "ndjson"
    """One value in each line."""


class Items(Enum):
    """What a batch has of each message."""

    MESSAGES = "messages"
    """An object with its sender, time, properties and body."""
    BODIES = "bodies"
    """Its body alone."""


class Per(Enum):
    """Whose messages come into one batch."""

    DEVICE = "device"
    """One sender's; it goes as that sender."""
    ROUTE = "route"
    """All that the route sends; it goes as the gateway's module."""


class Measure(Enum):
    """What an aggregate tells of a value."""

    COUNT = "count"
    MIN = "min"
    MAX = "max"
    MEAN = "mean"
    SUM = "sum"
    LAST = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch goes with its `max_messages`-th message, before `max_bytes`, or `max_age_s` after the first one came."""

    max_messages: int = 500
    max_bytes: int = 65_536
    max_age_s: float = 60.0
    form: Form = Form.JSON
    items: Items = Items.MESSAGES
    per: Per = Per.DEVICE


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """One message for each sender and window of `window_s`, with these measures of these expressions' numbers."""

    window_s: int
    values: Mapping[str, str]
    measures: tuple[Measure, ...] = tuple(Measure)


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What is made, and the delivery of what was made."""

    making: Batch | Aggregate
    delivery: Delivery


def stage_for(route: str, how: How) -> Endpoint:
    """The stage where the messages of `route` wait."""
    to = how.delivery.endpoint
    # Not orjson: a text may hold half a surrogate pair, which it does not write.
    text = json.dumps(
        {
            "format": FORMAT,
            **_making(how.making),
            "to": [to.kind.value, to.name, to.input],
            "priority": how.delivery.priority,
            "timeToLiveSecs": how.delivery.time_to_live_s,
        },
        sort_keys=True,
        separators=(",", ":"),
    )
    return stage_of(route, text)


def how_of(stage: Endpoint) -> How | None:
    """What is made at this stage; None if this version did not write its name."""
    try:
        found: dict[str, Any] = json.loads(stage.input or "")
        if found["format"] != FORMAT:
            return None
        kind, name, input_name = found["to"]
        delivery = Delivery(Endpoint(EndpointKind(kind), name, input_name), found["priority"], found["timeToLiveSecs"])
        return How(making=_read_making(found), delivery=delivery)
    except (KeyError, TypeError, ValueError):
        return None


def _making(making: Batch | Aggregate) -> dict[str, Any]:
    match making:
        case Batch():
            limits = [making.max_messages, making.max_bytes, making.max_age_s]
            return {"batch": [*limits, making.form.value, making.items.value, making.per.value]}
        case Aggregate():
            measures = [measure.value for measure in making.measures]
            return {"aggregate": [making.window_s, [list(value) for value in making.values.items()], measures]}


def _read_making(found: Mapping[str, Any]) -> Batch | Aggregate:
    if "batch" in found:
        messages, size, age_s, form, items, per = found["batch"]
        return Batch(
            max_messages=messages,
            max_bytes=size,
            max_age_s=age_s,
            form=Form(form),
            items=Items(items),
            per=Per(per),
        )
    window_s, values, measures = found["aggregate"]
    return Aggregate(window_s=window_s, values=dict(values), measures=tuple(map(Measure, measures)))
