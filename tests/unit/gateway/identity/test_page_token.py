import re
import stat
from pathlib import Path

import pytest

from gateway.identity.locked_file import LockedFileError
from gateway.identity.page_token import PageToken, new_page_token, page_token


def test_who_comes_first_makes_the_token_and_all_others_read_it(tmp_path: Path) -> None:
    path = tmp_path / "page-token"
    token = page_token(path)
    assert re.fullmatch(r"[\w-]{43}", token)
    assert path.read_text() == f"{token}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert page_token(path) == PageToken(path).current() == token


def test_a_new_token_is_followed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "page-token"
    seen = PageToken(path)
    first = seen.current()
    second = new_page_token(path)
    assert first != second == seen.current() == page_token(path)


def test_a_token_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "page-token"
    seen = PageToken(path)
    first = seen.current()
    path.unlink()
    assert first != seen.current() == page_token(path)


@pytest.mark.parametrize("text", [b"", b"\n", b"x" * 42, b"x" * 44, b"\xff" * 43, b"x" * 42 + b"/"])
def test_a_file_that_holds_no_token_lets_nobody_in_and_is_replaced_when_told(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "page-token"
    path.write_bytes(text)
    with pytest.raises(LockedFileError, match="holds no token"):
        page_token(path)
    assert new_page_token(path) == page_token(path)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    for use in (page_token, new_page_token):
        with pytest.raises(LockedFileError, match="Create the data directory"):
            use(tmp_path / "none" / "page-token")
