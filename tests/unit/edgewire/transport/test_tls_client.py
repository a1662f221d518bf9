import pytest

from edgewire.transport.certificates import SecurityError
from edgewire.transport.reports import HandshakeFailure
from edgewire.transport.tls import Security
from edgewire.transport.tls_client import ClientEngine, ClientSecurity
from edgewire.transport.tls_engine import HandshakeError, TlsEngine
from support.certificates import self_signed

SERVER = self_signed("gateway")


def shake(client: ClientEngine, server: TlsEngine) -> None:
    """Both handshakes."""
    to_server = b"" if client.handshake(b"") else client.take_output()
    for _ in range(4):
        server.handshake(to_server)
        done = client.handshake(server.take_output())
        to_server = client.take_output()
        if done:
            if to_server:
                server.handshake(to_server)
            return
    raise AssertionError("no handshake after 4 flights")


def test_client_and_server_understand_each_other() -> None:
    client = ClientSecurity(SERVER.anchor_pem).engine("gateway")
    server = Security(SERVER.pem, SERVER.key_pem).engine()
    shake(client, server)
    assert client.version == server.version == "TLSv1.3"
    client.decrypt(server.take_output())
    assert server.decrypt(client.encrypt(b"up")) == b"up"
    assert client.decrypt(server.encrypt(b"down")) == b"down"
    assert client.certificates == (SERVER.der,)
    assert server.certificates == ()


@pytest.mark.parametrize(("trusted", "name"), [(b"", "gateway"), (SERVER.anchor_pem, "elsewhere")])
def test_who_is_not_believed_is_refused(trusted: bytes, name: str) -> None:
    server = Security(SERVER.pem, SERVER.key_pem).engine()
    with pytest.raises(HandshakeError) as failed:
        shake(ClientSecurity(trusted).engine(name), server)
    assert failed.value.reason is HandshakeFailure.CERTIFICATE_REFUSED


def test_a_server_that_speaks_no_tls_is_another_failure() -> None:
    client = ClientSecurity().engine("gateway")
    client.handshake(b"")
    with pytest.raises(HandshakeError) as failed:
        client.handshake(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert failed.value.reason is not HandshakeFailure.CERTIFICATE_REFUSED


@pytest.mark.parametrize("pem", [b"no certificate", "ü".encode()])
def test_a_bundle_without_certificates_is_refused_with_what_to_do(pem: bytes) -> None:
    with pytest.raises(SecurityError, match="the bundle: it holds no readable PEM"):
        ClientSecurity(pem, "the bundle")
