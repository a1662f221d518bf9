from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgewire.iothub.bootstrap import SecretKind, read_contact
from edgewire.message import identity
from gateway.identity import reception as reception_module
from gateway.identity.claim_codes import Code, Codes
from gateway.identity.claims import CodeGoneError, edit_claims, read_claims
from gateway.identity.limiter import PAIR_BURST
from gateway.identity.makers import TakenError
from gateway.identity.reception import REPEAT_S, NotAdmitted, Reception, Ticket
from gateway.identity.registry import Registry
from gateway.identity.roster import CaSigned, Credential, Group, NoCredential, Registration, Roster, SymmetricKeys
from gateway.observe.bootstrap import ContactRefusal
from gateway.observe.events import Event
from gateway.observe.head import DeviceConnected
from support.new_board import Board, group_secret, secret_of

NOW = 1_900_000_000.0
ADDRESS = "10.0.0.1"
NONCE = "0123456789abcdef" * 2
KEYS = SymmetricKeys(b"0123456789abcdef" * 2, b"fedcba9876543210" * 2)
GROUP = Group("site", SymmetricKeys(b"g" * 64, b"h" * 64), "fleet-")
CODE = Code(name="0a1b2c3d", kind=SecretKind.CLAIM, secret=secret_of("ABCD-EFGH-JKLM"), made_at=NOW)
BOARD = Board(device="node-1", secret=CODE.secret)


class Desk:
    """A reception and its folder."""

    def __init__(self, folder: Path) -> None:
        self.events: list[Event] = []
        self.folder = folder
        self.registry = Registry(folder / "devices.json")
        self.start()

    def start(self) -> None:
        """As a gateway that begins anew."""
        self.registry = Registry(self.folder / "devices.json")
        self.reception = Reception(self.registry, self.folder, self.events.append)

    def codes(self, *codes: Code) -> None:
        edit_claims(self.folder / "claims.json", lambda _: Codes().with_codes(codes))

    def edit(self, change: Callable[[Roster], Roster]) -> None:
        Registry(self.folder / "devices.json").edit(change)

    def register(self, device: str, credential: Credential = KEYS, *, enabled: bool = True) -> None:
        entry = Registration(identity(device), credential, enabled)
        self.edit(partial(Roster.with_registration, registration=entry))

    def judge(self, board: Board = BOARD, now: float = NOW, nonce: str = NONCE, **changes: Any) -> Any:
        return self.reception.judge(read_contact(board.contact(nonce, **changes)), ADDRESS, now)

    def admit(self, board: Board = BOARD, now: float = NOW, nonce: str = NONCE) -> bytes:
        ticket = self.judge(board, now, nonce)
        assert isinstance(ticket, Ticket), ticket
        key = self.reception.admit(ticket, now)
        self.reception.admitted(ticket)
        return key

    def refusal(self, board: Board = BOARD, now: float = NOW, nonce: str = NONCE, **changes: Any) -> ContactRefusal:
        verdict = self.judge(board, now, nonce, **changes)
        assert isinstance(verdict, NotAdmitted), verdict
        return verdict.reason

    def key_of(self, device: str) -> bytes:
        found = Registry(self.folder / "devices.json").find(identity(device))
        assert found is not None
        assert isinstance(found.credential, SymmetricKeys)
        return found.credential.primary


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.codes(CODE)
    return desk


# --- codes ---


def test_a_board_with_a_code_gets_a_new_key_that_the_registry_knows(desk: Desk) -> None:
    key = desk.admit()
    assert key == desk.key_of("node-1")
    (use,) = read_claims(desk.folder / "claims.json")[0].by_name[CODE.name].uses
    assert (use.device, use.nonce, use.at) == ("node-1", NONCE, NOW)


@pytest.mark.parametrize("kind", ["claim", "label"])
def test_a_code_is_a_code_typed_or_printed(desk: Desk, kind: str) -> None:
    assert isinstance(desk.judge(replace(BOARD, kind=kind)), Ticket)


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"mac": "0" * 64}, {}, ContactRefusal.WRONG_SECRET),
        ({"kind": "group"}, {}, ContactRefusal.WRONG_SECRET),
        ({"registrationId": "node-2"}, {}, ContactRefusal.WRONG_SECRET),
        ({}, {"device": "node-2"}, ContactRefusal.WRONG_SECRET),
        ({}, {"expires_at": NOW}, ContactRefusal.EXPIRED),
        ({}, {"model": "esp32"}, ContactRefusal.WRONG_BOARD),
        ({}, {"id_prefix": "sensor-"}, ContactRefusal.WRONG_BOARD),
        ({}, {"device": "node-1", "group": "gone"}, ContactRefusal.DISABLED),
    ],
)
def test_who_gets_nothing(desk: Desk, changes: Any, code: Any, reason: ContactRefusal) -> None:
    desk.codes(replace(CODE, **code))
    assert desk.refusal(**changes) is reason
    assert not (desk.folder / "devices.json").exists()


