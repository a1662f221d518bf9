"""The token that lets a person in to the gateway's page: a line of the file `page-token` in the data folder.

Made by whoever needs it first, the command or the gateway. Another one ends all logins that were made by the last.
"""

import re
import secrets
from pathlib import Path
from typing import Final

from gateway.identity.locked_file import Stamp, locked, replace_file, stamp_of
from gateway.identity.shared_file import SharedFile

TOKEN_FILE: Final = "page-token"  # noqa: S105 - the name of a file
TOKEN_BYTES: Final = 32

_FORM: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""32 bytes in base64url."""


class _TokenFormError(ValueError):
    """The file holds something else."""


def _parse(text: bytes) -> str:
    token = text.decode("ascii", "replace").removesuffix("\n")
    if _FORM.fullmatch(token) is None:
        raise _TokenFormError("it is no line of 43 letters, digits, '-' and '_'")
    return token


_FILE: Final = SharedFile(
    empty="", parse=_parse, write=lambda token: f"{token}\n".encode("ascii"), problem=_TokenFormError, what="token"
)


def page_token(path: Path) -> str:
    """The token in the file, made now if there is none. Blocks. Raises LockedFileError."""
    token, _ = _FILE.read(path)
    return token or _FILE.edit(path, lambda made_meanwhile: made_meanwhile or secrets.token_urlsafe(TOKEN_BYTES))


def new_page_token(path: Path) -> str:
    """Another token in place of what the file holds, whatever that is. Blocks. Raises LockedFileError."""
    with locked(path):
        token = secrets.token_urlsafe(TOKEN_BYTES)
        replace_file(path, _FILE.write(token))
    return token


class PageToken:
    """The token in the file as it is now; read again when the file's stamp is another."""

    __slots__ = ("_path", "_stamp", "_token")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp | None = None
        self._token = ""

    def current(self) -> str:
        """The token. Blocks. Raises LockedFileError."""
        stamp = stamp_of(self._path)
        if stamp is None or stamp != self._stamp:
            # The stamp of before the reading: should the file change in between, it is read once more than needed.
            self._token, self._stamp = page_token(self._path), stamp
        return self._token
