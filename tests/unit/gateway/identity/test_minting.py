from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edgewire.iothub import sas
from edgewire.iothub.minting import TokenWish, wish_mac
from edgewire.message import identity
from gateway.identity import minting, nonces
from gateway.identity.authenticator import Authenticator
from gateway.identity.certificates import TrustBundle
from gateway.identity.minting import BURST, Mint, Minted, NotMinted
from gateway.identity.registry import Registry
from gateway.identity.roster import CaSigned, Registration, Roster, SymmetricKeys
from gateway.observe.publishers import MintProof, MintRefusal
from issuing import CLIENT, NOON, SERVER, authority, issue

HUB = "hub.example"
KEYS = SymmetricKeys(b"0123456789abcdef" * 2, b"another key of thirty-two bytes.")
ROOT = authority("root")
PUMP = issue("pump", by=ROOT, usages=(CLIENT,))
WISH = TokenWish(device="pump", lifetime_s=60)
ADDRESS = "10.0.0.1"
NOW = NOON.timestamp()


@dataclass
class Clock:
    now: float

    def __call__(self) -> float:
        return self.now


class Works:
    """A mint whose clocks a test sets."""

    def __init__(self, folder: Path, *proofs: MintProof) -> None:
        self.registry = Registry(folder / "devices.json")
        self.clock, self.monotonic = Clock(NOW), Clock(1.0)
        self.mint = Mint(
            self.registry,
            Authenticator(self.registry, [HUB], TrustBundle(ROOT.pem)),
            hub=HUB,
            proofs=proofs or tuple(MintProof),
            clock=self.clock,
            monotonic=self.monotonic,
        )
        self.register(Registration(identity("pump"), KEYS))

    def register(self, entry: Registration) -> None:
        self.registry.edit(lambda roster: Roster.with_registration(roster, entry))

    def by_key(self, device: str = "pump", key: bytes = KEYS.primary) -> Minted | NotMinted:
        nonce = self.mint.nonce(device)
        wish = TokenWish(device=device, lifetime_s=60, nonce=nonce, mac=wish_mac(key, device, nonce))
        return self.mint.by_key(wish, ADDRESS)


@pytest.fixture
def works(tmp_path: Path) -> Works:
    return Works(tmp_path)


def token(key: bytes = KEYS.primary, device: str = "pump") -> str:
    return sas.make(sas.resource_of(HUB, identity(device)), key, int(NOW) + 60)


def test_the_key_that_is_proven_signs(works: Works) -> None:
    for key in KEYS.both:
        assert works.by_key(key=key) == Minted(token=token(key), expires_at=int(NOW) + 60, proof=MintProof.KEY, key=key)
    assert works.by_key(key=b"guess") == NotMinted(MintRefusal.WRONG_KEY)


def test_a_certificate_of_the_trust_bundle_in_the_devices_name_is_a_proof(works: Works) -> None:
    given = works.mint.by_certificate(WISH, (PUMP.der,), ADDRESS)
    assert given == Minted(token=token(), expires_at=int(NOW) + 60, proof=MintProof.CERTIFICATE)


BY_OTHERS = {
    "none": ((), MintRefusal.NO_PROOF),
    "of another device": ((issue("valve", by=ROOT, usages=(CLIENT,)).der,), MintRefusal.WRONG_CERTIFICATE),
    "in another case": ((issue("Pump", by=ROOT, usages=(CLIENT,)).der,), MintRefusal.WRONG_CERTIFICATE),
    "of another authority": (
        (issue("pump", by=authority("root"), usages=(CLIENT,)).der,),
        MintRefusal.WRONG_CERTIFICATE,
    ),
    "signed by itself": ((issue("pump", usages=(CLIENT,)).der,), MintRefusal.WRONG_CERTIFICATE),
    "for servers": ((issue("pump", by=ROOT, usages=(SERVER,)).der,), MintRefusal.WRONG_CERTIFICATE),
    "that cannot be read": ((b"\x30\x00",), MintRefusal.WRONG_CERTIFICATE),
}


@pytest.mark.parametrize(("chain", "reason"), BY_OTHERS.values(), ids=BY_OTHERS)
def test_any_other_certificate_is_none(works: Works, chain: tuple[bytes, ...], reason: MintRefusal) -> None:
    assert works.mint.by_certificate(WISH, chain, ADDRESS) == NotMinted(reason)


def test_an_expired_certificate_is_none(works: Works) -> None:
    works.clock.now = 4e9
    given = works.mint.by_certificate(WISH, (PUMP.der,), ADDRESS)
    assert given == NotMinted(MintRefusal.WRONG_CERTIFICATE)


def test_a_device_without_a_key_of_its_own_gets_none_by_the_other_proofs(works: Works) -> None:
    works.register(Registration(identity("pump"), CaSigned()))
    assert works.mint.by_certificate(WISH, (PUMP.der,), ADDRESS) == NotMinted(MintRefusal.NO_KEY)
    nobody = replace(WISH, device="nobody")
    assert works.mint.by_password(nobody, ADDRESS) == NotMinted(MintRefusal.NO_KEY)


def test_a_disabled_device_gets_none_whatever_it_shows(works: Works) -> None:
    works.register(Registration(identity("pump"), KEYS, enabled=False))
    disabled = NotMinted(MintRefusal.DISABLED)
    assert works.by_key() == disabled
    assert works.mint.by_certificate(WISH, (PUMP.der,), ADDRESS) == disabled
    assert works.mint.by_password(WISH, ADDRESS) == disabled


def test_a_proof_that_is_not_allowed_is_refused(tmp_path: Path) -> None:
    by_password = Works(tmp_path, MintProof.PASSWORD)
    refused = NotMinted(MintRefusal.NOT_ALLOWED)
    assert by_password.by_key() == refused
    assert by_password.mint.by_certificate(WISH, (PUMP.der,), ADDRESS) == refused
    assert by_password.mint.allows(MintProof.PASSWORD)
    assert isinstance(by_password.mint.by_password(WISH, ADDRESS), Minted)


def test_tokens_are_counted_for_each_device(works: Works) -> None:
    assert all(isinstance(works.by_key(), Minted) for _ in range(BURST))
    assert works.by_key() == NotMinted(MintRefusal.TOO_MANY, retry_s=10)
    works.monotonic.now += 10
    assert isinstance(works.by_key(), Minted)


def test_when_no_more_can_be_remembered_a_board_comes_again(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonces, "MAX_USED", 0)
    assert works.by_key() == NotMinted(MintRefusal.BUSY, retry_s=int(minting.RECOVERY_S))
