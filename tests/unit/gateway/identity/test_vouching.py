import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewire.iothub import sas
from edgewire.message import Identity, identity
from gateway.identity import vouching
from gateway.identity.tokens import PresentedTokens, Token
from gateway.identity.vouching import Vouchers, Vouching

NOW = 1_800_000_000.0
D1 = identity("d1")


def token(who: Identity = D1, key: bytes = b"k" * 32) -> Token:
    end = int(NOW) + 600
    return Token(sas.make(sas.resource_of("hub.example", who), key, end), float(end))


class ScriptedVoucher:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[Identity, Callable[[Vouching], None]]] = []

    def ask(self, who: Identity, token: Token, answer: Callable[[Vouching], None]) -> None:
        assert token.text
        self.asked.append((who, answer))

    def answer(self, vouched: Vouching) -> None:
        self.asked.pop(0)[1](vouched)


class House:
    def __init__(self, folder: Path) -> None:
        self.presented = PresentedTokens(folder / "tokens.json", lambda _event: None, lambda: NOW)
        self.voucher = ScriptedVoucher()
        self.vouchers = Vouchers(self.presented, self.voucher)
        self.told: list[str] = []

    def ask(self, who: Identity = D1, *, key: bytes = b"k" * 32, address: str = "10.0.0.1", name: str = "x") -> None:
        self.vouchers.ask(who, token(who, key), address, lambda: self.told.append(name))

    async def heard(self) -> list[str]:
        for _ in range(3):
            await asyncio.sleep(0)
        return self.told


@pytest.fixture
async def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize(
    ("said", "known"), [(Vouching.GOOD, Vouching.GOOD), (Vouching.REFUSED, Vouching.REFUSED), (Vouching.AWAY, None)]
)
async def test_what_the_hub_said_is_remembered(house: House, said: Vouching, known: Vouching | None) -> None:
    assert house.vouchers.known(D1, token().text) is None
    house.ask()
    assert await house.heard() == []
    house.voucher.answer(said)
    assert await house.heard() == ["x"]
    assert house.vouchers.known(D1, token().text) is known
    assert house.vouchers.known(D1, token(key=b"o" * 32).text) is None


async def test_the_same_question_is_asked_once(house: House) -> None:
    for number in range(vouching.MAX_WAITING_PER_QUESTION + 1):
        house.ask(name=f"{number}")
    assert len(house.voucher.asked) == 1
    assert await house.heard() == [f"{vouching.MAX_WAITING_PER_QUESTION}"]
    house.voucher.answer(Vouching.GOOD)
    assert len(await house.heard()) == vouching.MAX_WAITING_PER_QUESTION + 1


async def test_questions_of_one_address_and_of_all_are_bounded(house: House) -> None:
    for number in range(vouching.MAX_ASKED_PER_ADDRESS + 3):
        house.ask(identity(f"a{number}"))
    assert len(house.voucher.asked) == vouching.MAX_ASKED_PER_ADDRESS
    for number in range(vouching.MAX_ASKED):
        house.ask(identity(f"b{number}"), address=f"10.0.1.{number}")
    assert len(house.voucher.asked) == vouching.MAX_ASKED
    assert len(await house.heard()) == vouching.MAX_ASKED_PER_ADDRESS + 3
    house.voucher.answer(Vouching.GOOD)
    house.ask(identity("late"))
    assert len(house.voucher.asked) == vouching.MAX_ASKED


async def test_who_is_refused_too_often_is_not_asked_about_and_the_others_are(house: House) -> None:
    for number in range(vouching.ADDRESS_REFUSALS):
        house.ask(identity(f"a{number}"))
        house.voucher.answer(Vouching.REFUSED)
    house.ask(identity("one-more"))
    assert house.voucher.asked == []
    house.ask(identity("other"), address="10.0.0.2")
    assert [who for who, _ in house.voucher.asked] == [identity("other")]


async def test_refusals_of_many_addresses_together_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vouching, "MAX_ADDRESSES", 2)
    for number in range(vouching.TOTAL_REFUSALS):
        house.ask(identity(f"a{number}"), address=f"10.0.{number // 250}.{number % 250}")
        house.voucher.answer(Vouching.REFUSED)
    house.ask(identity("one-more"), address="10.9.9.9")
    assert house.voucher.asked == []


async def test_refusals_are_forgiven_one_by_one(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vouching, "ADDRESS_RECOVERY_S", 0.02)
    for number in range(vouching.ADDRESS_REFUSALS):
        house.ask(identity(f"a{number}"))
        house.voucher.answer(Vouching.REFUSED)
    await asyncio.sleep(0.05)
    house.ask(identity("later"))
    assert len(house.voucher.asked) == 1
