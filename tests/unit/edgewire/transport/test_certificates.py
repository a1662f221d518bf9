import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from edgewire.transport.certificates import SecurityError, read_server_certificate
from support.certificates import Credential, authority, rsa_key, self_signed, signed

WHAT = "certificate of listener 'mqtt' (/certs/server.pem)"


@pytest.fixture(scope="module")
def server() -> Credential:
    return signed("gateway", authority("intermediate", issuer=authority("root")))


def refusal(chain: bytes, key: bytes, now: float | None = None) -> str:
    with pytest.raises(SecurityError) as caught:
        read_server_certificate(chain, key, what=WHAT, now=time.time() if now is None else now)
    sentence = str(caught.value)
    assert sentence.startswith(f"{WHAT}: ")
    assert "PRIVATE KEY-----\n" not in sentence
    return sentence


def test_a_chain_and_its_key_are_read(server: Credential) -> None:
    read = read_server_certificate(server.pem, server.key_pem, what=WHAT, now=time.time())
    assert [link.subject.rfc4514_string() for link in read.chain] == ["CN=gateway", "CN=intermediate"]
    assert read.expires_at == min(link.not_valid_after_utc.timestamp() for link in read.chain)


def test_an_rsa_key_is_read() -> None:
    server = self_signed("gateway", key=rsa_key())
    assert read_server_certificate(server.pem, server.key_pem, what=WHAT, now=time.time()).chain


def test_the_time_of_expiry_is_that_of_the_first_to_expire() -> None:
    short = self_signed("short", lasts_s=7200)
    long = self_signed("long", lasts_s=72_000)
    read = read_server_certificate(long.pem + short.pem, long.key_pem, what=WHAT, now=time.time())
    assert read.expires_at == short.certificate.not_valid_after_utc.timestamp()


@pytest.mark.parametrize("chain", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_chain_that_is_none_says_what_to_give(server: Credential, chain: bytes) -> None:
    assert "-----BEGIN CERTIFICATE-----" in refusal(chain, server.key_pem)


@pytest.mark.parametrize("key", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_is_none_says_what_to_give(server: Credential, key: bytes) -> None:
    assert "-----BEGIN PRIVATE KEY-----" in refusal(server.pem, key)


def test_a_key_with_a_pass_phrase_is_refused(server: Credential) -> None:
    locked = server.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    assert "pass phrase" in refusal(server.pem, locked)


def test_a_key_of_another_certificate_is_refused(server: Credential) -> None:
    assert "made together" in refusal(server.pem, self_signed("other").key_pem)


def test_a_chain_in_the_wrong_order_says_which_comes_first(server: Credential) -> None:
    turned = server.issuers[0].public_bytes(Encoding.PEM) + server.certificate.public_bytes(Encoding.PEM)
    assert "Certificate 2 of the chain matches the key: put that one first." in refusal(turned, server.key_pem)


def test_an_expired_certificate_is_refused_and_names_both_dates() -> None:
    old = self_signed("gateway", starts_in_s=-7200, lasts_s=3600)
    sentence = refusal(old.pem, old.key_pem)
    assert "CN=gateway expired at" in sentence
    assert "set the clock" in sentence


def test_an_expired_issuer_is_refused_too(server: Credential) -> None:
    old = self_signed("old root", starts_in_s=-7200, lasts_s=3600)
    assert "CN=old root expired at" in refusal(server.pem + old.pem, server.key_pem)


def test_a_certificate_is_expired_from_the_second_it_ends(server: Credential) -> None:
    end = min(link.not_valid_after_utc.timestamp() for link in (server.certificate, server.issuers[0]))
    assert read_server_certificate(server.pem, server.key_pem, what=WHAT, now=end - 1).expires_at == end
    assert "expired" in refusal(server.pem, server.key_pem, now=end)


def test_a_certificate_of_the_future_passes_for_the_sake_of_boards_without_a_clock() -> None:
    coming = self_signed("gateway", starts_in_s=3600)
    assert read_server_certificate(coming.pem, coming.key_pem, what=WHAT, now=time.time()).chain


def test_a_short_rsa_key_is_refused() -> None:
    weak = self_signed("gateway", key=rsa.generate_private_key(65537, 1024))
    assert "1024 bits" in refusal(weak.pem, weak.key_pem)


def test_a_key_that_boards_cannot_use_is_refused(server: Credential) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert "neither RSA nor EC" in refusal(server.pem, pem)
