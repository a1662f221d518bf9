from datetime import timedelta
from pathlib import Path

import pytest

from edgeca import files
from edgeca.authority import Authority
from edgeca.errors import Refused
from edgeca.files import Entry
from edgeca.folder import Folder, Wish
from edgeca.profiles import Kind
from edgeca.renewal import KeyWish, Renewal, RenewalWish
from edgeca.revocation import Reason, blocks_of, find_revoked, load_crl, path_of
from edgeca.revoking import Lists, Target, target_of_entry, target_of_file, target_of_serial
from support.ca_clock import NOW, CaClock

DAY = timedelta(days=1)


def entry(folder: Folder, kind: Kind, name: str = "") -> Entry:
    return Entry(directory=folder.directory, kind=kind, name=name)


def serials(folder: Folder, kind: Kind) -> list[int]:
    crl = load_crl(folder.directory, kind, files.load_certificates(entry(folder, kind))[0])
    assert crl is not None
    return [line.serial for line in crl.revoked]


def test_each_goes_onto_the_list_of_who_signed_it(folder: Folder, clock: CaClock) -> None:
    device, edge_ca = folder.device("d1"), folder.edge_ca("pi")
    targets = [target_of_entry(folder, made.entry) for made in (device, edge_ca)]
    done, written = Lists(folder, clock).revoke(targets, Reason.KEY_COMPROMISE)
    assert [(each.target.label, each.target.issuer, each.changed) for each in done] == [
        ("edge-ca pi", Kind.ROOT, True),
        ("device d1", Kind.ISSUING, True),
    ]
    assert serials(folder, Kind.ISSUING) == [device.credential.certificate.serial_number]
    assert serials(folder, Kind.ROOT) == [edge_ca.credential.certificate.serial_number]
    both = (folder.directory / files.ALL_CRLS).read_bytes()
    assert both == b"".join(path_of(folder.directory, kind).read_bytes() for kind in (Kind.ROOT, Kind.ISSUING))
    assert [each.crl.number for each in written] == [1, 1]


def test_twice_changes_nothing_and_keeps_the_first_day_and_reason(folder: Folder, clock: CaClock) -> None:
    target = target_of_entry(folder, folder.device("d1").entry)
    lists = Lists(folder, clock)
    lists.revoke([target], Reason.KEY_COMPROMISE)
    before = {path: path.read_bytes() for path in folder.directory.glob("*crl.pem")}
    clock.now += DAY
    done, written = lists.revoke([target, target], Reason.SUPERSEDED)
    assert [(each.changed, each.line.reason, each.line.at) for each in done] == [
        (False, Reason.KEY_COMPROMISE, NOW)
    ] * 2
    assert not any(each.changed for each in written)
    assert {path: path.read_bytes() for path in folder.directory.glob("*crl.pem")} == before


def test_numbers_grow_with_each_signing_and_only_where_something_changed(folder: Folder, clock: CaClock) -> None:
    lists = Lists(folder, clock)
    for number in (1, 2, 3):
        made = folder.device(f"d{number}")
        _, written = lists.revoke([target_of_entry(folder, made.entry)], Reason.UNSPECIFIED)
        assert [each.crl.number for each in written] == [1, number]


def test_lists_are_signed_anew_when_they_are_due_or_by_force(folder: Folder, clock: CaClock) -> None:
    lists = Lists(folder, clock)
    assert [each.changed for each in lists.refresh(within=30 * DAY)] == [True, True], "there were none"
    assert [each.changed for each in lists.refresh(within=30 * DAY)] == [False, False]
    clock.now += 59 * DAY
    assert [each.changed for each in lists.refresh(within=30 * DAY)] == [False, False]
    clock.now += DAY
    assert [each.crl.number for each in lists.refresh(within=30 * DAY, days=5)] == [2, 2]
    assert [each.crl.until for each in lists.refresh(within=DAY)] == [clock.now + 5 * DAY] * 2
    assert [each.crl.number for each in lists.refresh(within=DAY, force=True)] == [3, 3]


def test_the_joint_list_comes_back_if_it_was_lost(folder: Folder, clock: CaClock) -> None:
    lists = Lists(folder, clock)
    lists.refresh(within=DAY)
    both = folder.directory / files.ALL_CRLS
    before = both.read_bytes()
    both.unlink()
    lists.refresh(within=DAY)
    assert both.read_bytes() == before


