from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from edgeca import files, keys
from edgeca.credential import read_certificates
from edgeca.errors import CaError, Refused
from edgeca.files import Entry
from edgeca.folder import Folder, Wish
from edgeca.inspection import find_problems
from edgeca.keys import KeyType
from edgeca.names import alternative_names
from edgeca.profiles import Kind
from edgeca.renewal import KeyWish, Renewal, RenewalWish, find_entries
from edgeca.revocation import Reason
from edgeca.revoking import Lists, target_of_entry
from support.ca_clock import NOW, CaClock

DAY = timedelta(days=1)
USUAL = RenewalWish()


@pytest.fixture
def folder(folder: Folder) -> Folder:
    """One of each kind."""
    folder.edge_ca("pi")
    folder.edge_id("pi-id")
    folder.device("d1")
    folder.server(["gateway.local", "10.0.0.5"], Wish(days=90))
    folder.self_signed("d2")
    folder.proof("A1")
    return folder


def named(folder: Folder, *names: str, kind: Kind | None = None) -> list[Entry]:
    return find_entries(folder, names, kind)


def extensions(certificate: x509.Certificate) -> dict[str, object]:
    return {each.oid.dotted_string: (each.critical, each.value) for each in certificate.extensions}


LEAVES = ["pi", "pi-id", "d1", "gateway.local", "d2.secondary", "A1"]


@pytest.mark.parametrize("name", LEAVES)
def test_a_renewed_one_is_the_same_but_for_key_serial_and_end(folder: Folder, clock: CaClock, name: str) -> None:
    (entry,) = named(folder, name)
    old = files.load(entry)
    clock.now += 10 * DAY
    (made,) = Renewal(folder, clock).renew([entry], USUAL)
    new = files.load(entry)
    assert new.certificate == made.credential.certificate
    assert new.certificate.subject == old.certificate.subject
    assert alternative_names(new.certificate) == alternative_names(old.certificate)
    assert keys.describe(new.key) == keys.describe(old.key)
    assert new.certificate.public_key() != old.certificate.public_key()
    assert new.certificate.serial_number != old.certificate.serial_number
    assert new.issuers == old.issuers
    grown = new.certificate.not_valid_after_utc - old.certificate.not_valid_after_utc
    assert grown == 10 * DAY
    assert list(find_problems(folder.directory, clock.now)) == []


def test_the_kind_of_key_stays_too(folder: Folder, clock: CaClock) -> None:
    folder.device("d1", Wish(key_type=KeyType.RSA_2048, force=True))
    (made,) = Renewal(folder, clock).renew(named(folder, "d1"), USUAL)
    assert keys.describe(made.credential.key) == "RSA 2048"


def test_a_kept_key_keeps_all_extensions(folder: Folder, clock: CaClock) -> None:
    for name in LEAVES:
        (entry,) = named(folder, name)
        old = files.load(entry)
        (made,) = Renewal(folder, clock).renew([entry], RenewalWish(key=KeyWish.KEEP))
        assert made.credential.key_pem == old.key_pem
        assert extensions(made.credential.certificate) == extensions(old.certificate)


def test_the_old_one_lies_in_retired_with_its_key_for_us_alone(folder: Folder, clock: CaClock) -> None:
    (entry,) = named(folder, "d1")
    old = files.load(entry)
    (made,) = Renewal(folder, clock).renew([entry], USUAL)
    assert made.retired is not None
    assert (made.retired / "d1.key.pem").read_bytes() == old.key_pem
    assert (made.retired / "d1.key.pem").stat().st_mode & 0o777 == 0o600
    assert (made.retired / "d1.full-chain.pem").read_bytes() == old.full_chain_pem


def test_days_are_those_of_before_unless_said_otherwise(folder: Folder, clock: CaClock) -> None:
    (entry,) = named(folder, "gateway.local")
    (made,) = Renewal(folder, clock).renew([entry], USUAL)
    assert made.credential.certificate.not_valid_after_utc == NOW + 90 * DAY
    (made,) = Renewal(folder, clock).renew([entry], RenewalWish(days=7))
    assert made.credential.certificate.not_valid_after_utc == NOW + 7 * DAY
    with pytest.raises(CaError, match="longer than its CA lives"):
        Renewal(folder, clock).renew([entry], RenewalWish(days=3000))


def test_one_that_ended_with_its_ca_gets_the_time_of_its_kind(folder: Folder, clock: CaClock) -> None:
    clock.now = NOW + 1700 * DAY
    made = folder.device("late")
    clock.now += DAY
    (issuing, late) = named(folder, "issuing", "late")
    Renewal(folder, clock).renew([late, issuing], USUAL)
    assert files.load(late).certificate.not_valid_after_utc == clock.now + 730 * DAY
    assert made.credential.certificate.not_valid_after_utc < clock.now + 200 * DAY


@pytest.mark.parametrize("name", ["root", "issuing"])
def test_a_ca_keeps_its_key_and_stands_in_every_chain(folder: Folder, clock: CaClock, name: str) -> None:
    clock.now += DAY
    (entry,) = named(folder, name)
    old = files.load(entry)
    leaf = files.load(named(folder, "d1")[0])
    (made,) = Renewal(folder, clock).renew([entry], USUAL)
    assert made.credential.key_pem == old.key_pem
    assert extensions(made.credential.certificate) == extensions(old.certificate)
    again = files.load(named(folder, "d1")[0])
    assert (again.certificate, again.key_pem) == (leaf.certificate, leaf.key_pem)
    assert made.credential.certificate in again.issuers
    assert old.certificate not in again.issuers
    assert list(find_problems(folder.directory, clock.now)) == []
    bundle = read_certificates((folder.directory / "trust-bundle.pem").read_bytes(), "bundle")
    assert bundle == (files.load(named(folder, "root")[0]).certificate,)


