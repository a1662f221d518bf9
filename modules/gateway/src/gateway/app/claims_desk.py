"""The page's desk of codes: what `gateway claims` does, for whoever is logged in. Loaded with the first visitor."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgepage.guard import Guard, PageClosedError
from gateway.dashboard.claims import ClaimsPages, ListedCode, NewCode, NotDoneError
from gateway.dashboard.door import HOUSE, Reporter
from gateway.dashboard.frame import ViewPages
from gateway.dashboard.server import Pages
from gateway.identity.claim_codes import ClaimsError
from gateway.identity.claim_making import (
    NoSuchCodeError,
    TypedError,
    in_order,
    make_claim,
    revoke_claim,
    status_of,
    until,
    whom,
)
from gateway.identity.claims import CLAIMS_FILE, read_claims
from gateway.identity.locked_file import LockedFileError
from gateway.identity.page_token import TOKEN_FILE, PageToken
from gateway.observe.events import Event


def open_pages(data: Path, address: str, emit: Callable[[Event], None]) -> tuple[Guard, *tuple[Pages, ...]]:
    """The pages on the data folder `data`, served at `address`, and who guards them."""
    token = PageToken(data / TOKEN_FILE)

    def current() -> str:
        with _closed_by_files():
            return token.current()

    guard = Guard(HOUSE, token=current, address=address, witness=Reporter(emit))
    return guard, ClaimsPages(ClaimsDesk(data / CLAIMS_FILE), emit), ViewPages()


class ClaimsDesk:
    """The codes in the file `path`; implements `dashboard.claims.Desk`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def listed(self) -> Sequence[ListedCode]:
        """See Desk."""
        with _closed_by_files():
            codes, _ = read_claims(self._path)
        now = time.time()
        return [
            ListedCode(
                name=code.name,
                kind=code.kind.value,
                state=status_of(code, now),
                whom=whom(code),
                until=until(code),
                boards=tuple(use.device for use in code.uses),
            )
            for code in in_order(codes.by_name.values())
        ]

    def make(self, typed: Mapping[str, str]) -> NewCode:
        """See Desk."""
        try:
            with _closed_by_files():
                made = make_claim(self._path, typed)
        except (TypedError, ClaimsError) as error:
            raise NotDoneError(str(error)) from error
        return NewCode(code=made.shown, name=made.code.name, whom=whom(made.code), until=until(made.code))

    def revoke(self, name: str) -> None:
        """See Desk."""
        try:
            with _closed_by_files():
                revoke_claim(self._path, name)
        except NoSuchCodeError as error:
            raise NotDoneError(str(error)) from error


@contextmanager
def _closed_by_files() -> Iterator[None]:
    try:
        yield
    except LockedFileError as error:
        raise PageClosedError(str(error)) from error
