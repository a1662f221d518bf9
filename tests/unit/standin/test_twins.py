from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgewire.message import identity
from standin.documents import Documents
from standin.twins import TwinError, Twins, checked_patch, merged, read_patch, section_size

D1 = identity("d1")


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[Documents]:
    with Documents(tmp_path / "state.db") as documents:
        yield documents


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


def test_versions_count_each_section_on_its_own(documents: Documents) -> None:
    twins = Twins(documents)
    assert twins.patch_desired(D1, {"a": 1}) == 2
    assert twins.patch_desired(D1, {"a": None, "b": {"c": 1}}) == 3
    assert twins.patch_reported(D1, {"r": 1}) == 2
    assert Twins(documents).get(D1).for_device() == {
        "desired": {"b": {"c": 1}, "$version": 3},
        "reported": {"r": 1, "$version": 2},
    }


def test_a_section_that_grows_too_big_stays_as_it_was(documents: Documents) -> None:
    twins = Twins(documents)
    for index in range(7):
        twins.patch_reported(D1, {f"k{index}": "x" * 4096})
    with pytest.raises(TwinError) as caught:
        twins.patch_reported(D1, {"k7": "x" * 4096})
    assert caught.value.status == 413
    assert "k7" not in twins.get(D1).reported
    assert twins.get(D1).reported_version == 8


def test_a_removed_twin_is_empty(documents: Documents) -> None:
    twins = Twins(documents)
    twins.patch_desired(D1, {"a": 1})
    twins.remove(D1)
    assert orjson.dumps(Twins(documents).get(D1).desired) == b"{}"
