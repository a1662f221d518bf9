import base64
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from edgewire.iothub import sas
from edgewire.iothub.dps import Registrant
from issuing import DAY, NOON, Issued, authority, issue
from standin.documents import Documents
from standin.dps_admission import DpsAdmission, Proven
from standin.dps_enrolments import Attestation, Enrolment, Enrolments, with_keys
from standin.dps_errors import DpsError

SCOPE = "0ne00ABCDEF"
# The keys and tokens of iothub_wire.md §7.2.
K1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
K2 = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
GROUP_KEY = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw=="
DERIVED = "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc="
V07 = (
    "SharedAccessSignature sr=0ne00ABCDEF%2Fregistrations%2Freg-01"
    "&sig=cQIctL5Muj4eQsK%2BIjEGR9tqNn491xM7Akg2Vjdd3YE%3D&se=1900000000"
)
V08 = (
    "SharedAccessSignature sr=0ne00ABCDEF/registrations/reg-01"
    "&sig=DK2e23r%2Bd16FOL9SEAm9vuWvi7C1ZiZKVyrdBU4mzwA%3D&se=1900000000&skn=registration"
)
V09 = (
    "SharedAccessSignature sr=0ne00ABCDEF%2Fregistrations%2Fsn-007-888-abc-mac-a1-b2-c3-d4-e5-f6"
    "&sig=LA1a8h%2Bok%2FhZez2hWFuSVLj%2FTsW6UsrckxhICyeM5Tg%3D&se=1900000000"
)
REG = Registrant(SCOPE, "reg-01")
MEMBER = Registrant(SCOPE, "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6")
DEVICE = Enrolment(name="reg-01", group=False, attestation=Attestation.SYMMETRIC_KEY)
GROUP = Enrolment(name="meters", group=True, attestation=Attestation.SYMMETRIC_KEY)


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Door:
    clock: Clock
    enrolments: Enrolments
    admission: DpsAdmission

    def admit(self, registrant: Registrant, token: str | None = None, *chain: Issued) -> Proven:
        return self.admission.admit(registrant, token, [each.der for each in chain])

    def refuses(self, registrant: Registrant, token: str | None = None, *chain: Issued) -> str:
        """The reason."""
        with pytest.raises(DpsError) as caught:
            self.admit(registrant, token, *chain)
        assert caught.value.code == 401002
        assert "sig=" not in caught.value.what
        return caught.value.reason


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    clock = Clock()
    with Documents(tmp_path / "state.db") as documents:
        enrolments = Enrolments(documents)
        yield Door(clock, enrolments, DpsAdmission(enrolments, scope=SCOPE, clock=clock))


def thumbprint(issued: Issued) -> str:
    return issued.certificate.fingerprint(SHA256()).hex().upper()


def by_ca(name: str, *issuers: Issued) -> Enrolment:
    pem = issuers[0].certificate.public_bytes(Encoding.PEM).decode()
    return Enrolment(name=name, group=True, attestation=Attestation.X509, authority=pem)


@pytest.mark.parametrize("token", [V07, V08, V07 + "&skn="])
def test_tokens_of_all_sdks_are_taken(door: Door, token: str) -> None:
    """Python's, Node's with a raw sr, Java's with an empty skn."""
    door.enrolments.add(with_keys(DEVICE, [K1, K2]))
    proven = door.admit(REG, token)
    assert (proven.enrolment, proven.keys, proven.expires_at) == ("individual/reg-01", (K1, K2), 1_900_000_000)
    assert K1 not in repr(proven)


def test_the_secondary_key_counts_as_well(door: Door) -> None:
    door.enrolments.add(with_keys(DEVICE, [K2, K1]))
    assert door.admit(REG, V07).keys == (K2, K1)


def test_c_signs_lower_case_escapes(door: Door) -> None:
    door.enrolments.add(with_keys(DEVICE, [K1]))
    resource = "0ne00ABCDEF%2fregistrations%2freg-01"
    made = sas.make("x", sas.decode_key(K1), 1_900_000_000)
    signed = sas.parse(made)
    lower = replace(signed, resource=resource)
    signature = base64.b64encode(hmac.digest(sas.decode_key(K1), lower.signed_text, "sha256")).decode()
    token = f"SharedAccessSignature sr={resource}&sig={quote(signature, safe='')}&se=1900000000&skn=registration"
    assert door.admit(REG, token).enrolment == "individual/reg-01"


def test_a_device_of_a_group_has_a_derived_key(door: Door) -> None:
    door.enrolments.add(with_keys(GROUP, [K1, K1]))
    door.enrolments.add(with_keys(replace(GROUP, name="sensors"), [GROUP_KEY, K2]))
    proven = door.admit(MEMBER, V09)
    assert (proven.enrolment, proven.keys[0]) == ("group/sensors", DERIVED)


def test_a_key_may_be_derived_from_either_case_of_the_id(door: Door) -> None:
    door.enrolments.add(with_keys(GROUP, [K1]))
    upper = Registrant(SCOPE, "Meter-1")
    for name in ("Meter-1", "meter-1"):
        key = sas.derive_device_key(sas.decode_key(K1), name)
        proven = door.admit(upper, sas.make(str(upper), key, 1_900_000_000))
        assert proven.keys[0] == sas.encode_key(key)


