"""The way to a broker: TCP, TLS, and what of ours is read from files for it."""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.head.foreign_client import BrokerError
from gateway.observe.foreign import BrokerFault

CONNECT_S: Final = 10.0
"""For TCP, for TLS, and for the answer to CONNECT, each."""
MAX_PASSWORD_BYTES: Final = 65_535
"""Of a password in CONNECT. Spec: MQTT 3.1.1 §3.1.3.5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Which broker, and who we are there. The files are read at each try, so that what is renewed counts."""

    host: str
    port: int
    is_tls: bool
    client_id: str
    user: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    is_5: bool = True
    retained: str = "new"
    subscribe: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The broker, for a person."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def peer(self) -> str:
        """Names the session: which client at which broker."""
        return f"{self.client_id} at {self.where}"


def dial(settings: BrokerSettings, context: ssl.SSLContext | None) -> socket.socket:
    """A connection, TLS's handshake done. Blocks. Raises OSError."""
    sock = socket.create_connection((settings.host, settings.port), CONNECT_S)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock if context is None else context.wrap_socket(sock, server_hostname=settings.host)
    except OSError:
        sock.close()
        raise


def tls_context(settings: BrokerSettings) -> ssl.SSLContext:
    """Whom we believe, and who we are. Raises BrokerError with the file that is wrong."""
    try:
        context = ssl.create_default_context(cafile=None if settings.ca_file is None else str(settings.ca_file))
    except OSError as error:
        raise _unusable("GATEWAY_BROKER_CA_FILE", settings.ca_file, error, "certificates in PEM") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate is not None:
        try:
            context.load_cert_chain(str(settings.certificate), None if settings.key is None else str(settings.key))
        except OSError as error:
            raise _unusable(
                "GATEWAY_BROKER_CERTIFICATE or GATEWAY_BROKER_KEY",
                settings.certificate,
                error,
                "a certificate and the key that belongs to it, in PEM, the key without a password",
            ) from error
    return context


def password_of(settings: BrokerSettings) -> str | None:
    """The password, without the end of its line; None if there is none. Raises BrokerError."""
    path = settings.password_file
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            text = file.read(MAX_PASSWORD_BYTES + 2).decode().rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        raise _unusable(
            "GATEWAY_BROKER_PASSWORD_FILE", path, error, "the password in UTF-8, and nothing else"
        ) from error
    if len(text.encode()) > MAX_PASSWORD_BYTES:
        raise BrokerError(
            BrokerFault.FILES, f"GATEWAY_BROKER_PASSWORD_FILE: {path} has more than {MAX_PASSWORD_BYTES} bytes"
        )
    return text


def _unusable(setting: str, path: Path | None, error: Exception, what: str) -> BrokerError:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, ssl.SSLError):
        why = (error.reason or str(error)).lower().replace("_", " ")
    return BrokerError(BrokerFault.FILES, f"{setting}: {path} cannot be used: {why}. It must hold {what}")
