"""What of ours is read for the way to a broker, and what is said of a file that cannot be used."""

import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.head.foreign_client import BrokerError
from gateway.head.foreign_dialing import MAX_PASSWORD_BYTES, BrokerSettings, dial, password_of, tls_context
from gateway.observe.foreign import BrokerFault
from support.certificates import authority, self_signed

SETTINGS = BrokerSettings(host="127.0.0.1", port=1, is_tls=True, client_id="gw")


@pytest.mark.parametrize(
    ("raw", "password"), [(b"secret", "secret"), (b"secret\n", "secret"), (b"se cret \r\n", "se cret "), (b"", "")]
)
def test_a_password_is_the_file_without_the_end_of_its_line(tmp_path: Path, raw: bytes, password: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(raw)
    assert password_of(replace(SETTINGS, password_file=path)) == password


def test_without_a_file_there_is_no_password() -> None:
    assert password_of(SETTINGS) is None


@pytest.mark.parametrize("raw", [None, b"\xff\xfe", b"x" * (MAX_PASSWORD_BYTES + 1)])
def test_a_password_that_cannot_be_is_told_without_itself(tmp_path: Path, raw: bytes | None) -> None:
    path = tmp_path / "password"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(BrokerError, match="GATEWAY_BROKER_PASSWORD_FILE") as caught:
        password_of(replace(SETTINGS, password_file=path))
    assert caught.value.fault is BrokerFault.FILES
    assert "xxx" not in str(caught.value)


def test_certificates_are_checked_always_and_tls_is_1_2_at_least(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(authority("root").pem)
    context = tls_context(replace(SETTINGS, ca_file=tmp_path / "ca.pem"))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1


def test_a_certificate_of_ours_is_loaded_with_its_key(tmp_path: Path) -> None:
    own, other = self_signed("own"), self_signed("other")
    (tmp_path / "own.pem").write_bytes(own.pem)
    (tmp_path / "own.key").write_bytes(own.key_pem)
    (tmp_path / "other.key").write_bytes(other.key_pem)
    settings = replace(SETTINGS, certificate=tmp_path / "own.pem", key=tmp_path / "own.key")
    tls_context(settings)
    with pytest.raises(BrokerError, match="key values mismatch"):
        tls_context(replace(settings, key=tmp_path / "other.key"))


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_that_is_no_authority_is_told(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BrokerError, match="GATEWAY_BROKER_CA_FILE") as caught:
        tls_context(replace(SETTINGS, ca_file=path))
    assert caught.value.fault is BrokerFault.FILES


def test_an_address_of_version_6_is_told_from_its_port() -> None:
    assert replace(SETTINGS, host="::1").where == "[::1]:1"
    assert SETTINGS.peer == "gw at 127.0.0.1:1"


def test_a_handshake_that_fails_leaves_no_socket_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = replace(SETTINGS, port=server.getsockname()[1])
        server.settimeout(0)
        context = ssl.create_default_context()
        context.wrap_socket = _fail  # type: ignore[method-assign] # a handshake that fails at once
        with pytest.raises(OSError, match="no handshake"):
            dial(settings, context)


def _fail(*_: object, **__: object) -> ssl.SSLSocket:
    raise ssl.SSLError("no handshake")
