"""Policies in the settings document are read by their words."""

from typing import Any

import pytest

from gateway.app.document_policy import read_policy
from gateway.store.values import WhenFull


@pytest.mark.parametrize(
    ("value", "found", "told"),
    [
        (None, WhenFull.REFUSE, []),
        ("dropOldest", WhenFull.DROP_OLDEST, []),
        ("dropoldest", WhenFull.REFUSE, [("'dropoldest' is no policy", "did you mean 'dropOldest'?")]),
        (7, WhenFull.REFUSE, [("7 is no policy", 'write "refuse" or "dropOldest"')]),
    ],
)
def test_a_policy_is_one_of_its_words(value: Any, found: WhenFull, told: list[tuple[str, str]]) -> None:
    problems: list[tuple[str, str]] = []
    assert read_policy(value, WhenFull.REFUSE, lambda what, fix: problems.append((what, fix))) is found
    assert problems == told
