import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.identity.anchor import AnchorError, RootKey, root_key
from issuing import Issued, issue

RSA = rsa.generate_private_key(65_537, 2048)
ROOT = issue("root", key=RSA, is_authority=True)
MIDDLE = issue("middle", by=ROOT, is_authority=True)
LEAF = issue("gateway", by=MIDDLE)
WANTED = RootKey(f"{RSA.public_key().public_numbers().n:0512x}", 65_537)


@pytest.mark.parametrize(
    ("chain", "bundle"),
    [
        ([LEAF, MIDDLE, ROOT], b""),
        ([LEAF, MIDDLE], ROOT.pem),
        ([LEAF], MIDDLE.pem + ROOT.pem),
        ([LEAF, MIDDLE], issue("root", is_authority=True).pem + ROOT.pem),  # another of the same name
        ([LEAF, MIDDLE, ROOT], b"no bundle at all"),
    ],
)
def test_the_root_is_found_in_the_chain_or_in_the_bundle(chain: list[Issued], bundle: bytes) -> None:
    assert root_key([each.certificate for each in chain], bundle) == WANTED


def test_a_chain_without_its_root_is_said() -> None:
    for bundle in (b"", issue("root", is_authority=True).pem):
        with pytest.raises(AnchorError, match=r"does not hold 'CN=root'.*GATEWAY_TRUST_BUNDLE_FILE"):
            root_key([LEAF.certificate, MIDDLE.certificate], bundle)


def test_a_root_that_boards_cannot_take_is_said() -> None:
    with pytest.raises(AnchorError, match="'CN=curves' is not RSA"):
        root_key([issue("curves").certificate], b"")
    weak = issue("weak", key=rsa.generate_private_key(65_537, 1024))
    with pytest.raises(AnchorError, match="has 1024 bits"):
        root_key([weak.certificate], b"")
    odd = issue("odd", key=rsa.generate_private_key(3, 2048))
    with pytest.raises(AnchorError, match="the exponent 3"):
        root_key([odd.certificate], b"")
