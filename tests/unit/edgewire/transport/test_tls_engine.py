"""One suite for both engines: the same promises whatever library is below."""

import ssl
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from edgewire.transport.reports import HandshakeFailure
from edgewire.transport.tls import ClientCertificates, Security
from edgewire.transport.tls_engine import HandshakeError, TlsEngine, TlsError, failure_of
from support.certificates import rsa_key, self_signed
from support.tls_client import MemoryClient, client_context

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope="module", params=list(ClientCertificates), ids=lambda kind: str(kind.value))
def security(request: pytest.FixtureRequest) -> Security:
    server = self_signed("gateway")
    return Security(server.pem, server.key_pem, client_certificates=request.param)


@pytest.fixture(params=list(VERSIONS))
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(security: Security) -> TlsEngine:
    return security.engine()


@pytest.fixture
def client(engine: TlsEngine, version: str) -> MemoryClient:
    """A client that is connected with the engine."""
    client = MemoryClient(client_context(version=VERSIONS[version]))
    client.connect(engine)
    return client


def test_it_speaks_both_versions(engine: TlsEngine, client: MemoryClient, version: str) -> None:
    assert engine.version == version == client.tls.version()
    assert engine.certificates == ()


def test_clear_text_goes_both_ways(engine: TlsEngine, client: MemoryClient) -> None:
    assert engine.decrypt(client.send(b"to the gateway")) == b"to the gateway"
    assert client.read(engine.encrypt(b"to the device")) == b"to the device"


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 200_000])
def test_any_amount_goes_both_ways(engine: TlsEngine, client: MemoryClient, size: int) -> None:
    data = bytes(size)
    assert client.read(engine.encrypt(data)) == data
    if data:
        assert engine.decrypt(client.send(data)) == data


def test_many_records_in_one_read_come_out_together(engine: TlsEngine, client: MemoryClient) -> None:
    records = b"".join(client.send(b"%d," % number) for number in range(50))
    assert engine.decrypt(records) == b"".join(b"%d," % number for number in range(50))


def test_a_record_may_be_cut_anywhere(engine: TlsEngine, client: MemoryClient) -> None:
    records = client.send(b"first") + client.send(b"second")
    clear = [engine.decrypt(records[at : at + 1]) for at in range(len(records))]
    assert [piece for piece in clear if piece] == [b"first", b"second"]


def test_a_handshake_may_be_cut_anywhere(engine: TlsEngine, version: str) -> None:
    client = MemoryClient(client_context(version=VERSIONS[version]))
    done = False
    while not done:
        client.handshake()
        for byte in client.to_server.read():
            done = engine.handshake(bytes([byte]))
            client.from_server.write(engine.take_output())
    assert client.handshake()


def test_data_that_comes_with_the_last_flight_is_not_lost(engine: TlsEngine, version: str) -> None:
    client = MemoryClient(client_context(version=VERSIONS[version]))
    assert not engine.handshake(client.hello())
    client.from_server.write(engine.take_output())
    finished = client.handshake()
    flight = client.to_server.read()
    if finished:  # TLS 1.3: the client may send at once
        flight += client.send(b"early")
    assert engine.handshake(flight)
    assert engine.decrypt(b"") == (b"early" if finished else b"")


def test_the_peers_close_notify_is_seen_after_its_data(engine: TlsEngine, client: MemoryClient) -> None:
    records = client.send(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    assert engine.decrypt(records + client.to_server.read()) == b"last words"
    assert engine.ended


def test_shutdown_says_close_notify(engine: TlsEngine, client: MemoryClient) -> None:
    assert not engine.ended
    engine.shutdown()
    client.from_server.write(engine.take_output())
    assert client.tls.read(1) == b""


def test_shutdown_before_the_handshake_does_no_harm(engine: TlsEngine) -> None:
    engine.shutdown()


def test_a_changed_record_is_refused(engine: TlsEngine, client: MemoryClient) -> None:
    records = bytearray(client.send(b"trust me"))
    records[-1] ^= 1
    with pytest.raises(TlsError):
        engine.decrypt(bytes(records))
    engine.shutdown()


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", HandshakeFailure.NOT_TLS),
        (b"\x16\x03\x01\x00\x05hello", HandshakeFailure.TLS_MALFORMED),
        (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", HandshakeFailure.TLS_MALFORMED),
    ],
)
def test_what_is_no_handshake_is_refused(engine: TlsEngine, hello: bytes, reason: HandshakeFailure) -> None:
    with pytest.raises(HandshakeError) as caught:
        engine.handshake(hello)
    assert caught.value.reason is reason
    assert str(caught.value)


