import asyncio
import json
import stat
from pathlib import Path

import pytest

from edgewire.iothub import sas
from edgewire.message import Identity, identity
from gateway.identity import memory_file, tokens
from gateway.identity.registry import Registry
from gateway.identity.roster import Group, NoCredential, Registration, Roster, SymmetricKeys, Thumbprints
from gateway.identity.tokens import MAX_TOKENS, REFUSED_S, DeviceTokens, PresentedTokens, Token
from gateway.observe.events import Event
from gateway.observe.identity import TokensNotKept

HUB = "hub.example"
NOW = 1_800_000_000.0
KEY, OTHER = b"k" * 32, b"o" * 32
D1 = identity("d1")
M1 = identity("d1", "m1")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def token(who: Identity = D1, life_s: float = 600, key: bytes = KEY) -> Token:
    end = int(NOW + life_s)
    return Token(sas.make(sas.resource_of(HUB, who), key, end), float(end))


class House:
    def __init__(self, folder: Path) -> None:
        self.path = folder / tokens.FILE_NAME
        self.clock = Clock()
        self.events: list[Event] = []
        self.registry = Registry(folder / "devices.json")
        self.presented = self.reopened()
        self.tokens = DeviceTokens(self.registry, self.presented, HUB, self.clock)

    def reopened(self) -> PresentedTokens:
        return PresentedTokens(self.path, self.events.append, self.clock)

    def registered(self, change: Roster) -> None:
        self.registry.edit(lambda _before: change)

    async def saved(self) -> None:
        keeping = asyncio.create_task(self.presented.keep())
        await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.wait([keeping])


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# What a device presented.


def test_a_token_that_was_vouched_for_counts_until_its_end(house: House) -> None:
    mine = token()
    assert house.presented.find(D1) is None
    house.presented.vouch(D1, mine)
    assert house.presented.find(D1) == mine
    assert house.presented.is_vouched(D1, mine.text)
    assert not house.presented.is_vouched(D1, token(key=OTHER).text)
    assert not house.presented.is_vouched(identity("d2"), mine.text)
    house.clock.now = mine.expires_at
    assert house.presented.find(D1) is None


def test_a_newer_token_replaces_the_older_one_and_is_told(house: House) -> None:
    told: list[Identity] = []
    house.presented.listen(told.append)
    for each in (token(), token(), token(life_s=900)):
        house.presented.vouch(D1, each)
    assert told == [D1, D1]
    assert house.presented.find(D1) == token(life_s=900)


def test_a_refused_token_is_remembered_for_a_short_time(house: House) -> None:
    mine = token()
    house.presented.vouch(D1, mine)
    house.presented.refuse(D1, mine.text)
    assert house.presented.find(D1) is None
    assert house.presented.is_refused(mine.text)
    assert not house.presented.is_refused(token(life_s=5).text)
    house.clock.now += REFUSED_S
    assert not house.presented.is_refused(mine.text)
    house.presented.refuse(D1, mine.text)
    house.presented.vouch(D1, mine)
    assert not house.presented.is_refused(mine.text)


def test_the_refusal_of_another_token_leaves_the_good_one(house: House) -> None:
    house.presented.vouch(D1, token())
    house.presented.refuse(D1, token(key=OTHER).text)
    assert house.presented.find(D1) == token()


def test_what_is_kept_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_TOKENS == 10_000
    monkeypatch.setattr(tokens, "MAX_TOKENS", 3)
    monkeypatch.setattr(tokens, "MAX_REFUSED", 3)
    ids = [identity(f"d{number}") for number in range(5)]
    for who in ids[:3]:
        house.presented.vouch(who, token(who))
    assert house.presented.is_vouched(ids[0], token(ids[0]).text)
    for who in ids[3:]:
        house.presented.vouch(who, token(who))
    assert [house.presented.find(who) is not None for who in ids] == [True, False, False, True, True]
    for who in ids:
        house.presented.refuse(who, token(who).text)
    assert [house.presented.is_refused(token(who).text) for who in ids] == [False, False, True, True, True]
    assert len(house.presented) == 0


# The file.


async def test_tokens_survive_in_a_file_that_nobody_else_may_read(house: House) -> None:
    house.presented.vouch(D1, token())
    house.presented.vouch(M1, token(M1))
    house.presented.vouch(identity("gone"), token(identity("gone"), life_s=1))
    house.clock.now += 2
    await house.saved()
    assert stat.S_IMODE(house.path.stat().st_mode) == 0o600
    assert json.loads(house.path.read_bytes())["version"] == 1
    again = house.reopened()
    assert again.find(D1) == token()
    assert again.find(M1) == token(M1)
    assert len(again) == 2
    assert house.events == []


