import asyncio
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgewire.iothub import sas
from edgewire.iothub.dps import Registrant
from edgewire.message import identity
from gateway.identity import assignments, memory_file
from gateway.identity.assignments import FILE_NAME, Assignment, Assignments
from gateway.identity.registry import Registry
from gateway.identity.roster import Group, Registration, Roster, SymmetricKeys
from gateway.observe.events import Event
from gateway.observe.provisioning import AssignmentsNotKept
from support.gateway_site import until

NOW = 1_800_000_000
REG = Registrant("0ne00ABCDEF", "reg-01")
OWN = b"o" * 32
GROUP = b"g" * 32
STRANGE = b"s" * 32
STATE = {"registrationId": "reg-01", "assignedHub": "hub.test", "deviceId": "pump-7", "status": "assigned"}


def token(key: bytes = OWN, who: Registrant = REG, life_s: int = 3600) -> str:
    return sas.make(str(who), key, NOW + life_s)


@dataclass
class House:
    folder: Path
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registry = Registry(self.folder / "devices.json")

    def open(self) -> Assignments:
        return Assignments(self.folder / FILE_NAME, self.registry, self.events.append, lambda: float(NOW))

    def group(self, **changes: Any) -> None:
        group = Group("meters", SymmetricKeys(GROUP, b"h" * 32), **changes)
        self.registry.edit(lambda roster: Roster(roster.registrations, {"meters": group}))

    def device(self, key: bytes = OWN, *, enabled: bool = True) -> None:
        entry = Registration(identity("reg-01"), SymmetricKeys(key, b"p" * 32), enabled)
        self.registry.edit(partial(Roster.with_registration, registration=entry))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def written(kept: Assignments) -> None:
    """What a gateway that stops writes."""
    keeping = asyncio.ensure_future(kept.keep_written())
    await asyncio.sleep(0)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping


async def test_the_very_token_that_the_service_took_is_proof(house: House) -> None:
    kept = house.open()
    kept.keep(REG, token(), STATE)
    found = kept.recall(REG, token())
    assert found is not None
    assert (found.state, found.kept_at) == (STATE, NOW)
    assert kept.recall(Registrant("0NE00abcdef", "REG-01"), token()) is not None  # compared without case


@pytest.mark.parametrize("other", [token(STRANGE), token(life_s=7200), token()[:-1] + "1"])
async def test_another_token_is_none_even_of_the_same_key(house: House, other: str) -> None:
    kept = house.open()
    kept.keep(REG, token(), STATE)
    assert kept.recall(REG, other) is None


async def test_nobody_elses_answer_is_given(house: House) -> None:
    kept = house.open()
    kept.keep(REG, token(), STATE)
    assert kept.recall(Registrant(REG.scope, "reg-02"), token()) is None
    assert kept.recall(Registrant("0ne00OTHER", REG.registration), token()) is None


async def test_a_group_that_is_known_here_vouches_for_new_tokens(house: House) -> None:
    house.group()
    kept, derived = house.open(), sas.derive_device_key(GROUP, "reg-01")
    kept.keep(REG, token(derived), STATE)
    assert kept.recall(REG, token(derived, life_s=7200)) is not None
    assert kept.recall(REG, token(STRANGE)) is None
    assert kept.recall(REG, token(sas.derive_device_key(GROUP, "reg-02"))) is None


async def test_a_group_that_did_not_sign_what_the_service_took_vouches_for_nothing(house: House) -> None:
    """Else who has the group's key could hear of a device that is enrolled by itself, with a key of its own."""
    house.group()
    kept = house.open()
    kept.keep(REG, token(STRANGE), STATE)
    assert kept.recall(REG, token(sas.derive_device_key(GROUP, "reg-01"))) is None
    assert kept.recall(REG, token(STRANGE)) is not None


async def test_a_group_vouches_no_more_when_it_is_disabled_or_for_other_ids(house: House) -> None:
    house.group()
    kept, derived = house.open(), sas.derive_device_key(GROUP, "reg-01")
    kept.keep(REG, token(derived), STATE)
    house.group(enabled=False)
    assert kept.recall(REG, token(derived, life_s=7200)) is None
    house.group(id_prefix="meter-")
    assert kept.recall(REG, token(derived, life_s=7200)) is None


