import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewire.iothub import sas
from edgewire.message import Identity, identity
from gateway.identity.authenticator import Authenticator
from gateway.identity.certificates import TrustBundle
from gateway.identity.credentials import Admitted, Claim, LoginMethod, RefusalReason, Refused
from gateway.identity.limiter import PAIR_BURST
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.revocation import Revocations, WhenOld, read_lists
from gateway.identity.roster import CaSigned, Group, NoCredential, Registration, Roster, SymmetricKeys, Thumbprints
from gateway.identity.tokens import PresentedTokens, Token
from gateway.identity.vouching import Vouchers, Vouching
from issuing import CLIENT, DAY, NOON, SERVER, Issued, authority, issue
from project_sources import ROOT as PROJECT
from support.revocation import revocation_list

VECTORS: dict[str, Any] = json.loads((PROJECT / "tests/vectors/sas.json").read_text())
HUB = "contoso-hub.azure-devices.net"
GATEWAY = "pi.local"
NOW = 1_800_000_000.0
EXPIRY = 1_900_000_000
KEYS = SymmetricKeys(b"0123456789abcdef" * 2, b"fedcba9876543210" * 2)
MODULE_KEYS = SymmetricKeys(b"module key, thirty-two bytes long", b"module key, the other one, longer")
OTHER_KEYS = SymmetricKeys(b"another device's key of 32 bytes.", b"another device's key, its second.")
GROUP_KEYS = SymmetricKeys(b"group key " * 5, b"group key, the second " * 2)

ROOT = authority("root")
CAMERA = issue("anything", usages=(SERVER,))
CAMERA_NEXT = issue("anything")
PUMP = issue("pump", by=ROOT, usages=(CLIENT,))

LEAF, DEV1, DEV10 = identity("leaf-01"), identity("dev1"), identity("dev10")
OFF, CAM, PUMP_ID = identity("off"), identity("cam"), identity("pump")
MODULE, CAM_MODULE, OFF_MODULE = identity("leaf-01", "m"), identity("cam", "m"), identity("off", "m")


def thumbprint(issued: Issued) -> str:
    return issued.certificate.fingerprint(hashes.SHA1()).hex().upper()


def thumbprint_256(issued: Issued) -> str:
    return issued.certificate.fingerprint(hashes.SHA256()).hex().upper()


ENTRIES = (
    Registration(CAM, Thumbprints(thumbprint(CAMERA), thumbprint_256(CAMERA_NEXT))),
    Registration(LEAF, KEYS),
    Registration(identity("edge-01"), OTHER_KEYS),
    Registration(identity("edge-01", "gateway"), KEYS),
    Registration(identity("a*b=c@1"), KEYS),
    Registration(MODULE, MODULE_KEYS),
    Registration(DEV1, KEYS),
    Registration(DEV10, OTHER_KEYS),
    Registration(OFF, KEYS, enabled=False),
    Registration(OFF_MODULE, MODULE_KEYS),
    Registration(CAM_MODULE, MODULE_KEYS),
    Registration(PUMP_ID, CaSigned()),
)
GROUPS = (Group("boards", GROUP_KEYS, "board-"), Group("closed", KEYS, "closed-", enabled=False))
ROSTER = Roster({entry.identity: entry for entry in ENTRIES}, {group.name: group for group in GROUPS})


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / FILE_NAME)
    registry.edit(lambda _: ROSTER)
    return registry


@pytest.fixture
def authenticator(registry: Registry) -> Authenticator:
    return Authenticator(registry, [HUB, GATEWAY], TrustBundle(ROOT.pem))


def token_for(who: Identity, key: bytes, *, hub: str = HUB, expires_at: int = EXPIRY, policy: str | None = None) -> str:
    return sas.make(sas.resource_of(hub, who), key, expires_at, policy)


def claim(
    who: Identity,
    token: str | None = None,
    *certificates: Issued,
    hub: str = HUB,
    now: float = NOW,
    address: str = "10.0.0.9",
) -> Claim:
    ders = tuple(issued.der for issued in certificates)
    return Claim(identity=who, hub=hub, token=token, certificates=ders, now=now, address=address)


def group_key(device: str, key: bytes = GROUP_KEYS.primary) -> bytes:
    return sas.derive_device_key(key, device)