async def test_changes_are_written_while_it_runs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_file, "SAVE_EVERY_S", 0.001)
    keeping = asyncio.create_task(house.presented.keep())
    for life_s in (600, 700):
        house.presented.vouch(D1, token(life_s=life_s))
        async with asyncio.timeout(10):
            while house.reopened().find(D1) != token(life_s=life_s):  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.001)
    keeping.cancel()
    await asyncio.wait([keeping])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2, "tokens": {}}', '{"version": 1, "tokens": []}', '{"tokens": {}}', "\x00"]
)
def test_a_file_that_cannot_be_read_is_told_and_begun_anew(house: House, text: str) -> None:
    house.path.write_text(text)
    assert len(house.reopened()) == 0
    [event] = house.events
    assert isinstance(event, TokensNotKept)
    assert "begun anew" in event.sentence()


@pytest.mark.parametrize("name", ["d 1", "", "d1/m 1", "d1"])
def test_an_entry_that_is_none_is_passed_over(house: House, name: str) -> None:
    house.path.write_text(json.dumps({"version": 1, "tokens": {name: "no token", "d2": token(identity("d2")).text}}))
    again = house.reopened()
    assert len(again) == 1
    assert again.find(identity("d2")) is not None


async def test_a_disk_that_is_full_is_told_once(house: House) -> None:
    house.path.mkdir()
    for life_s in (600, 700):
        house.presented.vouch(D1, token(life_s=life_s))
        await house.saved()
    [event] = house.events
    assert isinstance(event, TokensNotKept)
    assert "cannot be written" in event.sentence()


# Which token there is for a device.


def keys(key: bytes = KEY) -> SymmetricKeys:
    return SymmetricKeys(key, OTHER)


def is_signed(who: Identity, key: bytes, found: Token | None) -> bool:
    assert found is not None
    parsed = sas.parse(found.text)
    assert sas.audience(parsed).covers(who)
    return sas.is_signed_by(parsed, [key])


def test_where_the_key_is_known_a_token_is_made(house: House) -> None:
    house.registered(Roster().with_registration(Registration(D1, keys())))
    house.presented.vouch(D1, token(key=OTHER))
    assert house.tokens.has(D1)
    found = house.tokens.find(D1)
    assert is_signed(D1, KEY, found)
    assert found is not None
    assert found.expires_at == NOW + tokens.MINTED_S


def test_a_key_that_the_hub_does_not_take_gives_way_to_the_other_one(house: House) -> None:
    house.registered(Roster().with_registration(Registration(D1, keys())))
    for key in (KEY, OTHER, KEY):
        found = house.tokens.find(D1)
        assert is_signed(D1, key, found)
        assert found is not None
        house.tokens.refused(D1, found)


def test_a_device_that_came_by_a_group_has_its_derived_key(house: House) -> None:
    groups = [Group("a", keys()), Group("b", keys(OTHER))]
    house.registered(Roster().with_group(groups[0]).with_group(groups[1]))
    assert not house.tokens.has(D1)
    assert house.tokens.find(D1) is None
    house.registry.remember(D1, groups[1])
    assert is_signed(D1, sas.derive_device_key(OTHER, "d1"), house.tokens.find(D1))


def test_a_device_that_topics_name_has_a_token_only_once_it_has_logged_in(house: House) -> None:
    known_by_topics = Registration(D1, NoCredential())
    house.registered(Roster().with_group(Group("a", keys(), id_prefix="d")).with_registration(known_by_topics))
    assert not house.tokens.has(D1), "the group's key would make a stranger of it, or somebody else"
    house.registry.remember(D1, Group("a", keys(), id_prefix="d"))
    assert house.tokens.has(D1)


def test_after_a_restart_the_only_group_that_fits_is_taken(house: House) -> None:
    house.registered(Roster().with_group(Group("a", keys(), id_prefix="d")).with_group(Group("b", keys(), "x")))
    assert house.tokens.has(D1)
    assert is_signed(D1, sas.derive_device_key(KEY, "d1"), house.tokens.find(D1))
    assert not house.tokens.has(M1)
    assert house.tokens.find(identity("other")) is None
    house.presented.vouch(D1, token(key=OTHER))
    assert is_signed(D1, OTHER, house.tokens.find(D1))


def test_a_device_without_a_key_has_its_own_token_or_none(house: House) -> None:
    house.registered(Roster().with_registration(Registration(D1, Thumbprints("A" * 40))))
    assert not house.tokens.has(D1)
    assert not house.tokens.has(M1)
    house.presented.vouch(M1, token(M1))
    assert house.tokens.has(M1)
    assert house.tokens.find(M1) == token(M1)
    house.tokens.refused(M1, token(M1))
    assert not house.tokens.has(M1)


def test_no_token_is_shown() -> None:
    assert "SharedAccess" not in repr(token())
