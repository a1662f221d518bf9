import hashlib
import warnings
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.identity.certificates import CertificateError, ChainProblem, TrustBundle, read_leaf
from issuing import CLIENT, DAY, NOON, SERVER, Issued, authority, issue

NOW = NOON.timestamp()
ROOT = authority("root")
MIDDLE = authority("middle", ROOT)
BUNDLE = TrustBundle(ROOT.pem)
UNTRUSTED = ChainProblem.UNTRUSTED


def test_what_a_certificate_says() -> None:
    issued = issue("leaf-01", usages=(CLIENT,))
    leaf = read_leaf(issued.der)
    assert leaf.common_name == "leaf-01"
    assert leaf.thumbprints == (
        hashlib.sha1(issued.der).hexdigest().upper(),
        hashlib.sha256(issued.der).hexdigest().upper(),
    )
    assert (leaf.valid_from, leaf.valid_until) == ((NOON - DAY).timestamp(), (NOON + DAY).timestamp())
    assert leaf.is_valid_at(NOW)
    assert not leaf.is_valid_at(leaf.valid_from - 1)
    assert not leaf.is_valid_at(leaf.valid_until + 1)
    assert not leaf.is_authority
    assert leaf.is_for_clients


def test_two_common_names_are_none() -> None:
    assert read_leaf(issue("a", "b").der).common_name is None
    assert read_leaf(issue().der).common_name is None


def test_key_usages() -> None:
    assert read_leaf(issue("a").der).is_for_clients
    assert read_leaf(issue("a", usages=(SERVER, CLIENT)).der).is_for_clients
    assert not read_leaf(issue("a", usages=(SERVER,)).der).is_for_clients


def test_authorities() -> None:
    assert read_leaf(ROOT.der).is_authority
    assert not read_leaf(issue("a", is_authority=None).der).is_authority


def test_a_serial_number_below_one_is_read_and_writes_no_warning() -> None:
    at = ROOT.der.index(b"\x02\x01\x02\x02") + 5  # the version, then tag and length of the serial number
    negative = ROOT.der[:at] + b"\x80" + ROOT.der[at + 1 :]
    with warnings.catch_warnings(record=True) as written:
        warnings.simplefilter("always")
        assert read_leaf(negative).common_name == read_leaf(ROOT.der).common_name
        assert BUNDLE.problem_with([negative], NOW) is ChainProblem.UNTRUSTED
    assert written == []


@settings(deadline=None, max_examples=200)
@given(st.integers(0, len(ROOT.der) - 1), st.integers(0, 255), st.booleans())
def test_a_mangled_certificate_is_read_or_refused(at: int, byte: int, cut: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    der = ROOT.der[:at] if cut else ROOT.der[:at] + bytes([byte]) + ROOT.der[at + 1 :]
    with suppress(CertificateError):
        read_leaf(der)
    BUNDLE.problem_with([der], NOW)
    BUNDLE.problem_with([issue_once().der, der], NOW)


_ISSUED: list[Issued] = []


def issue_once() -> Issued:
    if not _ISSUED:
        _ISSUED.append(issue("leaf-01", by=MIDDLE))
    return _ISSUED[0]


def test_a_chain_to_the_root() -> None:
    assert BUNDLE.problem_with([issue("d", by=ROOT).der], NOW) is None
    assert BUNDLE.problem_with([issue("d", by=MIDDLE).der, MIDDLE.der], NOW) is None
    assert BUNDLE.problem_with([issue("d", by=MIDDLE).der, MIDDLE.der, ROOT.der], NOW) is None


def test_a_chain_of_rsa_keys() -> None:
    root = authority("rsa root", key=rsa.generate_private_key(65537, 2048))
    leaf = issue("d", by=root, key=rsa.generate_private_key(65537, 2048))
    assert TrustBundle(root.pem + ROOT.pem).problem_with([leaf.der], NOW) is None


def test_a_weak_rsa_key_is_not_trusted() -> None:
    leaf = issue("d", by=ROOT, key=rsa.generate_private_key(65537, 1024))
    assert BUNDLE.problem_with([leaf.der], NOW) is UNTRUSTED


def test_an_intermediate_in_the_bundle_is_enough() -> None:
    assert TrustBundle(MIDDLE.pem).problem_with([issue("d", by=MIDDLE).der], NOW) is None


def test_a_missing_intermediate() -> None:
    assert BUNDLE.problem_with([issue("d", by=MIDDLE).der], NOW) is UNTRUSTED


def test_another_authority_also_of_the_same_name() -> None:
    fake = authority("root")
    assert BUNDLE.problem_with([issue("d", by=fake).der], NOW) is UNTRUSTED
    assert BUNDLE.problem_with([issue("d", by=fake).der, fake.der], NOW) is UNTRUSTED
    assert BUNDLE.problem_with([issue("d", by=fake).der, fake.der, ROOT.der], NOW) is UNTRUSTED


def test_a_self_signed_certificate() -> None:
    assert BUNDLE.problem_with([issue("d").der], NOW) is UNTRUSTED


def test_a_device_that_issues_is_no_authority() -> None:
    device = issue("d", by=ROOT)
    assert BUNDLE.problem_with([issue("e", by=device).der, device.der], NOW) is UNTRUSTED
    old = issue("d", by=ROOT, is_authority=None)
    assert BUNDLE.problem_with([issue("e", by=old).der, old.der], NOW) is UNTRUSTED


def test_a_path_longer_than_the_authority_allows() -> None:
    root = authority("short", path_length=0)
    middle = authority("too much", root)
    assert TrustBundle(root.pem).problem_with([issue("d", by=middle).der, middle.der], NOW) is UNTRUSTED


def test_a_leaf_in_the_bundle_is_not_its_own_authority() -> None:
    leaf = issue("d")
    assert TrustBundle(leaf.pem).problem_with([leaf.der], NOW) is UNTRUSTED


def test_dates_are_judged_by_the_clock_given() -> None:
    expired = issue("d", by=ROOT, valid_until=NOON - DAY / 2)
    future = issue("d", by=ROOT, valid_from=NOON + DAY / 2)
    assert BUNDLE.problem_with([expired.der], NOW) is ChainProblem.EXPIRED
    assert BUNDLE.problem_with([future.der], NOW) is ChainProblem.EXPIRED
    assert BUNDLE.problem_with([expired.der], NOW - 0.7 * 86400) is None
    assert BUNDLE.problem_with([issue("d", by=ROOT).der], NOW + 2 * 86400) is ChainProblem.EXPIRED
    old = issue("old", by=ROOT, is_authority=True, valid_until=NOON - DAY / 2)
    assert BUNDLE.problem_with([issue("d", by=old).der, old.der], NOW) is ChainProblem.EXPIRED


@pytest.mark.parametrize("chain", [[], [b""], [b"no certificate"], [ROOT.der] * 11])
def test_no_chain_at_all(chain: list[bytes]) -> None:
    assert BUNDLE.problem_with(chain, NOW) is UNTRUSTED


@pytest.mark.parametrize("pem", [b"", b"no pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_bundle_that_is_none(pem: bytes) -> None:
    with pytest.raises(CertificateError, match="trust bundle"):
        TrustBundle(pem)