# --- tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [row for row in VECTORS["good"] if "device" in row], ids=lambda row: row["rule"])
def test_the_tokens_of_official_clients_are_let_in(authenticator: Authenticator, row: dict[str, str]) -> None:
    who = identity(row["device"], row.get("module"))
    verdict = authenticator.authenticate(claim(who, row["token"]))
    assert verdict == Admitted(who, EXPIRY + 300.0, LoginMethod.SYMMETRIC_KEY)


@pytest.mark.parametrize("row", VECTORS["wrong"] + VECTORS["signatures"], ids=lambda row: row["rule"])
def test_wrong_signatures_are_refused(authenticator: Authenticator, row: dict[str, str]) -> None:
    assert isinstance(authenticator.authenticate(claim(LEAF, row["token"])), Refused)


@pytest.mark.parametrize("row", VECTORS["malformed"], ids=lambda row: row["rule"])
def test_malformed_tokens_are_refused(authenticator: Authenticator, row: dict[str, str]) -> None:
    reason = RefusalReason.MALFORMED_TOKEN if row["token"] else RefusalReason.NO_CREDENTIALS
    assert authenticator.authenticate(claim(LEAF, row["token"])) == Refused(reason)


BOARD = identity("board-7")
R = RefusalReason
TOKENS: list[tuple[str, Identity, str | None, LoginMethod | RefusalReason]] = [
    ("primary key", LEAF, token_for(LEAF, KEYS.primary), LoginMethod.SYMMETRIC_KEY),
    ("secondary key", LEAF, token_for(LEAF, KEYS.secondary), LoginMethod.SYMMETRIC_KEY),
    ("the gateway's name in the token", LEAF, token_for(LEAF, KEYS.primary, hub=GATEWAY), LoginMethod.SYMMETRIC_KEY),
    ("the hub's name in capitals", LEAF, token_for(LEAF, KEYS.primary, hub=HUB.upper()), LoginMethod.SYMMETRIC_KEY),
    ("the hub's name with a port", LEAF, token_for(LEAF, KEYS.primary, hub=f"{HUB}:8883"), LoginMethod.SYMMETRIC_KEY),
    ("module by its own key", MODULE, token_for(MODULE, MODULE_KEYS.secondary), LoginMethod.SYMMETRIC_KEY),
    ("module by its device's key", MODULE, token_for(MODULE, KEYS.primary), LoginMethod.SYMMETRIC_KEY),
    ("module by its device's token", MODULE, token_for(LEAF, KEYS.primary), LoginMethod.SYMMETRIC_KEY),
    (
        "module of a device with a certificate",
        CAM_MODULE,
        token_for(CAM_MODULE, MODULE_KEYS.primary),
        LoginMethod.SYMMETRIC_KEY,
    ),
    ("group, primary key", BOARD, token_for(BOARD, group_key("board-7")), LoginMethod.GROUP_KEY),
    (
        "group, secondary key",
        BOARD,
        token_for(BOARD, group_key("board-7", GROUP_KEYS.secondary)),
        LoginMethod.GROUP_KEY,
    ),
    ("no credentials", LEAF, None, R.NO_CREDENTIALS),
    ("empty password", LEAF, "", R.NO_CREDENTIALS),
    ("not registered", identity("nobody"), token_for(identity("nobody"), KEYS.primary), R.UNKNOWN_DEVICE),
    ("another device's token", DEV1, token_for(DEV10, OTHER_KEYS.primary), R.FOREIGN_AUDIENCE),
    ("another device's key", DEV1, token_for(DEV1, OTHER_KEYS.primary), R.WRONG_KEY),
    ("a token whose id is a prefix", DEV10, token_for(DEV1, KEYS.primary), R.FOREIGN_AUDIENCE),
    ("a token for the whole hub", LEAF, sas.make(HUB, KEYS.primary, EXPIRY), R.FOREIGN_AUDIENCE),
    ("a token for all devices", LEAF, sas.make(f"{HUB}/devices", KEYS.primary, EXPIRY), R.FOREIGN_AUDIENCE),
    (
        "a token for a path below",
        LEAF,
        sas.make(f"{HUB}/devices/leaf-01/messages", KEYS.primary, EXPIRY),
        R.FOREIGN_AUDIENCE,
    ),
    ("a module's token for its device", LEAF, token_for(MODULE, MODULE_KEYS.primary), R.FOREIGN_AUDIENCE),
    ("a module's key for its device", LEAF, token_for(LEAF, MODULE_KEYS.primary), R.WRONG_KEY),
    ("a device token by the module's key", MODULE, token_for(LEAF, MODULE_KEYS.primary), R.WRONG_KEY),
    ("a module that is not registered", identity("leaf-01", "x"), token_for(LEAF, KEYS.primary), R.UNKNOWN_DEVICE),
    ("another hub in the token", LEAF, token_for(LEAF, KEYS.primary, hub="evil.example"), R.FOREIGN_AUDIENCE),
    ("a policy", LEAF, token_for(LEAF, KEYS.primary, policy="iothubowner"), R.POLICY_TOKEN),
    ("another case of the id", identity("LEAF-01"), token_for(identity("LEAF-01"), KEYS.primary), R.UNKNOWN_DEVICE),
    ("disabled", OFF, token_for(OFF, KEYS.primary), R.DISABLED),
    ("disabled with a wrong key", OFF, token_for(OFF, OTHER_KEYS.primary), R.WRONG_KEY),
    ("module of a disabled device", OFF_MODULE, token_for(OFF_MODULE, MODULE_KEYS.primary), R.DISABLED),
    ("a token where a certificate is registered", CAM, token_for(CAM, KEYS.primary), R.WRONG_METHOD),
    ("a zero key where a certificate is registered", CAM, token_for(CAM, bytes(32)), R.WRONG_METHOD),
    ("a zero key for a module of such a device", CAM_MODULE, token_for(CAM_MODULE, bytes(32)), R.WRONG_KEY),
    ("the group's key itself", BOARD, token_for(BOARD, GROUP_KEYS.primary), R.UNKNOWN_DEVICE),
    ("the key of another of the group", BOARD, token_for(BOARD, group_key("board-8")), R.UNKNOWN_DEVICE),
    (
        "a group that is not for this id",
        identity("bard"),
        token_for(identity("bard"), group_key("bard")),
        R.UNKNOWN_DEVICE,
    ),
    ("a registered device by a group's key", LEAF, token_for(LEAF, group_key("leaf-01")), R.WRONG_KEY),
    (
        "a disabled group",
        identity("closed-1"),
        token_for(identity("closed-1"), group_key("closed-1", KEYS.primary)),
        R.DISABLED,
    ),
    (
        "a module by its device's group",
        identity("board-7", "m"),
        token_for(BOARD, group_key("board-7")),
        R.UNKNOWN_DEVICE,
    ),
    ("just expired", LEAF, token_for(LEAF, KEYS.primary, expires_at=int(NOW) - 300), R.EXPIRED),
    ("expired, by a wrong key", LEAF, token_for(LEAF, OTHER_KEYS.primary, expires_at=int(NOW) - 300), R.WRONG_KEY),
    (
        "expired within the allowance",
        LEAF,
        token_for(LEAF, KEYS.primary, expires_at=int(NOW) - 299),
        LoginMethod.SYMMETRIC_KEY,
    ),
]


