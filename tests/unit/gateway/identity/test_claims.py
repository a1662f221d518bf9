import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewire.iothub.bootstrap import SecretKind, read_contact, secret_of_code
from gateway.identity.claim_codes import Code, Codes, Use
from gateway.identity.claims import ClaimBook, CodeGoneError, burn, edit_claims, read_claims
from gateway.identity.locked_file import LockedFileError
from gateway.observe.bootstrap import ClaimsUnreadable
from gateway.observe.events import Event
from support.new_board import Board

CODE = Code(name="0a1b2c3d", kind=SecretKind.CLAIM, secret=secret_of_code("ABCDEFGHJKLM"), made_at=1_000)
OTHER = Code(
    name="ffffffff", kind=SecretKind.LABEL, secret=secret_of_code("ABCDEFGHJKLX"), made_at=1_000, device="node-1"
)
USE = Use(device="node-1", nonce="0" * 32, at=1_500)


def unexpected(event: Event) -> None:
    raise AssertionError(event.sentence())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "claims.json"


def adding(*codes: Code) -> Callable[[Codes], Codes]:
    return lambda known: known.with_codes(codes)


def test_no_file_is_no_codes(path: Path) -> None:
    assert read_claims(path) == (Codes(), None)
    book = ClaimBook(path, unexpected)
    book.reload()
    assert book.proven_by(read_contact(Board(device="node-1", secret=CODE.secret).contact())) is None


def test_a_file_of_codes_is_private(path: Path) -> None:
    edit_claims(path, adding(CODE))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_book_follows_its_file(path: Path) -> None:
    book = ClaimBook(path, unexpected)
    for device, secret, known in (
        ("node-1", CODE.secret, CODE),
        ("any", CODE.secret, CODE),
        ("node-1", OTHER.secret, OTHER),
        ("node-2", OTHER.secret, None),
        ("node-1", b"x" * 32, None),
    ):
        edit_claims(path, lambda _: Codes().with_codes([CODE, OTHER]))
        book.reload()
        assert book.proven_by(read_contact(Board(device=device, secret=secret).contact())) == known
    edit_claims(path, lambda codes: codes.without(CODE.name))
    book.reload()
    assert book.proven_by(read_contact(Board(device="any", secret=CODE.secret).contact())) is None


def test_a_file_that_is_broken_is_said_once_and_changes_nothing(path: Path) -> None:
    events: list[Event] = []
    book = ClaimBook(path, events.append)
    edit_claims(path, adding(CODE))
    book.reload()
    path.write_text("{")
    book.reload()
    book.reload()
    assert book.proven_by(read_contact(Board(device="any", secret=CODE.secret).contact())) == CODE
    assert [type(event) for event in events] == [ClaimsUnreadable]
    with pytest.raises(LockedFileError, match="holds no codes"):
        edit_claims(path, adding(OTHER))


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "claims.json").mkdir()
    with pytest.raises(LockedFileError, match="cannot be read"):
        read_claims(tmp_path / "claims.json")


def test_a_code_burns_once(path: Path) -> None:
    edit_claims(path, adding(CODE))
    burn(path, CODE.name, USE)
    burn(path, CODE.name, USE)  # said again
    with pytest.raises(CodeGoneError):
        burn(path, CODE.name, replace(USE, nonce="1" * 32))
    with pytest.raises(CodeGoneError):
        burn(path, CODE.name, replace(USE, device="node-2"))
    assert read_claims(path)[0].by_name[CODE.name].uses == (USE,)


def test_a_code_that_was_revoked_meanwhile_burns_no_more(path: Path) -> None:
    with pytest.raises(CodeGoneError):
        burn(path, CODE.name, USE)
    assert not path.exists()
