import pytest

from edgewire.message import identity
from gateway.identity import certified
from gateway.identity.certified import CertifiedLogins, Shown
from gateway.identity.revocation import Revocations, links_of, read_lists
from issuing import NOON, Issued, authority, issue
from support.revocation import revocation_list

ROOT = authority("root")
D1, D2 = issue("d1", by=ROOT), issue("d2", by=ROOT)
NOW = NOON.timestamp()


def shown(device: Issued) -> Shown:
    path = [device.certificate, ROOT.certificate]
    return Shown(thumbprint="AA", issuer="root", valid_from=NOW, valid_until=NOW + 60, links=links_of(path))


def test_who_is_revoked_is_found() -> None:
    logins = CertifiedLogins()
    logins.enter(identity("d1"), shown(D1))
    logins.enter(identity("d2"), shown(D2))
    revocations = Revocations(read_lists(revocation_list(ROOT, D2), "crl"))
    assert logins.revoked(revocations, NOW) == [identity("d2")]
    assert logins.revoked(Revocations(), NOW) == []


def test_the_last_certificate_of_an_identity_counts_and_a_token_after_it_none() -> None:
    logins = CertifiedLogins()
    logins.enter(identity("d1"), shown(D2))
    logins.enter(identity("d1"), shown(D1))
    assert [who for who, _ in logins] == [identity("d1")]
    logins.leave(identity("d1"))
    logins.leave(identity("d1"))
    assert len(logins) == 0


def test_the_certificates_of_authorities_are_kept_once() -> None:
    logins = CertifiedLogins()
    for name in ("d1", "d2"):
        logins.enter(identity(name), shown(D1))
    signers = {id(link.signer) for _, each in logins for link in each.links}
    assert len(signers) == 1


def test_what_is_shared_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certified, "MAX_SIGNERS", 2)
    logins = CertifiedLogins()
    for number in range(5):
        root = authority(f"root {number}")
        device = issue("d", by=root)
        links = links_of([device.certificate, root.certificate])
        one = Shown(thumbprint="AA", issuer="r", valid_from=NOW, valid_until=NOW, links=links)
        logins.enter(identity(f"d{number}"), one)
    assert len(logins._signers) <= 2


def test_who_has_left_is_forgotten_once_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certified, "ROOM", 3)
    logins = CertifiedLogins()
    here = identity("d0")
    for number in range(4):
        logins.enter(identity(f"d{number}"), shown(D1))
    logins.keep_only(lambda who: who == here, 1)
    assert len(logins) == 4
    logins.enter(identity("d4"), shown(D1))
    logins.keep_only(lambda who: who == here, 1)
    assert [who for who, _ in logins] == [here]
