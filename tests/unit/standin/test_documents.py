from pathlib import Path

from standin.documents import Documents


def test_a_document_is_there_after_a_restart(tmp_path: Path) -> None:
    with Documents(tmp_path / "state.db") as documents:
        documents.put("twin", "d1", {"a": 1})
        documents.put("twin", "d1", {"a": 2})
        documents.put("other", "d1", {"b": "ü"})
    with Documents(tmp_path / "state.db") as documents:
        assert documents.all("twin") == {"d1": {"a": 2}}
        assert documents.all("other") == {"d1": {"b": "ü"}}


def test_a_deleted_document_is_gone_and_may_be_deleted_again(tmp_path: Path) -> None:
    with Documents(tmp_path / "state.db") as documents:
        documents.put("twin", "d1", {})
        documents.delete("twin", "d1")
        documents.delete("twin", "d1")
        assert documents.all("twin") == {}


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    with Documents(tmp_path / "state.db"):
        assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600