def test_a_file_and_a_serial_number_find_what_was_replaced(folder: Folder, clock: CaClock) -> None:
    old = folder.device("d1")
    new = folder.device("d1", Wish(force=True))
    assert new.retired is not None
    by_file = target_of_file(folder, new.retired / "d1.cert.pem")
    by_serial = target_of_serial(folder, old.credential.certificate.serial_number, None)
    assert by_file.serial == by_serial.serial == old.credential.certificate.serial_number
    assert by_file.issuer is by_serial.issuer is Kind.ISSUING
    Lists(folder, clock).revoke([by_file], Reason.SUPERSEDED)
    assert find_revoked(folder.directory, old.credential.certificate, old.credential.issuers) is not None
    assert find_revoked(folder.directory, new.credential.certificate, new.credential.issuers) is None


def test_an_unknown_serial_number_needs_to_say_whose_it_is(folder: Folder) -> None:
    with pytest.raises(Refused, match=r"has the serial number ABC. Say with --issuer root or --issuer issuing"):
        target_of_serial(folder, 0xABC, None)
    assert target_of_serial(folder, 0xABC, Kind.ROOT) == Target(
        label="serial number ABC", serial=0xABC, issuer=Kind.ROOT
    )


def test_what_nobody_can_take_back_is_told_with_what_to_do(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"the root cannot be revoked: nobody stands above it.*edgeca init --force"):
        target_of_entry(folder, entry(folder, Kind.ROOT))
    pair = folder.self_signed("d1")
    with pytest.raises(Refused, match=r"signed itself, so no list can name it. Remove its thumbprint"):
        target_of_entry(folder, pair[0].entry)
    foreign = tmp_path / "foreign.cert.pem"
    foreign.write_bytes(Authority.create().issue_device("d1").certificate_pem)
    with pytest.raises(Refused, match=r"not by the CA in .*: only who signed a certificate can take it back"):
        target_of_file(folder, foreign)


def test_one_that_was_revoked_is_not_what_is_wished(folder: Folder, clock: CaClock) -> None:
    made = folder.device("d1")
    Lists(folder, clock).revoke([target_of_entry(folder, made.entry)], Reason.KEY_COMPROMISE)
    with pytest.raises(Refused, match=r"it was revoked on 2026-11-21.*--force"):
        folder.device("d1")
    assert folder.device("d1", Wish(force=True)).changed
    assert not folder.device("d1").changed


def test_lists_of_a_ca_that_was_here_before_are_kept_aside(folder: Folder, clock: CaClock) -> None:
    lists = Lists(folder, clock)
    lists.revoke([target_of_entry(folder, folder.device("d1").entry)], Reason.UNSPECIFIED)
    old = path_of(folder.directory, Kind.ISSUING).read_bytes()
    folder.init("Other", Wish(force=True))
    assert [each.crl.number for each in lists.refresh(within=DAY)] == [1, 1]
    (kept,) = folder.directory.glob("retired/*issuing.crl.pem/issuing.crl.pem")
    assert kept.read_bytes() == old


def test_what_an_issuing_ca_has_taken_back_stays_so_when_it_gets_a_new_key(folder: Folder, clock: CaClock) -> None:
    revoked, other = folder.device("d1"), folder.device("d2")
    lists = Lists(folder, clock)
    lists.revoke([target_of_entry(folder, revoked.entry)], Reason.KEY_COMPROMISE)
    issuing = entry(folder, Kind.ISSUING)
    ends_at = files.load_certificates(issuing)[0].not_valid_after_utc
    Renewal(folder, clock).renew([issuing], RenewalWish(key=KeyWish.NEW))
    lists.refresh(within=DAY)
    both = folder.directory / files.ALL_CRLS
    assert len(blocks_of(both)) == 3
    for _ in range(2):
        assert find_revoked(folder.directory, revoked.credential.certificate, revoked.credential.issuers) is not None
        assert find_revoked(folder.directory, other.credential.certificate, other.credential.issuers) is None
        clock.now += 100 * DAY
        lists.refresh(within=DAY)
    clock.now = ends_at + DAY
    Renewal(folder, clock).renew([issuing], RenewalWish())
    lists.refresh(within=DAY)
    assert len(blocks_of(both)) == 2, "its last list ends with the CA"
