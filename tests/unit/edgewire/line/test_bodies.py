import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.line.bodies import MAX_DEPTH, members_at, read_object

DOCUMENT: dict[str, Any] = {"a": {"b": [1, {"c": None}]}, "d": "x"}


def nested(depth: int) -> bytes:
    """An object with arrays inside one another, so many levels in all."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_an_object_of_strict_json_is_read() -> None:
    assert read_object(json.dumps(DOCUMENT).encode()) == DOCUMENT


@pytest.mark.parametrize("body", ["", "[]", "1", '"x"', "null", "{'a':1}", '{"a":NaN}', '{"a":1}x', "\ufeff{}", "{"])
def test_anything_else_is_not(body: str) -> None:
    assert read_object(body.encode()) is None
    assert read_object(b'{"a":"\xff"}') is None


def test_what_nests_deeper_than_the_limit_is_not() -> None:
    assert read_object(nested(MAX_DEPTH)) is not None
    assert read_object(nested(MAX_DEPTH + 1)) is None
    assert read_object(nested(100_000)) is None


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ((), [DOCUMENT]),
        (("a", "b", 0), [1]),
        (("a", "b", 1, "c"), [None]),
        (("a", "b", 2), []),
        (("a", 0), []),
        (("d", "x"), []),
        (("a", None, 0), [1]),
        ((None,), [DOCUMENT["a"], "x"]),
        (("missing", None), []),
    ],
)
def test_a_path_finds_its_members(steps: tuple[str | int | None, ...], found: list[Any]) -> None:
    assert members_at(DOCUMENT, steps) == found


@given(st.binary(max_size=80))
def test_any_bytes_are_an_object_or_none(body: bytes) -> None:
    found = read_object(body)
    assert found is None or isinstance(found, dict)