@pytest.mark.parametrize(("rule", "who", "token", "expected"), TOKENS, ids=[row[0] for row in TOKENS])
def test_a_token_lets_in_or_not(
    authenticator: Authenticator, rule: str, who: Identity, token: str | None, expected: LoginMethod | RefusalReason
) -> None:
    verdict = authenticator.authenticate(claim(who, token))
    assert (verdict.method if isinstance(verdict, Admitted) else verdict.reason) is expected, rule
    assert not isinstance(verdict, Admitted) or verdict.identity == who


@pytest.mark.parametrize("hub", ["", "evil.example", "contoso-hub", f"{HUB}.evil.example", f"x{HUB}"])
def test_a_user_name_of_another_hub_is_refused(authenticator: Authenticator, hub: str) -> None:
    verdict = authenticator.authenticate(claim(LEAF, token_for(LEAF, KEYS.primary), hub=hub))
    assert verdict == Refused(RefusalReason.FOREIGN_HUB)


@pytest.mark.parametrize("hub", [HUB, HUB.upper(), f"{HUB}:8883", GATEWAY])
def test_user_names_of_this_hub_and_of_the_gateway_are_taken(authenticator: Authenticator, hub: str) -> None:
    verdict = authenticator.authenticate(claim(LEAF, token_for(LEAF, KEYS.primary), hub=hub))
    assert isinstance(verdict, Admitted)


