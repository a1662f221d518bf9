"""What conversations do not reach: the bounds of who waits, and what happens to the book meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.identity import gatekeeper
from gateway.identity.gatekeeper import Gatekeeper, Knock, TurnedAway, Verdict
from gateway.identity.user_book import UserBook, edit_users
from gateway.identity.users import User
from gateway.observe.broker import PlainRefusal
from support.plain_site import PASSWORD, user, write_users


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_users(tmp_path, user("ann"), user("bob"))
    return tmp_path


@pytest.fixture
async def keeper(data: Path) -> AsyncIterator[Gatekeeper]:
    loop = asyncio.get_running_loop()
    made = Gatekeeper(UserBook(data / "users.json", lambda _: None), loop.call_soon_threadsafe)
    yield made
    made.close()


def knock(name: str = "ann", password: bytes = PASSWORD, address: str = "10.0.0.1") -> Knock:
    return Knock(user=name, password=password, address=address, now=0.0)


async def verdict(keeper: Gatekeeper, one: Knock) -> Verdict:
    found: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    keeper.judge(one, found.set_result)
    return await asyncio.wait_for(found, 20)


async def test_a_password_that_was_right_is_known_at_once_until_it_changes(keeper: Gatekeeper, data: Path) -> None:
    assert isinstance(await verdict(keeper, knock()), User)
    at_once: list[Verdict] = []
    keeper.judge(knock(), at_once.append)
    assert isinstance(at_once[0], User)
    edit_users(data / "users.json", lambda users: users.with_user(user("ann", password=None)))
    assert await verdict(keeper, knock()) == TurnedAway(PlainRefusal.FOREIGN_ADDRESS)


async def test_who_guesses_from_one_address_takes_no_places_of_others(
    keeper: Gatekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatekeeper, "MAX_WAITING_PER_ADDRESS", 2)
    monkeypatch.setattr(gatekeeper, "MAX_WAITING", 3)
    verdicts: list[Verdict] = []
    for _ in range(3):
        keeper.judge(knock(password=b"x"), verdicts.append)
    assert verdicts == [TurnedAway(PlainRefusal.BUSY)]
    keeper.judge(knock("bob", address="10.0.0.2"), verdicts.append)
    keeper.judge(knock("bob", address="10.0.0.3"), verdicts.append)
    assert verdicts == [TurnedAway(PlainRefusal.BUSY)] * 2
    async with asyncio.timeout(20):
        while len(verdicts) < 5:  # noqa: ASYNC110 — the thread tells by callbacks alone
            await asyncio.sleep(0.01)
    assert isinstance(verdicts[-1], User)
    assert keeper._waiting == {}


async def test_a_user_who_changes_while_it_is_judged_is_judged_anew(keeper: Gatekeeper, data: Path) -> None:
    found: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    keeper.judge(knock(), found.set_result)
    edit_users(data / "users.json", lambda users: users.with_user(user("ann", publish=[])))
    keeper._book.reload()
    assert await asyncio.wait_for(found, 20) == TurnedAway(PlainRefusal.BUSY)


async def test_without_memory_for_it_nobody_is_let_in(keeper: Gatekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("hashlib.scrypt", fail)
    assert await verdict(keeper, knock()) == TurnedAway(PlainRefusal.BUSY)


async def test_no_password_is_in_what_is_shown() -> None:
    assert "tiger" not in repr(knock())
