import ssl

import pytest

from edgewire.transport import tls_standard
from edgewire.transport.certificates import SecurityError
from edgewire.transport.reports import HandshakeFailure
from edgewire.transport.tls import Profile, Security
from edgewire.transport.tls_engine import HandshakeError
from support.certificates import Credential, authority, rsa_key, self_signed, signed
from support.tls_client import MemoryClient, client_context


@pytest.fixture(scope="module")
def server() -> Credential:
    return signed("gateway", authority("intermediate", issuer=authority("root")))


def test_it_serves_the_chain_that_leads_to_the_root(server: Credential) -> None:
    context = ssl.create_default_context(cadata=server.anchor_pem.decode())
    client = MemoryClient(context)
    client.connect(Security(server.pem, server.key_pem).engine())
    assert client.tls.getpeercert(binary_form=True) == server.der


def test_a_session_is_resumed_by_its_ticket(server: Credential) -> None:
    security = Security(server.pem, server.key_pem)
    context = client_context()
    first = MemoryClient(context)
    engine = security.engine()
    first.connect(engine)
    first.read(engine.encrypt(b"the ticket came before this"))
    second = MemoryClient(context, session=first.tls.session)
    second.connect(security.engine())
    assert second.tls.session_reused


def test_no_client_is_asked_for_a_certificate() -> None:
    server = self_signed("gateway")
    engine = Security(server.pem, server.key_pem).engine()
    MemoryClient(client_context()).connect(engine)
    assert engine.certificates == ()


@pytest.fixture(scope="module")
def small() -> Credential:
    return self_signed("gateway", key=rsa_key())


def constrained(server: Credential) -> Security:
    return Security(server.pem, server.key_pem, profile=Profile.CONSTRAINED)


@pytest.mark.parametrize("cipher", ["AES128-SHA256", "AES256-SHA256", "AES128-SHA", "AES256-SHA"])
def test_the_constrained_profile_has_the_four_suites_of_boards(small: Credential, cipher: str) -> None:
    client = MemoryClient(client_context(ciphers=f"{cipher}:@SECLEVEL=2", version=ssl.TLSVersion.TLSv1_2))
    engine = constrained(small).engine()
    client.connect(engine)
    assert (client.tls.cipher() or ("",))[0] == cipher
    assert (engine.version, engine.certificates) == ("TLSv1.2", ())
    records = engine.encrypt(b"x" * 5_000)
    assert [len(body) for body in bodies(records)] == [size(cipher, 4_096), size(cipher, 904)]
    assert client.read(records) == b"x" * 5_000
    assert engine.decrypt(client.send(b"y")) == b"y"


def size(cipher: str, clear: int) -> int:
    """Of a record's body: the vector, clear text and padding, MAC (RFC 7366 §3, as OpenSSL asks)."""
    return 16 + (clear + 16) // 16 * 16 + (32 if cipher.endswith("SHA256") else 20)


def bodies(records: bytes) -> list[bytes]:
    found = []
    while records:
        end = 5 + int.from_bytes(records[3:5], "big")
        found.append(records[5:end])
        records = records[end:]
    return found


@pytest.mark.parametrize(
    ("ciphers", "version"),
    [
        ("ALL:!kRSA", ssl.TLSVersion.TLSv1_2),
        ("AES128-GCM-SHA256", ssl.TLSVersion.TLSv1_2),
        (None, ssl.TLSVersion.TLSv1_3),
    ],
)
def test_the_constrained_profile_has_nothing_else(
    small: Credential, ciphers: str | None, version: ssl.TLSVersion
) -> None:
    with pytest.raises(HandshakeError) as raised:
        MemoryClient(client_context(ciphers=ciphers, version=version)).connect(constrained(small).engine())
    assert raised.value.reason in {HandshakeFailure.TLS_CIPHER, HandshakeFailure.TLS_VERSION}


def test_the_constrained_profile_resumes_nothing_by_a_ticket_and_keeps_few_sessions(
    small: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_standard, "MAX_KEPT_SESSIONS", 1)
    security = constrained(small)
    context = client_context(ciphers="AES128-SHA256", version=ssl.TLSVersion.TLSv1_2)
    first = MemoryClient(context)
    first.connect(security.engine())
    assert first.tls.session is not None
    assert not first.tls.session.has_ticket
    second = MemoryClient(context, session=first.tls.session)
    second.connect(security.engine())  # in a context that has never seen it
    assert not second.tls.session_reused


def test_boards_get_no_chain_that_openssl_does_not_take(small: Credential, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_standard, "CONSTRAINED_CIPHERS", "NONE-OF-THEM")
    with pytest.raises(SecurityError, match="boards cannot be served here"):
        constrained(small)