def test_the_skew_is_a_setting_and_ends_the_connection(registry: Registry) -> None:
    strict = Authenticator(registry, [HUB], None, skew_s=0.0)
    token = token_for(LEAF, KEYS.primary, expires_at=int(NOW) + 1)
    assert strict.authenticate(claim(LEAF, token)) == Admitted(LEAF, NOW + 1, LoginMethod.SYMMETRIC_KEY)
    assert strict.authenticate(claim(LEAF, token, now=NOW + 1)) == Refused(RefusalReason.EXPIRED)


def test_a_clock_that_was_set_back_revives_no_token(registry: Registry) -> None:
    careful = Authenticator(registry, [HUB], None, clock_floor=NOW)
    token = token_for(LEAF, KEYS.primary, expires_at=int(NOW) - 1000)
    assert careful.authenticate(claim(LEAF, token, now=NOW - 5000)) == Refused(RefusalReason.EXPIRED)
    careful.clock_floor = NOW - 2000
    assert isinstance(careful.authenticate(claim(LEAF, token, now=NOW - 5000)), Admitted)


def test_a_changed_key_counts_at_once_and_the_other_one_goes_on(
    authenticator: Authenticator, registry: Registry
) -> None:
    old, second = token_for(LEAF, KEYS.primary), token_for(LEAF, KEYS.secondary)
    renewed = SymmetricKeys(OTHER_KEYS.primary, KEYS.secondary)
    Registry(registry._path).edit(lambda roster: roster.with_registration(Registration(LEAF, renewed)))
    assert authenticator.authenticate(claim(LEAF, old)) == Refused(RefusalReason.WRONG_KEY)
    assert isinstance(authenticator.authenticate(claim(LEAF, second)), Admitted)
    assert registry.refresh() == {LEAF, MODULE}


def test_who_came_by_a_group_goes_with_it(authenticator: Authenticator, registry: Registry) -> None:
    assert isinstance(authenticator.authenticate(claim(BOARD, token_for(BOARD, group_key("board-7")))), Admitted)
    Registry(registry._path).edit(lambda roster: roster.without_group("boards"))
    assert registry.refresh() == {BOARD}


def test_an_entry_of_its_own_shuts_one_of_a_group_out(authenticator: Authenticator, registry: Registry) -> None:
    registry.edit(lambda roster: roster.with_registration(Registration(BOARD, KEYS, enabled=False)))
    verdict = authenticator.authenticate(claim(BOARD, token_for(BOARD, group_key("board-7"))))
    assert verdict == Refused(RefusalReason.WRONG_KEY)


def test_a_device_known_by_topics_alone_does_not_log_in_and_shuts_nobody_out(
    authenticator: Authenticator, registry: Registry
) -> None:
    def known_by_topics(device: str, *, enabled: bool = True) -> None:
        entry = Registration(identity(device), NoCredential(), enabled)
        registry.edit(lambda roster: roster.with_registration(entry))

    sensor, board = identity("sensor"), identity("board-7")
    known_by_topics("sensor")
    nobody = authenticator.authenticate(claim(sensor, token_for(sensor, KEYS.primary)))
    assert nobody == Refused(RefusalReason.UNKNOWN_DEVICE)
    assert authenticator.authenticate(claim(sensor, None, PUMP)) == Refused(RefusalReason.UNKNOWN_DEVICE)

    by_group = claim(board, token_for(board, group_key("board-7")))
    assert isinstance(authenticator.authenticate(by_group), Admitted)
    known_by_topics("board-7")
    assert isinstance(authenticator.authenticate(by_group), Admitted)
    assert registry.refresh() == set(), "its connection stays, too"

    known_by_topics("board-7", enabled=False)
    assert authenticator.authenticate(by_group) == Refused(RefusalReason.WRONG_METHOD)
    assert authenticator.authenticate(claim(board, None, PUMP)) == Refused(RefusalReason.WRONG_METHOD)


