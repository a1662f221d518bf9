from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.app.minting import Passwords, read_proofs
from gateway.app.settings import ConfigError
from gateway.identity.passwords import hash_password
from gateway.identity.user_book import USERS_FILE, edit_users
from gateway.identity.users import User, parse_network
from gateway.observe.broker import UsersUnreadable
from gateway.observe.events import Event
from gateway.observe.publishers import MintProof, MintRefusal

ADDRESS = "10.0.0.1"


@pytest.mark.parametrize(
    ("text", "proofs"),
    [
        ("key", {MintProof.KEY}),
        ("none", set()),
        ("password, certificate,key", set(MintProof)),
    ],
)
def test_proofs_are_named_with_commas(text: str, proofs: set[MintProof]) -> None:
    assert read_proofs(text) == proofs


@pytest.mark.parametrize(("text", "hint"), [("keys", "did you mean key?"), ("key,none", "or none"), ("", "or none")])
def test_a_proof_that_is_none_is_said(text: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="write key, certificate, password") as refused:
        read_proofs(text)
    assert hint in str(refused.value)


class Users:
    def __init__(self, folder: Path) -> None:
        self.events: list[Event] = []
        self.path = folder / USERS_FILE
        self.passwords = Passwords(folder, self.events.append)

    def add(self, user: User) -> None:
        edit_users(self.path, lambda users: users.with_user(user))


@pytest.fixture
async def users(tmp_path: Path) -> AsyncIterator[Users]:
    users = Users(tmp_path)
    yield users
    users.passwords.close()


async def test_the_password_of_a_user_is_a_proof_from_where_the_user_may_come(users: Users) -> None:
    users.passwords.close()  # nobody has asked yet
    users.add(User(name="pump", password=hash_password(b"open sesame")))
    users.add(User(name="valve", password=hash_password(b"x"), networks=(parse_network("10.9.0.0/16"),)))
    users.add(User(name="open", networks=(parse_network("10.0.0.0/8"),)))
    assert await users.passwords("pump", "open sesame", ADDRESS) is None
    for name, password in (("pump", "wrong"), ("valve", "x"), ("open", "anything"), ("nobody", "x")):
        assert await users.passwords(name, password, ADDRESS) is MintRefusal.WRONG_PASSWORD


async def test_users_that_cannot_be_read_prove_nothing_now(users: Users) -> None:
    users.path.write_text("{}")
    assert await users.passwords("pump", "x", ADDRESS) is MintRefusal.BUSY
    assert [type(event) for event in users.events] == [UsersUnreadable]
