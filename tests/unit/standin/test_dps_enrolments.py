from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from edgeca.authority import Authority, self_signed_device
from standin.documents import Documents
from standin.dps_enrolments import (
    MAX_GROUPS,
    Attestation,
    Enrolment,
    EnrolmentError,
    Enrolments,
    Reprovisioning,
    authority_pem,
    normal_thumbprints,
    with_keys,
)

K1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
DEVICE = Enrolment(name="Reg-01", group=False, attestation=Attestation.SYMMETRIC_KEY)
GROUP = Enrolment(name="meters", group=True, attestation=Attestation.SYMMETRIC_KEY)


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[Documents]:
    with Documents(tmp_path / "state.db") as documents:
        yield documents


def test_enrolments_are_found_by_name_without_case_and_after_a_restart(documents: Documents) -> None:
    enrolments = Enrolments(documents)
    device = enrolments.add(
        replace(
            with_keys(DEVICE, [K1]),
            device="pump-7",
            tags={"a": 1},
            desired={"b": 2},
            hub="other",
            reprovisioning=Reprovisioning.RESET,
            payload=[None],
        )
    )
    group = enrolments.add(with_keys(GROUP))
    again = Enrolments(documents)
    assert again.all() == (device, group)
    assert again.individual("REG-01") == device
    assert again.named("Meters") == again.by_key("group/meters") == group
    assert again.groups(Attestation.SYMMETRIC_KEY) == (group,)
    assert again.groups(Attestation.X509) == ()


def test_an_enrolment_is_disabled_and_removed(documents: Documents) -> None:
    enrolments = Enrolments(documents)
    device = enrolments.add(with_keys(DEVICE))
    assert enrolments.set_enabled(device, enabled=False) == replace(device, enabled=False)
    assert Enrolments(documents).named("reg-01").enabled is False
    enrolments.remove(device)
    assert enrolments.all() == Enrolments(documents).all() == ()


def test_keys_are_never_in_a_text() -> None:
    assert K1 not in repr(with_keys(DEVICE, [K1]))


def test_the_keys_that_are_not_given_are_made() -> None:
    made = with_keys(DEVICE, [K1])
    assert made.primary_key == K1
    assert made.signing_keys()[0] == b"0123456789abcdef" * 2
    assert made.secondary_key != with_keys(DEVICE).secondary_key
    with pytest.raises(EnrolmentError, match="Reg-01: the key"):
        with_keys(DEVICE, [K1, "short"])


@pytest.mark.parametrize(
    ("enrolment", "says"),
    [
        (replace(DEVICE, name="a b"), "name 'a b' is impossible"),
        (replace(DEVICE, device="a/b"), "device id 'a/b' is impossible"),
        (replace(DEVICE, desired={"a.b": 1}), "Reg-01: the desired of its twin"),
        (replace(GROUP, device="pump-7"), "is a group"),
        (replace(DEVICE, attestation=Attestation.X509), "thumbprint"),
        (replace(DEVICE, attestation=Attestation.X509, thumbprints=("A" * 40,) * 3), "two of them"),
        (replace(DEVICE, attestation=Attestation.X509, thumbprints=("A" * 40,), edge=True), "symmetric keys"),
        (replace(GROUP, attestation=Attestation.X509), "name the CA"),
    ],
)
def test_what_cannot_be_is_refused(documents: Documents, enrolment: Enrolment, says: str) -> None:
    with pytest.raises(EnrolmentError, match=says):
        Enrolments(documents).add(enrolment)


def test_a_name_is_taken_once(documents: Documents) -> None:
    enrolments = Enrolments(documents)
    enrolments.add(with_keys(DEVICE))
    with pytest.raises(EnrolmentError, match="enrolled already"):
        enrolments.add(with_keys(replace(DEVICE, name="REG-01")))
    enrolments.add(with_keys(replace(GROUP, name="reg-01")))
    with pytest.raises(EnrolmentError, match="say which"):
        enrolments.named("reg-01")
    assert enrolments.named("reg-01", group=True).group
    with pytest.raises(EnrolmentError, match="no enrolment"):
        enrolments.named("reg-02")


def test_there_are_only_so_many_groups(documents: Documents) -> None:
    enrolments = Enrolments(documents)
    for number in range(MAX_GROUPS):
        enrolments.add(with_keys(replace(GROUP, name=f"g{number}"), [K1, K1]))
    with pytest.raises(EnrolmentError, match="takes no more"):
        enrolments.add(with_keys(GROUP))
    enrolments.add(with_keys(DEVICE))


def test_an_authority_is_a_certificate_that_may_sign() -> None:
    def pem(certificate: Any) -> bytes:
        found: bytes = certificate.public_bytes(Encoding.PEM)
        return found

    root = Authority.create("Test").root.certificate
    assert authority_pem(pem(root)) == pem(root).decode()
    for wrong in (b"", b"nonsense", pem(self_signed_device("d").certificate)):
        with pytest.raises(EnrolmentError):
            authority_pem(wrong)


def test_thumbprints_are_compared_in_one_form() -> None:
    assert normal_thumbprints(["ab:" * 19 + "ab"]) == ("AB" * 20,)