def test_more_group_devices_than_we_follow_are_refused(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.identity.registry.MAX_GROUP_DEVICES", 0)
    verdict = authenticator.authenticate(claim(BOARD, token_for(BOARD, group_key("board-7"))))
    assert verdict == Refused(RefusalReason.GROUP_FULL)


# --- certificates ---------------------------------------------------------------------------------------------------

BY_ANOTHER = issue("pump", by=authority("root"))
CERTIFICATES: list[tuple[str, Identity, list[Issued], LoginMethod | RefusalReason]] = [
    ("primary thumbprint, SHA-1", CAM, [CAMERA], LoginMethod.THUMBPRINT),
    ("secondary thumbprint, SHA-256", CAM, [CAMERA_NEXT], LoginMethod.THUMBPRINT),
    ("thumbprint of another", CAM, [issue("anything")], R.CERTIFICATE_MISMATCH),
    ("signed by the bundle where a thumbprint is registered", CAM, [issue("cam", by=ROOT)], R.CERTIFICATE_MISMATCH),
    ("signed by the bundle", PUMP_ID, [PUMP], LoginMethod.CERTIFICATE_AUTHORITY),
    ("signed by the bundle, no usages", PUMP_ID, [issue("pump", by=ROOT)], LoginMethod.CERTIFICATE_AUTHORITY),
    ("name of another device", PUMP_ID, [issue("pump2", by=ROOT)], R.CERTIFICATE_MISMATCH),
    ("name in another case", PUMP_ID, [issue("PUMP", by=ROOT)], R.CERTIFICATE_MISMATCH),
    ("two names", PUMP_ID, [issue("pump", "cam", by=ROOT)], R.CERTIFICATE_MISMATCH),
    ("right name by another authority", PUMP_ID, [BY_ANOTHER], R.CERTIFICATE_UNTRUSTED),
    ("right name, self-signed", PUMP_ID, [issue("pump")], R.CERTIFICATE_UNTRUSTED),
    ("an authority itself", PUMP_ID, [authority("pump", ROOT)], R.CERTIFICATE_UNTRUSTED),
    ("for servers only", PUMP_ID, [issue("pump", by=ROOT, usages=(SERVER,))], R.CERTIFICATE_UNTRUSTED),
    ("expired", PUMP_ID, [issue("pump", by=ROOT, valid_until=NOON - DAY / 2)], R.CERTIFICATE_EXPIRED),
    ("not valid yet", PUMP_ID, [issue("pump", by=ROOT, valid_from=NOON + DAY / 2)], R.CERTIFICATE_EXPIRED),
    ("a certificate where keys are registered", LEAF, [issue("leaf-01", by=ROOT)], R.WRONG_METHOD),
    ("a module", CAM_MODULE, [CAMERA], R.WRONG_METHOD),
    ("not registered", identity("nobody"), [issue("nobody", by=ROOT)], R.UNKNOWN_DEVICE),
]


@pytest.mark.parametrize(("rule", "who", "chain", "expected"), CERTIFICATES, ids=[row[0] for row in CERTIFICATES])
def test_a_certificate_lets_in_or_not(
    authenticator: Authenticator, rule: str, who: Identity, chain: list[Issued], expected: LoginMethod | RefusalReason
) -> None:
    verdict = authenticator.authenticate(claim(who, None, *chain, now=NOON.timestamp()))
    if isinstance(verdict, Admitted):
        assert verdict == Admitted(who, (NOON + DAY).timestamp(), verdict.method), rule
    assert (verdict.method if isinstance(verdict, Admitted) else verdict.reason) is expected, rule


def test_a_pinned_certificate_has_dates_too(authenticator: Authenticator) -> None:
    late = (NOON + 2 * DAY).timestamp()
    assert authenticator.authenticate(claim(CAM, None, CAMERA, now=late)) == Refused(RefusalReason.CERTIFICATE_EXPIRED)


def test_a_disabled_device_with_its_certificate_is_refused(authenticator: Authenticator, registry: Registry) -> None:
    registry.edit(lambda roster: roster.with_registration(Registration(PUMP_ID, CaSigned(), enabled=False)))
    verdict = authenticator.authenticate(claim(PUMP_ID, None, PUMP, now=NOON.timestamp()))
    assert verdict == Refused(RefusalReason.DISABLED)


def test_without_a_bundle_nothing_is_trusted(authenticator: Authenticator) -> None:
    authenticator.replace_trust_bundle(None)
    verdict = authenticator.authenticate(claim(PUMP_ID, None, PUMP, now=NOON.timestamp()))
    assert verdict == Refused(RefusalReason.CERTIFICATE_UNTRUSTED)


@pytest.mark.parametrize("der", [b"", b"x", PUMP.der[:-1], PUMP.der + b"x"])
def test_a_certificate_that_cannot_be_read_is_refused(authenticator: Authenticator, der: bytes) -> None:
    bad = Claim(identity=PUMP_ID, hub=HUB, token=None, certificates=(der,), now=NOON.timestamp())
    assert authenticator.authenticate(bad) == Refused(RefusalReason.CERTIFICATE_MALFORMED)


class TestTokenAndCertificate:
    """As with edgeHub the token decides; but the certificate must not be somebody else's."""

    NOON = NOON.timestamp()
    TOKEN = token_for(LEAF, KEYS.primary)

    @pytest.mark.parametrize("own", [issue("whatever"), issue("leaf-01", by=ROOT), BY_ANOTHER])
    def test_a_certificate_that_is_nobodys_or_its_own_does_no_harm(
        self, authenticator: Authenticator, own: Issued
    ) -> None:
        assert isinstance(authenticator.authenticate(claim(LEAF, self.TOKEN, own, now=self.NOON)), Admitted)

    @pytest.mark.parametrize("foreign", [CAMERA, CAMERA_NEXT, PUMP, issue("x", by=ROOT)])
    def test_a_certificate_of_another_device_is_refused(self, authenticator: Authenticator, foreign: Issued) -> None:
        verdict = authenticator.authenticate(claim(LEAF, self.TOKEN, foreign, now=self.NOON))
        assert verdict == Refused(RefusalReason.CERTIFICATE_MISMATCH)

    def test_the_certificate_does_not_help_a_wrong_token(self, authenticator: Authenticator) -> None:
        verdict = authenticator.authenticate(claim(PUMP_ID, token_for(PUMP_ID, KEYS.primary), PUMP, now=self.NOON))
        assert verdict == Refused(RefusalReason.WRONG_METHOD)

    def test_a_module_may_show_its_devices_certificate(self, authenticator: Authenticator) -> None:
        token = token_for(CAM_MODULE, MODULE_KEYS.primary)
        assert isinstance(authenticator.authenticate(claim(CAM_MODULE, token, CAMERA, now=self.NOON)), Admitted)

    def test_a_certificate_that_cannot_be_read_is_nobodys(self, authenticator: Authenticator) -> None:
        odd = Claim(identity=LEAF, hub=HUB, token=self.TOKEN, certificates=(b"odd",), now=NOW)
        assert isinstance(authenticator.authenticate(odd), Admitted)


# --- guessing, cost -------------------------------------------------------------------------------------------------


def test_guesses_are_held_back_and_the_real_device_is_not(authenticator: Authenticator) -> None:
    wrong, right = token_for(LEAF, OTHER_KEYS.primary), token_for(LEAF, KEYS.primary)
    for _ in range(PAIR_BURST):
        assert authenticator.authenticate(claim(LEAF, wrong)) == Refused(RefusalReason.WRONG_KEY)
    assert authenticator.authenticate(claim(LEAF, wrong)) == Refused(RefusalReason.THROTTLED, 1.0)
    assert authenticator.authenticate(claim(LEAF, wrong, address="10.0.0.8")) == Refused(RefusalReason.WRONG_KEY)
    assert isinstance(authenticator.authenticate(claim(LEAF, right)), Admitted)
    assert isinstance(authenticator.authenticate(claim(LEAF, right, address="10.0.0.7")), Admitted)


def medians_s(*calls: Callable[[], object], times: int = 300) -> list[float]:
    """CPU of each; in turns, so that whatever else the machine does slows all of them alike."""
    took: list[list[float]] = [[] for _ in calls]
    for _ in range(times):
        for each, of_call in zip(calls, took, strict=True):
            began = time.thread_time()
            each()
            of_call.append(time.thread_time() - began)
    return [sorted(each)[times // 2] for each in took]


def test_unknown_and_wrong_cost_alike_and_little(registry: Registry) -> None:
    authenticator = Authenticator(registry, [HUB], None)
    board_9 = identity("board-9")
    registry.edit(lambda roster: roster.with_registration(Registration(board_9, KEYS)))
    unknown = claim(BOARD, token_for(BOARD, OTHER_KEYS.primary))
    wrong = claim(board_9, token_for(board_9, OTHER_KEYS.primary))
    unknown_s, wrong_s = medians_s(lambda: authenticator._judge(unknown), lambda: authenticator._judge(wrong))
    assert 0.5 < unknown_s / wrong_s < 2
    assert wrong_s < 0.001


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=100), st.integers(0, 200), st.integers(0, 200))
def test_no_mangled_token_lets_anybody_in_or_raises(authenticator: Authenticator, other: str, at: int, to: int) -> None:
    good = token_for(LEAF, KEYS.primary)
    token = good[:at] + other + good[to:]
    verdict = authenticator.authenticate(claim(LEAF, token))
    if isinstance(verdict, Admitted):
        parsed, same = sas.parse(token), sas.parse(good)
        assert (parsed.resource, parsed.expiry, parsed.signature) == (same.resource, same.expiry, same.signature)


# --- devices that are not registered here ---------------------------------------------------------------------------


class ScriptedVoucher:
    """Answers as the test says, in the next turn of the loop."""

    def __init__(self, said: Vouching) -> None:
        self.said = said
        self.asked: list[Identity] = []

    def ask(self, who: Identity, token: Token, answer: Callable[[Vouching], None]) -> None:
        assert token.expires_at == EXPIRY
        self.asked.append(who)
        asyncio.get_running_loop().call_soon(answer, self.said)


def asking(registry: Registry, tmp_path: Path, said: Vouching) -> tuple[Authenticator, ScriptedVoucher]:
    voucher = ScriptedVoucher(said)
    presented = PresentedTokens(tmp_path / "tokens.json", lambda _event: None, lambda: NOW)
    return Authenticator(registry, [HUB], None, vouchers=Vouchers(presented, voucher)), voucher


def stranger(token: str, now: float = NOW, who: Identity | None = None) -> Claim:
    who = who or identity("new")
    return Claim(identity=who, hub=HUB, token=token, certificates=(), now=now, address="10.0.0.1")


async def decided(authenticator: Authenticator, claim: Claim) -> Admitted | Refused:
    done = asyncio.Event()
    if authenticator.asks(claim, done.set):
        await asyncio.wait_for(done.wait(), 10)
    return authenticator.authenticate(claim)


NEW = sas.make(sas.resource_of(HUB, identity("new")), b"a key that is not known here....", EXPIRY)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Vouching.GOOD, None),
        (Vouching.REFUSED, RefusalReason.REFUSED_UPSTREAM),
        (Vouching.AWAY, RefusalReason.UPSTREAM_AWAY),
    ],
)
async def test_of_an_unknown_device_the_hub_decides(
    registry: Registry, tmp_path: Path, said: Vouching, reason: RefusalReason | None
) -> None:
    authenticator, voucher = asking(registry, tmp_path, said)
    verdict = await decided(authenticator, stranger(NEW))
    if reason is None:
        assert verdict == Admitted(identity("new"), EXPIRY + 300, LoginMethod.VOUCHED)
    else:
        assert isinstance(verdict, Refused)
        assert verdict.reason is reason
    await decided(authenticator, stranger(NEW))
    assert len(voucher.asked) == (2 if said is Vouching.AWAY else 1)


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (stranger(NEW, now=EXPIRY + 300), RefusalReason.EXPIRED),
        (stranger(NEW, who=identity("other")), RefusalReason.FOREIGN_AUDIENCE),
        (stranger(NEW, who=LEAF), RefusalReason.FOREIGN_AUDIENCE),
        (stranger("nonsense"), RefusalReason.MALFORMED_TOKEN),
        (stranger(""), RefusalReason.NO_CREDENTIALS),
        (
            stranger(sas.make(sas.resource_of(HUB, LEAF), b"x" * 32, EXPIRY), who=LEAF),
            RefusalReason.WRONG_KEY,
        ),
        (stranger(sas.make(HUB, b"x" * 32, EXPIRY, "iothubowner")), RefusalReason.POLICY_TOKEN),
    ],
)
async def test_what_can_be_decided_here_is_not_asked(
    registry: Registry, tmp_path: Path, claim: Claim, reason: RefusalReason
) -> None:
    authenticator, voucher = asking(registry, tmp_path, Vouching.GOOD)
    verdict = await decided(authenticator, claim)
    assert isinstance(verdict, Refused)
    assert verdict.reason is reason
    assert voucher.asked == []