def test_old_versions_are_refused_with_an_alert(engine: TlsEngine) -> None:
    hello = bytearray(MemoryClient(client_context(version=ssl.TLSVersion.TLSv1_2)).hello())
    hello[9:11] = b"\x03\x02"  # client_version: TLS 1.1 (RFC 5246 §7.4.1.2)
    with pytest.raises(HandshakeError) as caught:
        engine.handshake(bytes(hello))
    assert caught.value.reason is HandshakeFailure.TLS_VERSION
    assert engine.take_output()[5:] == b"\x02\x46"  # fatal, protocol_version


@pytest.mark.parametrize("ciphers", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"])
def test_static_rsa_cbc_and_finite_field_ciphers_are_refused(engine: TlsEngine, ciphers: str) -> None:
    client = MemoryClient(client_context(version=ssl.TLSVersion.TLSv1_2, ciphers=ciphers))
    with pytest.raises(HandshakeError) as caught:
        engine.handshake(client.hello())
    assert caught.value.reason is HandshakeFailure.TLS_CIPHER
    assert engine.take_output()


def test_a_client_that_does_not_trust_us_is_understood(engine: TlsEngine, version: str) -> None:
    context = client_context(version=VERSIONS[version])
    context.verify_mode = ssl.CERT_REQUIRED
    client = MemoryClient(context)
    engine.handshake(client.hello())
    client.from_server.write(engine.take_output())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.tls.do_handshake()
    with pytest.raises(HandshakeError) as caught:
        engine.handshake(client.to_server.read())
    assert caught.value.reason is HandshakeFailure.CERTIFICATE_REFUSED


def test_renegotiation_is_refused(engine: TlsEngine) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    done = False
    while not done:
        with suppress(SSL.WantReadError):
            client.do_handshake()
        done = engine.handshake(client.bio_read(65_536))
        client.bio_write(engine.take_output())
    client.do_handshake()
    client.renegotiate()
    with suppress(SSL.WantReadError):
        client.do_handshake()
    assert engine.decrypt(client.bio_read(65_536)) == b""
    client.bio_write(engine.take_output())
    with pytest.raises(SSL.Error, match="no renegotiation"):
        client.do_handshake()


def test_reading_data_alone_makes_no_output_worth_looking_for(engine: TlsEngine, client: MemoryClient) -> None:
    engine.decrypt(client.send(b"small"))
    assert not engine.may_have_output
    assert engine.take_output() == b""


def test_rsa_keys_are_served_too(version: str, security: Security) -> None:
    server = self_signed("gateway", key=rsa_key())
    engine = Security(server.pem, server.key_pem, client_certificates=security.client_certificates).engine()
    client = MemoryClient(client_context(version=VERSIONS[version]))
    client.connect(engine)
    assert client.tls.getpeercert(binary_form=True) == server.der


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mangled_hello_causes_a_handshake_error_and_nothing_else(security: Security, data: st.DataObject) -> None:
    hello = bytearray(MemoryClient(client_context()).hello())
    for _ in range(data.draw(st.integers(1, 8))):
        hello[data.draw(st.integers(0, len(hello) - 1))] = data.draw(st.integers(0, 255))
    engine = security.engine()
    with suppress(HandshakeError):
        engine.handshake(bytes(hello))
    engine.take_output()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(min_size=1, max_size=300))
def test_noise_in_a_session_causes_a_tls_error_and_nothing_else(security: Security, noise: bytes) -> None:
    engine = security.engine()
    client = MemoryClient(client_context())
    client.connect(engine)
    with suppress(TlsError):
        assert engine.decrypt(noise) == b""


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("HTTP_REQUEST", HandshakeFailure.NOT_TLS),
        ("wrong version number", HandshakeFailure.NOT_TLS),
        ("UNSUPPORTED_PROTOCOL", HandshakeFailure.TLS_VERSION),
        ("tlsv1 alert protocol version", HandshakeFailure.TLS_VERSION),
        ("version too low", HandshakeFailure.TLS_VERSION),
        ("NO_SHARED_CIPHER", HandshakeFailure.TLS_CIPHER),
        ("no suitable key share", HandshakeFailure.TLS_CIPHER),
        ("TLSV1_ALERT_UNKNOWN_CA", HandshakeFailure.CERTIFICATE_REFUSED),
        ("ssl/tls alert bad certificate", HandshakeFailure.CERTIFICATE_REFUSED),
        ("length too short", HandshakeFailure.TLS_MALFORMED),
    ],
)
def test_the_words_of_openssl_are_sorted(words: str, reason: HandshakeFailure) -> None:
    assert failure_of(words) is reason
