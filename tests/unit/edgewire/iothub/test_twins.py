from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.iothub.twins import (
    Document,
    Patches,
    TwinError,
    applied,
    check_size,
    checked_patch,
    composed,
    difference,
    merged,
    read_patch,
    section_size,
)

NAMES = st.sampled_from(["a", "b", "c"])
PLAIN = st.sampled_from([True, 1, 1.0, 0, False, "", "x", [], [1], [True], [{"a": 1}]])


def objects(members: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    return st.recursive(
        st.dictionaries(NAMES, members, max_size=3),
        lambda below: st.dictionaries(NAMES, members | below, max_size=3),
        max_leaves=12,
    )


SECTIONS = objects(PLAIN)
PATCHES = objects(PLAIN | st.none())


def as_json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"k": value}
    return value


@pytest.mark.parametrize(
    ("section", "patch", "result"),
    [
        # RFC 7396, appendix A, the rows whose target is an object.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_the_rfc_says(section: Any, patch: Any, result: Any) -> None:
    assert merged(section, patch) == result


@pytest.mark.parametrize(
    "patch",
    [
        {"a": "x" * 4096},
        {"k" * 1024: 1},
        {"a": 2**52, "b": -(2**52), "c": 1.5, "d": True, "e": None},
        nested(10),
        {"a": [1, {"b": [2]}]},
    ],
)
def test_what_stays_within_the_limits_is_taken(patch: Any) -> None:
    assert checked_patch(patch) == patch


@pytest.mark.parametrize(
    "patch",
    [
        [],
        1,
        None,
        {"": 1},
        {"a.b": 1},
        {"a b": 1},
        {"$version": 1},
        {"a#": 1},
        {"a\x07": 1},
        {"a\x85": 1},
        {"k" * 1025: 1},
        {"a": "x" * 4097},
        {"a": ["x" * 4097]},
        {"a": 2**52 + 1},
        {"a": {"b": -(2**52) - 1}},
        {"a": [None]},
        {"a": [[[[[[[[[[[1]]]]]]]]]]]},
        nested(11),
    ],
)
def test_what_breaks_a_limit_is_refused_with_400(patch: Any) -> None:
    with pytest.raises(TwinError) as caught:
        checked_patch(patch)
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"a":NaN}', b"\xff"])
def test_a_patch_that_is_not_json_is_refused_with_400(body: bytes) -> None:
    with pytest.raises(TwinError) as caught:
        read_patch(body)
    assert caught.value.status == 400


def test_sizes_are_counted_as_the_hub_does() -> None:
    assert section_size({"ab": "ü", "c": 1, "d": True, "e": None, "f": ["x", 1.5]}) == 2 + 2 + 9 + 5 + 1 + 1 + 1 + 8


def composed_all(patches: list[Document]) -> Patches:
    together = Patches()
    for patch in patches:
        together = composed(together, patch)
    return together


@given(section=SECTIONS, patches=st.lists(PATCHES, max_size=6))
def test_composed_patches_do_what_the_patches_do_one_by_one(section: Document, patches: list[Document]) -> None:
    end = section
    for patch in patches:
        end = merged(end, patch)
    assert as_json(applied(section, composed_all(patches))) == as_json(end)
    assert as_json(applied(end, composed_all(patches))) == as_json(end), "sent again, they change nothing"


def removals(clearing: Document, changes: Document) -> bool:
    """Whether all of `clearing` is a removal of what `changes` then makes an object."""
    return all(
        isinstance(changes.get(key), dict) and (below is None or (below and removals(below, changes[key])))
        for key, below in clearing.items()
    )


@given(patches=st.lists(PATCHES, max_size=6))
def test_what_is_cleared_is_never_more_than_what_is_changed(patches: list[Document]) -> None:
    together = composed_all(patches)
    assert removals(together.clearing, together.changes)


@pytest.mark.parametrize(
    ("patches", "clearing", "changes"),
    [
        ([{"a": 1}, {"b": None}], {}, {"a": 1, "b": None}),
        ([{"a": {"x": 1}}, {"a": {"y": None}}], {}, {"a": {"x": 1, "y": None}}),
        ([{"a": None}, {"a": {"x": 1}}], {"a": None}, {"a": {"x": 1}}),
        ([{"a": 5}, {"a": {"x": 1}}, {"a": {"x": None}}], {"a": None}, {"a": {}}),
        ([{"a": {"b": None}}, {"a": {"b": {"x": 1}}}], {"a": {"b": None}}, {"a": {"b": {"x": 1}}}),
        ([{"a": None}, {"a": {"x": 1}}, {"a": None}], {}, {"a": None}),
        ([{"a": {"b": None}}, {"a": {"b": {"x": 1}}}, {"a": {"b": 2}}], {}, {"a": {"b": 2}}),
    ],
)
def test_what_patches_become(patches: list[Document], clearing: Document, changes: Document) -> None:
    assert composed_all(patches) == Patches(clearing, changes)


@given(old=SECTIONS, new=SECTIONS)
def test_the_difference_makes_the_new_of_the_old(old: Document, new: Document) -> None:
    assert as_json(merged(old, difference(old, new))) == as_json(new)


@given(section=SECTIONS)
def test_nothing_differs_from_itself(section: Document) -> None:
    assert difference(section, section) == {}


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({"a": 1}, {}, {"a": None}),
        ({"a": 1}, {"a": True}, {"a": True}),
        ({"a": [1]}, {"a": [1.0]}, {"a": [1.0]}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": None}}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
        ({"a": 2}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({}, {"a": {}}, {"a": {}}),
    ],
)
def test_differences(old: Document, new: Document, patch: Document) -> None:
    assert as_json(difference(old, new)) == as_json(patch)


def test_a_section_of_the_limit_is_taken_and_one_byte_more_is_413() -> None:
    section = {f"k{index}": "x" * 4094 for index in range(8)}
    check_size("reported", section)
    with pytest.raises(TwinError, match="32769") as caught:
        check_size("reported", {**section, "k": ""})
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 10_000,
        b'{"a":' * 10_000,
        b'{"a":1e999}',
        b'{"a":-1e999}',
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"$version":7}',
        b'{"a":{"$metadata":{}}}',
        b'{"a\\u0000b":1}',
        b'{"a":9999999999999999999}',
    ],
)
def test_json_made_to_hurt_is_refused_with_400(body: bytes) -> None:
    with pytest.raises(TwinError) as caught:
        read_patch(body)
    assert caught.value.status == 400


def test_a_whole_number_beyond_64_bits_is_read_as_a_fraction() -> None:
    assert read_patch(b'{"a":99999999999999999999}') == {"a": 1e20}


def test_of_a_name_that_comes_twice_the_last_counts() -> None:
    assert read_patch(b'{"a":1,"a":{"__proto__":2}}') == {"a": {"__proto__": 2}}