async def test_who_cannot_be_judged_now_is_never_held_back(registry: Registry, tmp_path: Path) -> None:
    authenticator, _ = asking(registry, tmp_path, Vouching.AWAY)
    for _ in range(3 * PAIR_BURST):
        assert await decided(authenticator, stranger(NEW)) == Refused(RefusalReason.UPSTREAM_AWAY)


# --- revoked certificates -------------------------------------------------------------------------------------------


def revoking(*revoked: Issued, when_old: WhenOld = WhenOld.ACCEPT, **options: Any) -> Revocations:
    return Revocations(read_lists(revocation_list(ROOT, *revoked, **options), "crl"), when_old=when_old)


def test_a_revoked_certificate_lets_nobody_in_and_a_new_one_does(authenticator: Authenticator) -> None:
    mine = claim(PUMP_ID, None, PUMP, now=NOON.timestamp())
    assert isinstance(authenticator.authenticate(mine), Admitted)
    assert [who for who, _ in authenticator.certified] == [PUMP_ID]
    authenticator.replace_revocations(revoking(PUMP))
    assert authenticator.authenticate(mine) == Refused(RefusalReason.CERTIFICATE_REVOKED)
    assert not authenticator.is_issued_to(mine)
    new = claim(PUMP_ID, None, issue("pump", by=ROOT, usages=(CLIENT,)), now=NOON.timestamp())
    assert isinstance(authenticator.authenticate(new), Admitted)
    assert authenticator.is_issued_to(new)
    authenticator.replace_revocations(Revocations())
    assert isinstance(authenticator.authenticate(mine), Admitted)