def test_what_else_is_in_the_trust_bundle_stays_there(folder: Folder, clock: CaClock, tmp_path: Path) -> None:
    other = folder.self_signed("d2")[0].entry.certificate_path
    folder.bundle([other])
    Renewal(folder, clock).renew(named(folder, "root"), USUAL)
    bundle = (folder.directory / "trust-bundle.pem").read_bytes()
    assert bundle.endswith(other.read_bytes())
    assert bundle.startswith((folder.directory / "root.cert.pem").read_bytes())


def test_a_root_with_a_new_key_is_another_ca(folder: Folder, clock: CaClock) -> None:
    with pytest.raises(Refused, match="a root with a new key is a new CA: edgeca init --force"):
        Renewal(folder, clock).renew(named(folder, "root"), RenewalWish(key=KeyWish.NEW))


def test_an_issuing_ca_with_a_new_key_signs_all_below_it_again(folder: Folder, clock: CaClock) -> None:
    (issuing,) = named(folder, "issuing")
    old = files.load(issuing)
    before = {name: files.load(named(folder, name)[0]) for name in ("d1", "gateway.local", "pi-id")}
    made = Renewal(folder, clock).renew([issuing], RenewalWish(key=KeyWish.NEW))
    assert [each.entry.label for each in made] == ["issuing", "edge-id pi-id", "device d1", "server gateway.local"]
    new = files.load(issuing)
    assert new.key_pem != old.key_pem
    assert new.certificate.subject != old.certificate.subject, "two CAs of one name would be taken for each other"
    for name, was in before.items():
        now = files.load(named(folder, name)[0])
        assert now.key_pem == was.key_pem
        assert now.certificate != was.certificate
        assert now.issuers[0] == new.certificate
    assert list(find_problems(folder.directory, clock.now)) == []


def test_within_renews_what_ends_cas_first_and_leaves_pairs_and_proofs_alone(folder: Folder, clock: CaClock) -> None:
    renewal = Renewal(folder, clock)
    assert renewal.due(30 * DAY) == []
    assert [entry.label for entry in renewal.due(90 * DAY)] == ["server gateway.local"]
    assert [entry.label for entry in renewal.due(730 * DAY)] == ["edge-id pi-id", "device d1", "server gateway.local"]
    everything = ["root", "issuing", "edge-ca pi", "edge-id pi-id", "device d1", "server gateway.local"]
    assert [entry.label for entry in renewal.due(None)] == everything
    clock.now += 4000 * DAY  # all has ended, the root too
    made = renewal.renew(renewal.due(30 * DAY), USUAL)
    assert [each.entry.label for each in made] == everything
    problems = {found.label for found in find_problems(folder.directory, clock.now)}
    assert problems == {"self-signed d2.primary", "self-signed d2.secondary", "proof A1"}


def test_one_that_was_revoked_is_renewed_by_name_and_with_a_new_key_only(folder: Folder, clock: CaClock) -> None:
    (entry,) = named(folder, "d1")
    Lists(folder, clock).revoke([target_of_entry(folder, entry)], Reason.KEY_COMPROMISE)
    renewal = Renewal(folder, clock)
    assert entry not in renewal.due(None)
    with pytest.raises(Refused, match="device d1 was revoked, and whoever has its key"):
        renewal.renew([entry], RenewalWish(key=KeyWish.KEEP))
    (made,) = renewal.renew([entry], USUAL)
    assert made.changed
    assert list(find_problems(folder.directory, clock.now)) == []


def test_a_revoked_issuing_ca_needs_a_new_key(folder: Folder, clock: CaClock) -> None:
    (issuing,) = named(folder, "issuing")
    Lists(folder, clock).revoke([target_of_entry(folder, issuing)], Reason.CA_COMPROMISE)
    with pytest.raises(Refused, match="for the issuing CA say --new-key"):
        Renewal(folder, clock).renew([issuing], USUAL)
    Renewal(folder, clock).renew([issuing], RenewalWish(key=KeyWish.NEW))
    assert not [found for found in find_problems(folder.directory, clock.now) if "revoked" in found.what]


def test_one_that_cannot_be_read_stops_a_ca_before_anything_is_changed(folder: Folder, clock: CaClock) -> None:
    (folder.directory / "device" / "d1.key.pem").write_text("garbage")
    before = (folder.directory / "issuing.cert.pem").read_bytes()
    with pytest.raises(CaError, match=r"d1\.key\.pem holds no readable private key"):
        Renewal(folder, clock).renew(named(folder, "issuing"), USUAL)
    assert (folder.directory / "issuing.cert.pem").read_bytes() == before


def test_names_that_are_none_or_several_are_told(folder: Folder) -> None:
    with pytest.raises(Refused, match=r"'d2' has two certificates.*d2\.primary or d2\.secondary"):
        named(folder, "d2")
    with pytest.raises(Refused, match=r"there is no certificate named 'nobody'.*edgeca show lists them"):
        named(folder, "nobody")
    folder.edge_id("pi")
    with pytest.raises(
        CaError, match="'pi' is the name of 2 certificates; say which: --kind edge-ca or --kind edge-id"
    ):
        named(folder, "pi")
    assert [entry.kind for entry in named(folder, "pi", kind=Kind.EDGE_CA)] == [Kind.EDGE_CA]