def test_an_enrolment_of_its_own_comes_before_groups(door: Door) -> None:
    door.enrolments.add(with_keys(GROUP, [K1]))
    door.enrolments.add(with_keys(DEVICE, [K2]))
    key = sas.derive_device_key(sas.decode_key(K1), "reg-01")
    assert door.refuses(REG, sas.make(str(REG), key, 1_900_000_000)) == "wrong key"


def test_a_disabled_enrolment_still_lets_in(door: Door) -> None:
    door.enrolments.add(replace(with_keys(DEVICE, [K1]), enabled=False))
    assert door.admit(REG, V07).keys[0] == K1


@pytest.mark.parametrize(
    ("registrant", "token", "reason"),
    [
        (REG, None, "no credentials"),
        (REG, "nonsense", "malformed token"),
        (Registrant("0ne00OTHER", "reg-01"), V07, "foreign hub"),
        (Registrant(SCOPE, "reg-02"), V07, "token for another audience"),
        (REG, V09, "token for another audience"),
        (REG, V08.replace("skn=registration", "skn=owner"), "token for another audience"),
        (REG, V07.replace("cQIctL5M", "cQIctL5N"), "wrong key"),
        (MEMBER, V09, "unknown identity"),
    ],
)
def test_who_is_not_enrolled_so_is_refused(door: Door, registrant: Registrant, token: str | None, reason: str) -> None:
    door.enrolments.add(with_keys(DEVICE, [K1, K2]))
    assert door.refuses(registrant, token) == reason


def test_a_member_with_a_foreign_key_is_refused(door: Door) -> None:
    door.enrolments.add(with_keys(GROUP, [K1]))
    assert door.refuses(MEMBER, V09) == "wrong key"


def test_a_token_counts_a_little_longer_than_it_says(door: Door) -> None:
    door.enrolments.add(with_keys(DEVICE, [K1]))
    door.clock.now = 1_900_000_299
    assert door.admit(REG, V07).expires_at == 1_900_000_300
    door.clock.now = 1_900_000_300
    assert door.refuses(REG, V07) == "expired"


def test_a_certificate_of_its_own_proves_a_device_of_that_common_name(door: Door) -> None:
    door.clock.now = NOON.timestamp()
    mine, other = issue("Reg-01"), issue("reg-01")
    enrolment = Enrolment(
        name="reg-01", group=False, attestation=Attestation.X509, thumbprints=(thumbprint(mine), "A" * 40)
    )
    door.enrolments.add(enrolment)
    proven = door.admit(REG, None, mine)
    assert proven.thumbprints == (thumbprint(mine), "A" * 40)
    assert proven.expires_at == mine.certificate.not_valid_after_utc.timestamp()
    assert door.refuses(REG, None, other) == "wrong certificate"
    assert door.refuses(Registrant(SCOPE, "reg-02"), None, mine) == "wrong certificate"
    assert door.refuses(REG, V07) == "wrong kind of credentials"
    door.clock.now = (NOON + 2 * DAY).timestamp()
    assert door.refuses(REG, None, mine) == "expired"


def test_a_ca_proves_the_devices_it_signs(door: Door) -> None:
    door.clock.now = NOON.timestamp()
    root = authority("root")
    middle = authority("middle", by=root)
    device = issue("reg-01", by=middle)
    door.enrolments.add(by_ca("all", root))
    assert door.admit(REG, None, device, middle).enrolment == "group/all"
    assert door.admit(REG, None, device, middle).thumbprints == (thumbprint(device),)
    assert door.refuses(REG, None, device) == "wrong certificate"  # the certificate between is missing
    assert door.refuses(REG, None, issue("reg-01", by=authority("root")), middle) == "wrong certificate"


def test_of_two_groups_the_one_with_the_nearer_ca_counts(door: Door) -> None:
    door.clock.now = NOON.timestamp()
    root = authority("root")
    middle = authority("middle", by=root)
    device = issue("reg-01", by=middle)
    door.enrolments.add(by_ca("all", root))
    door.enrolments.add(by_ca("fleet", middle))
    assert door.admit(REG, None, device, middle).enrolment == "group/fleet"


def test_a_certificate_is_for_nobody_where_tokens_are_wanted(door: Door) -> None:
    door.clock.now = NOON.timestamp()
    assert door.refuses(REG, None, issue("reg-01")) == "unknown identity"
    door.enrolments.add(with_keys(DEVICE, [K1]))
    assert door.refuses(REG, None, issue("reg-01")) == "wrong kind of credentials"
    with pytest.raises(DpsError) as caught:
        door.admission.admit(REG, None, [b"nonsense"])
    assert caught.value.reason == "wrong certificate"


def test_a_name_that_is_there_twice_is_no_name(door: Door) -> None:
    door.clock.now = NOON.timestamp()
    certificate = issue("reg-01", "reg-01")
    assert isinstance(certificate.certificate, x509.Certificate)
    door.enrolments.add(by_ca("all", authority("root")))
    assert door.refuses(REG, None, certificate) == "wrong certificate"