def test_a_pinned_certificate_that_its_issuer_revoked_is_refused_too(
    authenticator: Authenticator, registry: Registry
) -> None:
    entry = Registration(PUMP_ID, Thumbprints(thumbprint(PUMP)))
    registry.edit(lambda roster: roster.with_registration(entry))
    mine = claim(PUMP_ID, None, PUMP, now=NOON.timestamp())
    authenticator.replace_trust_bundle(None)
    assert isinstance(authenticator.authenticate(mine), Admitted)
    authenticator.replace_revocations(revoking(PUMP, with_key_id=False))
    assert authenticator.authenticate(mine) == Refused(RefusalReason.CERTIFICATE_REVOKED)


def test_a_list_that_has_ended_means_what_was_chosen(authenticator: Authenticator) -> None:
    mine = claim(PUMP_ID, None, PUMP, now=NOON.timestamp())
    authenticator.replace_revocations(revoking(at=NOON - 2 * DAY, until=NOON - DAY))
    assert isinstance(authenticator.authenticate(mine), Admitted)
    authenticator.replace_revocations(revoking(when_old=WhenOld.REFUSE, at=NOON - 2 * DAY, until=NOON - DAY))
    assert authenticator.authenticate(mine) == Refused(RefusalReason.REVOCATION_LIST_ENDED)


def test_who_shows_nothing_good_hears_nothing_of_lists(authenticator: Authenticator) -> None:
    authenticator.replace_revocations(revoking(PUMP))
    stranger = issue("pump", usages=(CLIENT,))
    verdict = authenticator.authenticate(claim(PUMP_ID, None, stranger, now=NOON.timestamp()))
    assert verdict == Refused(RefusalReason.CERTIFICATE_UNTRUSTED)


def test_who_comes_back_with_a_token_is_no_longer_there_by_certificate(
    authenticator: Authenticator, registry: Registry
) -> None:
    authenticator.authenticate(claim(PUMP_ID, None, PUMP, now=NOON.timestamp()))
    registry.edit(lambda roster: roster.with_registration(Registration(PUMP_ID, KEYS)))
    assert isinstance(authenticator.authenticate(claim(PUMP_ID, token_for(PUMP_ID, KEYS.primary))), Admitted)
    assert len(authenticator.certified) == 0
