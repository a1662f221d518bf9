from datetime import timedelta

import pytest

from edgeca.durations import in_words, parse_span
from edgeca.errors import CaError


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("8w", timedelta(days=56)),
        ("0d", timedelta(0)),
    ],
)
def test_spans_are_hours_days_or_weeks(text: str, span: timedelta) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30 d", "30m", "123456d", "\u0663d"])
def test_anything_else_is_no_span_and_the_message_shows_how_to_write_one(text: str) -> None:
    with pytest.raises(CaError, match="write for example 30d"):
        parse_span(text)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(days=397, hours=23), "397 days"),
        (timedelta(days=1), "1 day"),
        (timedelta(hours=5, minutes=59), "5 hours"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(minutes=59), "less than an hour"),
    ],
)
def test_words_round_down(span: timedelta, words: str) -> None:
    assert in_words(span) == words