async def test_a_devices_own_key_here_vouches_too(house: House) -> None:
    house.device()
    kept = house.open()
    kept.keep(REG, token(), STATE)
    assert kept.recall(REG, token(life_s=7200)) is not None
    house.device(enabled=False)
    assert kept.recall(REG, token(life_s=7200)) is None


async def test_groups_that_derive_from_small_letters_are_known(house: House) -> None:
    house.group()
    who = Registrant(REG.scope, "REG-01")
    kept, derived = house.open(), sas.derive_device_key(GROUP, "reg-01")
    kept.keep(who, token(derived, who), STATE)
    assert kept.recall(who, token(derived, who, 7200)) is not None


async def test_what_the_service_refuses_is_forgotten_for_who_can_prove_it_and_nobody_else(house: House) -> None:
    kept = house.open()
    kept.keep(REG, token(), STATE)
    kept.refuse(REG, token(STRANGE))
    assert kept.recall(REG, token()) is not None
    kept.refuse(REG, token())
    assert kept.recall(REG, token()) is None
    assert len(kept) == 0


async def test_a_newer_one_takes_the_place_of_the_old_one(house: House) -> None:
    kept = house.open()
    kept.keep(REG, token(), STATE)
    kept.keep(REG, token(life_s=60), STATE | {"assignedHub": "hub-2.test"})
    assert kept.recall(REG, token()) is None
    found = kept.recall(REG, token(life_s=60))
    assert found is not None
    assert found.state["assignedHub"] == "hub-2.test"


async def test_what_is_too_large_is_not_kept_and_neither_is_what_was_before(house: House) -> None:
    kept = house.open()
    kept.keep(REG, token(), STATE)
    kept.keep(REG, token(), STATE | {"payload": "x" * assignments.MAX_STATE_BYTES})
    assert len(kept) == 0


async def test_the_one_that_was_asked_for_longest_ago_is_forgotten(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignments, "MAX_ASSIGNMENTS", 2)
    kept = house.open()
    who = [Registrant("s", name) for name in ("a", "b", "c")]
    for each in who[:2]:
        kept.keep(each, token(who=each), STATE)
    kept.recall(who[0], token(who=who[0]))
    kept.keep(who[2], token(who=who[2]), STATE)
    assert [kept.recall(each, token(who=each)) is not None for each in who] == [True, False, True]


async def test_a_restart_forgets_nothing_and_the_file_holds_no_token(house: House) -> None:
    kept = house.open()
    kept.keep(REG, token(), STATE)
    await written(kept)
    file = house.folder / FILE_NAME
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert sas.parse(token()).signature not in text
    assert "SharedAccess" not in text
    assert set(json.loads(text)["assignments"][0]) == {
        "scope", "registration", "state", "kept_at", "salt", "hash", "known",
    }  # fmt: skip
    again = house.open()
    found = again.recall(REG, token())
    assert found is not None
    assert found.state == STATE
    assert again.recall(REG, token(STRANGE)) is None
    assert house.events == []


async def test_nothing_is_written_where_nothing_changed(house: House) -> None:
    await written(house.open())
    assert not (house.folder / FILE_NAME).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "assignments": [{}]}', "null"])
async def test_a_file_that_cannot_be_read_is_begun_anew(house: House, text: str) -> None:
    (house.folder / FILE_NAME).write_text(text)
    assert len(house.open()) == 0
    assert [type(event) for event in house.events] == [AssignmentsNotKept]


async def test_a_file_that_cannot_be_written_is_told_once(house: House) -> None:
    kept = Assignments(house.folder / "none" / FILE_NAME, house.registry, house.events.append, lambda: 0.0)
    for _ in range(2):
        kept.keep(REG, token(), STATE)
        await written(kept)
    assert [type(event) for event in house.events] == [AssignmentsNotKept]
    assert kept.recall(REG, token()) is not None


async def test_a_change_is_written_while_the_gateway_runs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_file, "SAVE_EVERY_S", 0.0)
    kept = house.open()
    keeping = asyncio.ensure_future(kept.keep_written())
    kept.keep(REG, token(), STATE)
    async with asyncio.timeout(10):
        await until((house.folder / FILE_NAME).exists)
    keeping.cancel()
    assert house.open().recall(REG, token()) is not None


def test_nothing_secret_is_shown() -> None:
    shown = repr(Assignment(registrant=REG, state=STATE, kept_at=0.0, salt=b"salty", hash=b"hashy", known=True))
    assert "salty" not in shown
    assert "hashy" not in shown
