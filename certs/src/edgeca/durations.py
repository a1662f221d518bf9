"""Spans of time as a person writes them: 30d, 12h, 8w."""

import re
from datetime import timedelta

from edgeca.errors import CaError

_SPAN = re.compile(r"([0-9]{1,5})([hdw])")


def parse_span(text: str) -> timedelta:
    """The span in `text`. Raises CaError if it is not a number of hours, days or weeks."""
    found = _SPAN.fullmatch(text)
    if not found:
        raise CaError(f"{text!r} is no span of time; write for example 30d, 12h or 8w")
    count = int(found[1])
    match found[2]:
        case "h":
            return timedelta(hours=count)
        case "d":
            return timedelta(days=count)
        case _:
            return timedelta(weeks=count)


def in_words(span: timedelta) -> str:
    """A span until something ends, rounded down, for example `397 days` or `5 hours`."""
    days, hours = span.days, span.seconds // 3600
    if days >= 1:
        return f"{days} day{'s' * (days > 1)}"
    if hours >= 1:
        return f"{hours} hour{'s' * (hours > 1)}"
    return "less than an hour"