def test_a_proof_is_for_one_nonce(desk: Desk) -> None:
    said = BOARD.contact(NONCE).replace(NONCE.encode(), b"f" * 32)
    verdict = desk.reception.judge(read_contact(said), ADDRESS, NOW)
    assert verdict == NotAdmitted(ContactRefusal.WRONG_SECRET)


def test_a_code_is_good_once(desk: Desk) -> None:
    desk.admit()
    other = replace(BOARD, device="node-2")
    assert desk.refusal(other) is ContactRefusal.USED
    assert desk.refusal(other, now=NOW + 2 * REPEAT_S) is ContactRefusal.USED


def test_a_code_may_be_good_for_many(desk: Desk) -> None:
    desk.codes(replace(CODE, boards=2))
    first, second = (desk.admit(replace(BOARD, device=device)) for device in ("node-1", "node-2"))
    assert first != second
    assert desk.refusal(replace(BOARD, device="node-3")) is ContactRefusal.USED


def test_who_shares_a_code_cannot_take_over_anothers_device(desk: Desk) -> None:
    desk.codes(replace(CODE, boards=3))
    key = desk.admit()
    desk.reception.on_event(DeviceConnected("node-1", ADDRESS))
    assert desk.refusal(nonce="f" * 32) is ContactRefusal.TAKEN
    assert desk.key_of("node-1") == key


def test_a_lost_answer_is_given_again_after_a_restart_too(desk: Desk) -> None:
    key = desk.admit()
    desk.start()
    assert desk.admit(now=NOW + REPEAT_S - 1) == key
    assert desk.refusal(now=NOW + REPEAT_S) is ContactRefusal.USED


def test_a_board_that_asks_anew_gets_its_answer_until_it_connects(desk: Desk) -> None:
    key = desk.admit()
    assert desk.admit(nonce="f" * 32, now=NOW + 5) == key
    desk.reception.on_event(DeviceConnected("node-2", ADDRESS))
    assert desk.admit(nonce="e" * 32, now=NOW + 10) == key
    desk.reception.on_event(DeviceConnected("node-1", ADDRESS))
    assert desk.refusal(nonce="d" * 32, now=NOW + 11) is ContactRefusal.USED


def test_asking_anew_has_its_time_and_ends_with_the_gateway(desk: Desk) -> None:
    desk.admit()
    assert desk.refusal(nonce="f" * 32, now=NOW + REPEAT_S) is ContactRefusal.USED
    desk.start()
    assert desk.refusal(nonce="f" * 32, now=NOW + 5) is ContactRefusal.USED


def test_how_many_boards_are_awaited_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception_module, "MAX_AWAITED", 1)
    desk.codes(replace(CODE, boards=2))
    for device in ("node-1", "node-2"):
        desk.admit(replace(BOARD, device=device))
    assert desk.refusal(nonce="f" * 32) is ContactRefusal.USED
    desk.admit(replace(BOARD, device="node-2"), nonce="f" * 32)


def test_a_crash_between_code_and_identity_costs_nothing(desk: Desk) -> None:
    desk.admit()
    (desk.folder / "devices.json").unlink()
    desk.start()
    assert desk.admit() == desk.key_of("node-1")


def test_two_boards_with_one_code_at_once_are_one_board(desk: Desk) -> None:
    first, second = (desk.judge(replace(BOARD, device=device)) for device in ("node-1", "node-2"))
    desk.reception.admit(first, NOW)
    with pytest.raises(CodeGoneError):
        desk.reception.admit(second, NOW)
    assert Registry(desk.folder / "devices.json").find(identity("node-2")) is None


def test_an_id_that_is_taken_meanwhile_stays_the_others(desk: Desk) -> None:
    ticket = desk.judge()
    desk.register("node-1")
    with pytest.raises(TakenError):
        desk.reception.admit(ticket, NOW)
    assert desk.key_of("node-1") == KEYS.primary


@pytest.mark.parametrize(
    ("credential", "enabled", "device"),
    [(KEYS, True, ""), (CaSigned(), True, "node-1"), (KEYS, False, "node-1")],
)
def test_no_code_takes_the_id_of_another(desk: Desk, credential: Credential, device: str, *, enabled: bool) -> None:
    desk.codes(replace(CODE, device=device))
    desk.register("node-1", credential, enabled=enabled)
    assert desk.refusal() is ContactRefusal.TAKEN


def test_an_id_that_only_topics_used_is_nobodys(desk: Desk) -> None:
    desk.codes(CODE)
    desk.register("node-1", NoCredential())
    key = desk.admit()
    entry = Registry(desk.folder / "devices.json").find(identity("node-1"))
    assert entry is not None
    assert isinstance(entry.credential, SymmetricKeys)
    assert entry.credential.primary == key


def test_a_code_that_names_its_board_renews_its_key(desk: Desk) -> None:
    desk.register("node-1")
    desk.codes(replace(CODE, device="node-1"))
    key = desk.admit()
    assert key == desk.key_of("node-1") != KEYS.primary
    assert desk.admit() == key  # said again: no second new key


