from pathlib import Path

import pytest

from gateway.identity.locked_file import LockedFileError
from gateway.identity.user_book import USERS_FILE, UserBook, edit_users
from gateway.identity.users import User
from gateway.observe.broker import UsersReloaded, UsersUnreadable
from gateway.observe.events import Event


def test_the_book_follows_the_file_and_says_who_changed(tmp_path: Path) -> None:
    events: list[Event] = []
    path = tmp_path / USERS_FILE
    book = UserBook(path, events.append)
    assert book.users.by_name == {}
    edit_users(path, lambda users: users.with_user(User(name="ann")))
    assert book.refresh() == set(), "a new one has no connection to end"
    assert book.find("ann") == User(name="ann")
    edit_users(path, lambda users: users.with_user(User(name="ann", publish=("a",))))
    book.reload()
    assert book.refresh() == {"ann"}
    assert book.refresh() == set()
    assert [type(event) for event in events] == [UsersReloaded] * 2
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_used_is_said_once_and_changes_nothing(tmp_path: Path) -> None:
    events: list[Event] = []
    path = tmp_path / USERS_FILE
    edit_users(path, lambda users: users.with_user(User(name="ann")))
    book = UserBook(path, events.append)
    path.write_text("{")
    assert book.refresh() == book.refresh() == set()
    assert book.find("ann") is not None
    assert [type(event) for event in events] == [UsersUnreadable]
    with pytest.raises(LockedFileError, match="put back an earlier copy"):
        UserBook(path, events.append)
    with pytest.raises(LockedFileError):
        edit_users(path, lambda users: users)
