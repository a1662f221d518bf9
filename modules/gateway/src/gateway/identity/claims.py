"""The codes' file: read by a running gateway, changed by commands and by first contacts meanwhile."""

import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edgewire.iothub.bootstrap import Contact, contact_mac
from gateway.identity.claim_codes import ClaimsError, Code, Codes, Use, read_codes, write_codes
from gateway.identity.locked_file import Stamp
from gateway.identity.shared_file import Followed, SharedFile
from gateway.observe.bootstrap import ClaimsUnreadable
from gateway.observe.events import Event

CLAIMS_FILE: Final = "claims.json"
_FILE: Final = SharedFile(empty=Codes(), parse=read_codes, write=write_codes, problem=ClaimsError, what="codes")


class ClaimBook:
    """The codes in `path`, as they were at the last `reload`; no file is no codes.

    A file that cannot be used is reported once, and what was known stays in force.
    """

    __slots__ = ("_by_device", "_file", "_free")

    def __init__(self, path: Path, emit: Callable[[Event], None]) -> None:
        self._file = Followed(_FILE, path, lambda why: emit(ClaimsUnreadable(why)))
        self._by_device: dict[str, list[Code]] = {}
        self._free: list[Code] = []

    def reload(self) -> None:
        """Follow the file, if its stamp is another."""
        codes = self._file.news()
        if codes is None:
            return
        self._by_device, self._free = {}, []
        for code in codes.by_name.values():
            (self._by_device.setdefault(code.device, []) if code.device else self._free).append(code)

    def proven_by(self, contact: Contact) -> Code | None:
        """The code that the board knows; used and expired ones too. All that it can be are tried, whatever is found."""
        found = None
        for code in (*self._by_device.get(contact.registration_id, ()), *self._free):
            wanted = contact_mac(code.secret, contact.registration_id, contact.nonce)
            if hmac.compare_digest(wanted, contact.mac):
                found = code
        return found


def read_claims(path: Path) -> tuple[Codes, Stamp | None]:
    """The codes in the file, and the stamp of just these bytes. Raises LockedFileError."""
    return _FILE.read(path)


def edit_claims(path: Path, change: Callable[[Codes], Codes]) -> Codes:
    """Change the file by `change`; see `SharedFile.edit`."""
    return _FILE.edit(path, change)


class CodeGoneError(Exception):
    """The code was revoked or used up since it was looked at."""


def burn(path: Path, name: str, use: Use) -> None:
    """Note on disk that a board has come by a code; a use that is noted already stays as it is. Blocks.

    Raises CodeGoneError, or LockedFileError if it cannot be written.
    """

    def change(codes: Codes) -> Codes:
        code = codes.by_name.get(name)
        if code is not None and code.use_of(use.device, use.nonce) is not None:
            return codes
        if code is None or code.is_used_up:
            raise CodeGoneError
        return codes.with_use(name, use).without_old(use.at)

    edit_claims(path, change)
