from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from edgewire.iothub.twins import TwinError
from edgewire.message import identity
from standin.documents import Documents
from standin.twins import Twins

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
