"""What a session subscribes to, over restarts."""

from pathlib import Path

import pytest

from gateway.head.foreign_known import KnownFilters
from gateway.identity.locked_file import LockedFileError


def test_what_was_kept_is_known_to_the_same_client_of_the_same_broker(tmp_path: Path) -> None:
    path = tmp_path / "broker-session.json"
    known = KnownFilters(path, "me at there")
    assert (known.had_session, known.filters) == (False, frozenset())
    known.keep(frozenset({"a/#", "b"}))
    again = KnownFilters(path, "me at there")
    assert (again.had_session, again.filters) == (True, frozenset({"a/#", "b"}))
    other = KnownFilters(path, "me elsewhere")
    assert (other.had_session, other.filters) == (False, frozenset())


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"peer": "p"}', '{"peer": "p", "filters": 7}', "\xff"])
def test_a_file_that_cannot_be_read_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broker-session.json"
    path.write_bytes(text.encode("latin-1"))
    known = KnownFilters(path, "p")
    assert (known.had_session, known.filters) == (False, frozenset())


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    known = KnownFilters(tmp_path / "no" / "such", "p")
    with pytest.raises(LockedFileError):
        known.keep(frozenset({"a"}))
