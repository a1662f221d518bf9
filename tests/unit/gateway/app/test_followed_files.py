from pathlib import Path

from gateway.app.followed_files import FollowedFiles


def test_a_change_counts_once_it_lies_still(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("a")
    files = FollowedFiles(lambda: (one, other))
    assert [files.have_settled() for _ in range(2)] == [False, False]
    one.write_text("ab")
    assert not files.have_settled(), "it may still be written"
    other.write_text("b")
    assert not files.have_settled(), "the other came behind it"
    assert files.have_settled()
    assert files.take()
    assert not files.have_settled()
    assert not files.take()


def test_who_is_asked_for_takes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files = FollowedFiles(lambda: (path,))
    path.write_text("a")
    assert files.take()
    path.unlink()
    assert files.take()


def test_files_that_come_into_a_folder_are_seen(tmp_path: Path) -> None:
    files = FollowedFiles(lambda: sorted(tmp_path.iterdir()))
    (tmp_path / "new").write_text("")
    assert [files.have_settled(), files.have_settled()] == [False, True]
