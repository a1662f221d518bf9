"""The users' file: read by a running gateway, changed by commands meanwhile."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.identity.shared_file import Followed, SharedFile
from gateway.identity.users import User, Users, UsersError, read_users, write_users
from gateway.observe.broker import UsersReloaded, UsersUnreadable
from gateway.observe.events import Event

USERS_FILE: Final = "users.json"
_FILE: Final = SharedFile(empty=Users(), parse=read_users, write=write_users, problem=UsersError, what="users")


class UserBook:
    """The users in `path`; no file is no users, so nobody is let in.

    Raises LockedFileError if the file is there and cannot be used. Later, such a file is reported once, and who was
    known stays in force.
    """

    def __init__(self, path: Path, emit: Callable[[Event], None]) -> None:
        self._path = path
        self._emit = emit
        self._changed: set[str] = set()
        self.users, stamp = _FILE.read(path)
        self._file = Followed(_FILE, path, lambda why: emit(UsersUnreadable(why)), stamp)

    def refresh(self) -> set[str]:
        """Follow the file. Returns the users that changed or went since the last call: their clients log in again."""
        self.reload()
        changed, self._changed = self._changed, set()
        return changed

    def reload(self) -> None:
        """Follow the file, if its stamp is another."""
        users = self._file.news()
        if users is None:
            return
        changed = self.users.changed_in(users)
        self.users = users
        self._changed |= changed
        self._emit(UsersReloaded(str(self._path), len(users.by_name), len(changed)))

    def find(self, name: str) -> User | None:
        """The user of this name."""
        return self.users.by_name.get(name)


def edit_users(path: Path, change: Callable[[Users], Users]) -> Users:
    """Change the file by `change`; see `SharedFile.edit`."""
    return _FILE.edit(path, change)
