import contextlib
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.identity import revocation
from gateway.identity.revocation import (
    Link,
    Revocation,
    RevocationError,
    RevocationList,
    Revocations,
    WhenOld,
    is_ended,
    link_of,
    links_of,
    read_lists,
)
from issuing import DAY, NOON, Issued, authority, ec_key, issue
from support.revocation import revocation_list

ROOT = authority("root")
ISSUING = authority("issuing", by=ROOT)
DEVICE, OTHER = issue("d1", by=ISSUING), issue("d2", by=ISSUING)
NOW = NOON.timestamp()


def path_of(device: Issued, *issuers: Issued) -> tuple[Link, ...]:
    return links_of([each.certificate for each in (device, *(issuers or (ISSUING, ROOT)))])


def lists(*pems: bytes) -> list[RevocationList]:
    return [each for pem in pems for each in read_lists(pem, "crl.pem")]


def test_who_is_on_the_list_is_revoked_and_the_others_are_not() -> None:
    found = Revocations(lists(revocation_list(ISSUING, DEVICE)))
    assert found.problem_with(path_of(DEVICE), NOW) is Revocation.REVOKED
    assert found.problem_with(path_of(OTHER), NOW) is None
    assert len(found) == 1


def test_without_lists_nobody_is_revoked() -> None:
    assert Revocations().problem_with(path_of(DEVICE), NOW) is None


def test_an_authority_that_was_revoked_takes_all_below_it_along() -> None:
    found = Revocations(lists(revocation_list(ROOT, ISSUING)))
    assert [found.problem_with(path_of(device), NOW) for device in (DEVICE, OTHER)] == [Revocation.REVOKED] * 2
    assert found.problem_with(path_of(issue("d3", by=ROOT), ROOT), NOW) is None


def test_any_list_of_the_issuer_counts_also_an_old_one_beside_a_new() -> None:
    old = revocation_list(ISSUING, DEVICE, at=NOON - 9 * DAY, until=NOON - 8 * DAY)
    new = revocation_list(ISSUING, number=2)
    found = Revocations(lists(old + new), when_old=WhenOld.REFUSE)
    assert found.problem_with(path_of(DEVICE), NOW) is Revocation.REVOKED
    assert found.problem_with(path_of(OTHER), NOW) is None, "the newest is in time"
    assert [is_ended(each, NOW) for each in found.newest_of_each()] == [False]


@pytest.mark.parametrize(("when_old", "problem"), [(WhenOld.ACCEPT, None), (WhenOld.REFUSE, Revocation.LIST_ENDED)])
def test_a_list_past_its_next_update_means_what_the_policy_says(when_old: WhenOld, problem: Revocation | None) -> None:
    ended = revocation_list(ISSUING, DEVICE, at=NOON - 2 * DAY, until=NOON - DAY)
    found = Revocations(lists(ended), when_old=when_old)
    assert found.problem_with(path_of(DEVICE), NOW) is Revocation.REVOKED, "who is on it is revoked in any case"
    assert found.problem_with(path_of(OTHER), NOW) is problem
    assert found.problem_with(path_of(issue("d3", by=ROOT), ROOT), NOW) is None, "another authority's"


def test_a_list_counts_only_if_the_issuer_has_signed_it_and_a_forged_one_is_told_once() -> None:
    told: list[RevocationList] = []
    forged = lists(revocation_list(ISSUING, DEVICE, key=ec_key()))
    found = Revocations(forged, on_forged=told.append)
    for _ in range(3):
        assert found.problem_with(path_of(DEVICE), NOW) is None
    assert told == forged


def test_a_list_of_an_authority_of_the_same_name_is_another_list() -> None:
    namesake = authority("issuing", by=ROOT)
    serial = DEVICE.certificate.serial_number
    theirs = lists(revocation_list(namesake, DEVICE))
    path = (link_of(DEVICE.certificate),)
    assert path[0].key_id is None or theirs[0].key_id != path[0].key_id
    told: list[RevocationList] = []
    assert Revocations(theirs, on_forged=told.append).problem_with(path_of(DEVICE), NOW) is None
    with_id = Link(serial=serial, issuer=path[0].issuer, key_id=b"another", signer=None)
    assert not theirs[0].is_of(with_id)


