import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewire.line.bodies import MAX_DEPTH, Selection, members_at, read_object
from gateway.routing.lenient_json import UNUSABLE, is_date, read

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


# Brackets in strings, escaped quotes and runs of backslashes do not count, and arrays and objects do alike.
DEEP_OR_NOT = [
    (b'{"a":' + b'{"b":[' * 31 + b"1" + b"]}" * 31 + b"}", True),
    (b'{"a":[' + b'{"b":[' * 31 + b"1" + b"]}" * 31 + b"]}", True),
    (b'{"a":[[' + b'{"b":[' * 31 + b"1" + b"]}" * 31 + b"]]}", False),
    (b'{"a":[' + b",".join([b'{"b":[]}'] * 5_000) + b"]}", True),
    (b'{"a":"' + b"[{" * 500 + b'"}', True),
    (b'{"a":"\\"' + b"[{" * 500 + b'"}', True),
    (b'{"a":"\\\\\\"' + b"[{" * 500 + b'\\\\"}', True),
    (b'{"a":"\\\\","b":' + b"[" * 64 + b'"]]"' + b"]" * 64 + b"}", False),
    (b'{"a":"","b":["","[[","]"],"c":' + b"[" * 63 + b"]" * 63 + b"}", True),
]


@pytest.mark.parametrize(("body", "is_read"), DEEP_OR_NOT)
def test_the_depth_is_that_of_the_brackets_outside_of_strings(body: bytes, *, is_read: bool) -> None:
    json.loads(body)
    assert (read_object(body) is not None) is is_read
    assert (Selection(["a"]).read(body) is not None) is is_read


NAMES = ("a", "b", "é")
ATOMS = (
    *("1", "-0", "1e999", "123456789012345678901234567890", "0.1", "1.", "01", "+1", "NaN", "-Infinity", "true", "nul"),
    *("null", '"x"', r'"\ud800"', r'"\ud83d\ude00"', r'"\x"', '"é"', '"\t"', '"2020-01-01T00:00:00"', "'x'", "/**/1"),
    *("9" * 379, "-" + "9" * 380, "9" * 381, "0." + "1" * 400, "[]", "[1,]", "{}", "undefined", '"[{"', '"\\\\"'),
)
KEYS = ('"a"', '"b"', '"é"', '"c"', r'"\u0061"', r'"\ud800"', '""', "a", '"\ufffd"')


def written(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in members) + "}"


VALUES = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: f"[{','.join(each)}]")
        | st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=3).map(written)
    ),
    max_leaves=8,
)
BODIES = st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=5)


def as_conditions_see(found: Any) -> Any:
    """Numbers as doubles, dates as nothing that can be used: the two readers give these in forms of their own."""
    if isinstance(found, list):
        return [as_conditions_see(each) for each in found]
    if isinstance(found, dict):
        return {name: as_conditions_see(each) for name, each in found.items()}
    if isinstance(found, str):
        return None if len(found) > 8 and is_date(found) else found
    if found is UNUSABLE:
        return None
    return repr(float(found)) if type(found) in (int, float) else found


@settings(max_examples=400)
@given(BODIES, st.data())
def test_what_is_selected_is_what_reading_all_of_it_gives(members: list[tuple[str, str]], data: st.DataObject) -> None:
    body = bytearray(written(members).encode())
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b'"', b"\\", b"}", b"\xff", b"0", b"\0"])
        )
    selected = Selection(NAMES).read(bytes(body))
    if selected is None:
        return
    whole = read(bytes(body).decode("utf-8", "replace"))  # raises if edgeHub would not read it
    assert selected.keys() == whole.keys() & set(NAMES)
    for name, found in selected.items():
        assert as_conditions_see(found) == as_conditions_see(whole[name])


def test_strict_json_is_selected_from() -> None:
    body = json.dumps({"a": None, "x": [{"a": 1}] * 200, "é": {"k": 2}, "b": 1, "pad": "ü" * 300}, ensure_ascii=False)
    assert Selection(NAMES).read(body.encode()) == {"a": None, "b": 1, "é": {"k": 2}}
    assert Selection(NAMES).read(b'{"a":1,"a":[2]}') == {"a": [2]}


@pytest.mark.parametrize("name", ["\ufffd", "a\udc00"])
def test_a_name_that_stands_for_what_is_no_text_is_not_looked_for(name: str) -> None:
    assert Selection([name]).read(b'{"a":1}') is None


@pytest.mark.plain  # what is compiled imports a module once
def test_without_msgspec_nothing_is_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgspec", None)
    assert Selection(["a"]).read(b'{"a":1}') is None


def test_a_run_of_digits_is_left_to_the_whole_reading_only_where_it_is_long() -> None:
    for digits, is_selected in ((379, True), (380, False), (1_000, False)):
        for pad in range(12):
            body = b'{"a":1,' + b" " * pad + b'"n":' + b"7" * digits + b"}"
            assert (Selection(["a"]).read(body) is not None) is is_selected
    numbers = b'{"a":1,"n":[' + b",".join([b"1234.567"] * 1_000) + b"]}"
    assert Selection(["a"]).read(numbers) == {"a": 1}
