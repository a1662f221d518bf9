from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from edgewire.iothub.twins import TwinError
from edgewire.message import identity
from standin.documents import Documents
from standin.twins import Twins, time_text

D1 = identity("d1")


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[Documents]:
    with Documents(tmp_path / "state.db") as documents:
        yield documents


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


def clocked(documents: Documents) -> Twins:
    return Twins(documents, lambda: 1_700_000_000.5)


NOW = "2023-11-14T22:13:20.500000Z"


def test_each_name_says_when_it_was_changed_and_by_which_version(documents: Documents) -> None:
    twins = clocked(documents)
    twins.patch_desired(D1, {"a": 1, "b": {"c": 1, "gone": 2}})
    twins.patch_desired(D1, {"b": {"c": 2, "gone": None}})
    old, new = {"$lastUpdated": NOW, "$lastUpdatedVersion": 2}, {"$lastUpdated": NOW, "$lastUpdatedVersion": 3}
    assert twins.get(D1).for_service()["desired"] == {
        "a": 1,
        "b": {"c": 2},
        "$metadata": {**new, "a": old, "b": {**new, "c": new}},
        "$version": 3,
    }


def test_an_object_that_becomes_a_value_loses_the_times_of_its_members(documents: Documents) -> None:
    twins = clocked(documents)
    twins.patch_reported(D1, {"a": {"b": 1}})
    twins.patch_reported(D1, {"a": [1]})
    assert twins.get(D1).for_service()["reported"] == {
        "a": [1],
        "$metadata": {"$lastUpdated": NOW, "a": {"$lastUpdated": NOW}},
        "$version": 3,
    }


def test_tags_merge_and_are_bounded(documents: Documents) -> None:
    twins = Twins(documents)
    twins.update(D1, tags={"site": {"room": "1", "floor": 2}})
    assert twins.update(D1, tags={"site": {"room": None}}).tags == {"site": {"floor": 2}}
    twins.update(D1, tags={"x": "x" * 4096})
    with pytest.raises(TwinError, match="8192"):
        twins.update(D1, tags={"y": "x" * 4096}, desired={"a": 1})
    assert Twins(documents).get(D1).desired == {}


def test_the_etag_changes_with_what_the_service_changes_and_not_with_reports(documents: Documents) -> None:
    twins = Twins(documents)
    first = twins.get(D1)
    assert first.etag == "AAAAAAAAAAE="
    twins.patch_reported(D1, {"a": 1})
    assert twins.get(D1).etag == first.etag
    twins.update(D1, tags={"a": 1})
    assert twins.get(D1).etag == "AAAAAAAAAAI="
    assert (twins.get(D1).version, twins.get(D1).desired_version) == (3, 1)


def test_replacing_puts_sections_in_place_and_tells_the_difference(documents: Documents) -> None:
    twins = Twins(documents)
    twins.update(D1, tags={"t": 1}, desired={"a": 1, "b": {"c": 1, "d": 1}})
    twin, patch = twins.replace(D1, desired={"b": {"c": 2}})
    assert (twin.desired, twin.tags, twin.desired_version) == ({"b": {"c": 2}}, {"t": 1}, 3)
    assert patch == {"a": None, "b": {"c": 2, "d": None}}
    assert "a" not in twin.desired_metadata
    twin, patch = twins.replace(D1, tags={"u": 1})
    assert (twin.tags, twin.desired_version, patch) == ({"u": 1}, 3, {})


def test_documents_of_older_stand_ins_are_read(documents: Documents) -> None:
    documents.put("twin", "d1", {"desired": {"a": 1}, "desiredVersion": 4, "reported": {}, "reportedVersion": 2})
    twin = Twins(documents).get(D1)
    assert (twin.desired, twin.version, twin.tags) == ({"a": 1}, 5, {})
    assert twin.for_service()["reported"] == {"$metadata": {}, "$version": 2}


def test_an_unknown_time_is_the_year_one() -> None:
    assert time_text(None) == "0001-01-01T00:00:00Z"