def test_a_code_that_names_no_board_takes_none_from_a_group(desk: Desk) -> None:
    desk.edit(lambda roster: roster.with_group(GROUP))
    fleet = replace(BOARD, device="fleet-1")
    assert desk.refusal(fleet) is ContactRefusal.TAKEN
    desk.edit(lambda roster: roster.with_group(replace(GROUP, id_prefix="")))
    assert isinstance(desk.judge(fleet), Ticket)
    desk.registry.remember(identity("fleet-1"), GROUP)
    assert desk.refusal(fleet) is ContactRefusal.TAKEN
    desk.codes(replace(CODE, device="fleet-1"))
    assert isinstance(desk.judge(fleet), Ticket)


def test_a_code_may_give_the_key_that_a_group_derives(desk: Desk) -> None:
    desk.edit(lambda roster: roster.with_group(GROUP))
    desk.codes(replace(CODE, device="fleet-1", group="site"))
    board = replace(BOARD, device="fleet-1")
    assert desk.admit(board) == group_secret(b"g" * 64, "fleet-1")
    assert desk.admit(board) == group_secret(b"g" * 64, "fleet-1")
    assert desk.registry.roster.registrations == {}


def test_a_group_that_is_disabled_or_overruled_gives_no_keys(desk: Desk) -> None:
    desk.codes(replace(CODE, device="fleet-1", group="site"))
    board = replace(BOARD, device="fleet-1")
    desk.edit(lambda roster: roster.with_group(replace(GROUP, enabled=False)))
    assert desk.refusal(board) is ContactRefusal.DISABLED
    desk.edit(lambda roster: roster.with_group(GROUP))
    desk.register("fleet-1")
    assert desk.refusal(board) is ContactRefusal.TAKEN


# --- groups ---

MEMBER = Board(device="fleet-1", secret=group_secret(b"g" * 64, "fleet-1"), kind="group")


@pytest.mark.parametrize("key", [b"g" * 64, b"h" * 64])
def test_a_board_of_a_group_keeps_the_key_that_it_has(desk: Desk, key: bytes) -> None:
    desk.edit(lambda roster: roster.with_group(GROUP))
    secret = group_secret(key, "fleet-1")
    board = replace(MEMBER, secret=secret)
    assert desk.admit(board) == secret
    assert desk.admit(board, nonce="f" * 32, now=NOW + 1e6) == secret


def test_a_group_admits_only_its_own(desk: Desk) -> None:
    assert desk.refusal(MEMBER) is ContactRefusal.WRONG_SECRET
    desk.edit(lambda roster: roster.with_group(GROUP))
    assert desk.refusal(replace(MEMBER, secret=b"g" * 64)) is ContactRefusal.WRONG_SECRET
    assert desk.refusal(replace(MEMBER, device="fleet-2")) is ContactRefusal.WRONG_SECRET
    other = replace(MEMBER, device="other-1", secret=group_secret(b"g" * 64, "other-1"))
    assert desk.refusal(other) is ContactRefusal.WRONG_SECRET
    assert desk.refusal(replace(MEMBER, kind="label")) is ContactRefusal.WRONG_SECRET
    desk.register("fleet-1")
    assert desk.refusal(MEMBER) is ContactRefusal.TAKEN
    desk.edit(lambda roster: roster.with_group(replace(GROUP, enabled=False)))
    assert desk.refusal(MEMBER) is ContactRefusal.DISABLED


def test_a_board_is_let_in_again_by_a_back_end_that_was_built_anew(tmp_path: Path) -> None:
    keys = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        desk = Desk(folder)
        desk.edit(lambda roster: roster.with_group(GROUP))
        keys.append(desk.admit(MEMBER))
    assert keys == [MEMBER.secret] * 2


# --- guessing ---


def test_a_thousand_guesses_are_slowed_and_the_real_board_is_not(desk: Desk) -> None:
    guess = replace(BOARD, secret=b"x" * 32)
    holds = [desk.judge(guess).hold_s for _ in range(1_000)]
    assert holds[:PAIR_BURST] == [0.0] * PAIR_BURST
    assert holds[-1] == 5.0
    assert sum(holds) > 4_900
    assert isinstance(desk.judge(), Ticket)


def test_guessing_under_many_names_is_slowed_too(desk: Desk) -> None:
    guesses = (desk.judge(Board(device=f"n-{n}", secret=b"x" * 32)) for n in range(1_000))
    assert sum(guess.hold_s for guess in guesses) > 3_900


def test_being_refused_for_another_reason_is_slowed_alike(desk: Desk) -> None:
    desk.codes(replace(CODE, expires_at=NOW))
    assert [desk.judge().hold_s for _ in range(PAIR_BURST + 1)][-1] > 0


# --- the time ---


def test_what_proves_the_time_to_a_device(desk: Desk) -> None:
    desk.edit(lambda roster: roster.with_group(GROUP))
    desk.register("node-1")
    desk.register("fleet-2", CaSigned())
    secret_of_device = desk.reception.secret_of
    assert secret_of_device("node-1") == KEYS.primary
    assert secret_of_device("fleet-1") == MEMBER.secret
    assert secret_of_device("nobody") == secret_of_device("nobody") != secret_of_device("nobody-2")
    assert secret_of_device("fleet-2") not in (group_secret(b"g" * 64, "fleet-2"), KEYS.primary)