def test_one_known_by_its_thumbprint_is_revoked_by_name_and_number() -> None:
    found = Revocations(lists(revocation_list(ISSUING, DEVICE, with_key_id=False)))
    assert found.problem_with([link_of(DEVICE.certificate)], NOW) is Revocation.REVOKED
    assert found.problem_with([link_of(OTHER.certificate)], NOW) is None


@pytest.mark.parametrize("serial", [0, -5, 1 << 200])
def test_odd_serial_numbers_are_on_no_list(serial: int) -> None:
    found = Revocations(lists(revocation_list(ISSUING, DEVICE)))
    link = Link(serial=serial, issuer=lists(revocation_list(ISSUING))[0].issuer, key_id=None, signer=None)
    assert found.problem_with([link], NOW) is None


def test_several_lists_in_pem_and_one_in_der_are_read() -> None:
    pem = revocation_list(ISSUING, DEVICE)
    assert len(lists(b"# a comment\n" + pem + revocation_list(ROOT))) == 2
    der = x509.load_pem_x509_crl(pem).public_bytes(Encoding.DER)
    (one,) = read_lists(der, "crl.der")
    assert (len(one), one.next_update_at) == (1, (NOON + timedelta(days=30)).timestamp())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no list of revoked certificates that can be read"),
        (b"garbage", "`edgeca crl` writes them"),
        (revocation_list(ISSUING)[:-40], "is cut off in the middle of a list"),
        (revocation_list(ISSUING) + revocation_list(ROOT)[:100], "is cut off in the middle of a list"),
        (ISSUING.pem, "holds no list of revoked certificates"),
        (
            revocation_list(ISSUING, critical=[x509.DeltaCRLIndicator(3)]),
            "is a list of a special kind (deltaCRLIndicator)",
        ),
        (
            revocation_list(
                ISSUING,
                critical=[
                    x509.IssuingDistributionPoint(
                        full_name=None,
                        relative_name=None,
                        only_contains_user_certs=False,
                        only_contains_ca_certs=False,
                        only_some_reasons=None,
                        indirect_crl=True,
                        only_contains_attribute_certs=False,
                    )
                ],
            ),
            "Ask the authority for its full list",
        ),
    ],
)
def test_what_cannot_be_used_is_named_with_what_to_do(content: bytes, says: str) -> None:
    with pytest.raises(RevocationError) as raised:
        read_lists(content, "/x/crl.pem")
    assert str(raised.value).startswith("/x/crl.pem ")
    assert says in str(raised.value)


def test_a_list_signed_with_sha_1_proves_nothing() -> None:
    pem = revocation_list(ISSUING, key=rsa.generate_private_key(65537, 2048))
    der = x509.load_pem_x509_crl(pem).public_bytes(Encoding.DER)
    # OpenSSL signs none any more: sha256WithRSAEncryption becomes sha1WithRSAEncryption (RFC 8017 appendix C).
    with pytest.raises(RevocationError, match="signed with SHA-1 or MD5"):
        read_lists(der.replace(bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")), "crl.pem")


@given(st.binary(max_size=300) | st.integers(0, 200).map(lambda at: revocation_list(ISSUING, DEVICE)[at:]))
@settings(deadline=None, max_examples=60)
def test_mangled_lists_are_refused_and_nothing_else(content: bytes) -> None:
    with contextlib.suppress(RevocationError):
        read_lists(content, "crl.pem")


def test_too_many_lists_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "MAX_LISTS", 2)
    with pytest.raises(RevocationError, match=r"there are 3 lists, more than 2\. Take the old ones out"):
        Revocations(lists(*[revocation_list(ROOT)] * 3))


def test_signatures_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "MAX_LISTS", 3)
    (one,) = lists(revocation_list(ISSUING))
    for number in range(10):
        assert not one.is_signed_by(authority(f"a{number}").certificate)
    assert one.is_signed_by(ISSUING.certificate)
    assert len(one._signed_by) <= 3
