import pytest
from cryptography.hazmat.primitives import hashes

from issuing import DAY, NOON, Issued, authority, issue
from standin.chains import MAX_CHAIN, common_name, distance, has_thumbprint, is_current, read_chain

NOW = NOON.timestamp()
ROOT = authority("root")
MIDDLE = authority("middle", by=ROOT)
LEAF = issue("leaf", by=MIDDLE)


def below(*chain: Issued, authorities: tuple[Issued, ...] = (ROOT,)) -> int | None:
    return distance([each.certificate for each in chain], [each.certificate for each in authorities], NOW)


def test_a_chain_is_as_long_as_the_way_to_an_authority() -> None:
    assert below(LEAF, MIDDLE) == below(LEAF, MIDDLE, ROOT) == 2
    assert below(LEAF, MIDDLE, authorities=(MIDDLE,)) == below(LEAF, authorities=(ROOT, MIDDLE)) == 1


@pytest.mark.parametrize(
    "chain",
    [
        (),
        (LEAF,),
        (LEAF, ROOT),
        (LEAF, MIDDLE),
        (issue("leaf", by=(device := issue("device", by=ROOT))), device),
        (issue("leaf", by=(bare := issue("bare", by=ROOT, is_authority=None))), bare),
        (issue("leaf", by=(old := issue("old", by=ROOT, is_authority=True, valid_until=NOON - DAY / 2))), old),
    ],
)
def test_a_chain_that_does_not_reach_an_authority_counts_for_nothing(chain: tuple[Issued, ...]) -> None:
    assert below(*chain, authorities=(authority("root") if chain == (LEAF, MIDDLE) else ROOT,)) is None


def test_a_certificate_is_known_by_either_thumbprint() -> None:
    sha256 = "".join(f"{byte:02X}" for byte in LEAF.certificate.fingerprint(hashes.SHA256()))
    sha1 = "".join(f"{byte:02X}" for byte in LEAF.certificate.fingerprint(hashes.SHA1()))
    assert has_thumbprint(LEAF.certificate, ["0" * 40, sha256])
    assert has_thumbprint(LEAF.certificate, [sha1])
    assert not has_thumbprint(MIDDLE.certificate, [sha1, sha256])


def test_two_common_names_are_none() -> None:
    assert common_name(LEAF.certificate) == "leaf"
    assert common_name(issue("a", "b").certificate) is None
    assert common_name(issue().certificate) is None


def test_dates_count_to_the_second() -> None:
    assert is_current(LEAF.certificate, NOW)
    assert not is_current(LEAF.certificate, (NOON + DAY).timestamp() + 1)
    assert not is_current(LEAF.certificate, (NOON - DAY).timestamp() - 1)


def test_only_so_many_certificates_are_read() -> None:
    assert len(read_chain([LEAF.der] * (MAX_CHAIN + 1))) == MAX_CHAIN
    with pytest.raises(ValueError, match="parsing"):
        read_chain([b"nonsense"])
