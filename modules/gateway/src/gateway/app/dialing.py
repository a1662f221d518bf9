"""Connections that the gateway opens: where to, by which proxy, and whom to believe there."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from edgewire.transport.certificates import SecurityError
from edgewire.transport.dialer import DialError, DialFault, Route, WebSocketTarget, dial
from edgewire.transport.proxy import ProxyError, proxy_for
from edgewire.transport.pump import Accept, Owner, Peer, Session
from edgewire.transport.reports import ConnectionCut, Report
from edgewire.transport.tls_client import ClientSecurity
from gateway.observe.events import Event
from gateway.observe.head import ConnectionCrashed


@dataclass(frozen=True, slots=True)
class Place:
    """A host and a port."""

    host: str
    port: int


def read_place(text: str, port: int) -> Place | None:
    """The place that a host name says, with a port or at `port`; None if it says none."""
    host, colon, number = text.rpartition(":")
    if not colon or text.endswith("]"):
        return Place(text.strip("[]"), port)
    if not host or not number.isascii() or not number.isdigit() or not 0 < int(number) < 65_536:
        return None
    return Place(host.strip("[]"), int(number))


class Dialer:
    """Dials a place; each time by what is believed and which proxy is set then.

    `websocket` is what to ask for in an upgrade, None for no upgrade; `trust_pem` gives the authorities beside the
    system's.
    """

    def __init__(
        self,
        place: Place,
        environ: Mapping[str, str],
        *,
        websocket: WebSocketTarget | None,
        trust_pem: Callable[[], bytes],
        emit: Callable[[Event], None],
    ) -> None:
        self._place = place
        self._websocket = websocket
        self._environ = environ
        self._trust_pem = trust_pem
        self._emit = emit
        self._security: tuple[bytes, ClientSecurity] | None = None
        self._seen: tuple[bytes, x509.Certificate] | None = None

    @property
    def seen(self) -> x509.Certificate | None:
        """The certificate that the server showed last, None if there was no connection in TLS yet."""
        return None if self._seen is None else self._seen[1]

    async def dial(self, accept: Accept) -> None:
        """Connect, and serve what `accept` makes. Raises DialError."""

        def accept_seen(peer: Peer) -> tuple[Session[Any], Owner[Any]]:
            self._see(peer.certificates)
            return accept(peer)

        try:
            route = Route(
                host=self._place.host,
                port=self._place.port,
                security=await self._believed(),
                websocket=self._websocket,
                proxy=proxy_for(self._place.host, self._environ),
            )
        except ProxyError as error:
            raise DialError(DialFault.PROXY, str(error)) from error
        except (SecurityError, OSError) as error:
            raise DialError(DialFault.CERTIFICATE, str(error)) from error
        await dial(route, accept_seen, on_crash=self._on_crash, report=self._report)

    def _see(self, certificates: tuple[bytes, ...]) -> None:
        """Keep the server's certificate, the same object as long as it is the same."""
        if certificates and (self._seen is None or self._seen[0] != certificates[0]):
            with contextlib.suppress(ValueError):  # OpenSSL took one that this library does not read: nothing to tell
                self._seen = certificates[0], x509.load_der_x509_certificate(certificates[0])

    async def _believed(self) -> ClientSecurity:
        """Read anew when it has changed; off the loop: the system's authorities are two hundred kilobytes."""
        pem = self._trust_pem() + await asyncio.to_thread(self._simulator_pem)
        if self._security is None or self._security[0] != pem:
            self._security = pem, await asyncio.to_thread(ClientSecurity, pem)
        return self._security[1]

    def _simulator_pem(self) -> bytes:
        """What IoT Edge's simulator gives to its modules in place of a workload API."""
        name = self._environ.get("EdgeModuleCACertificateFile")
        return b"\n" + Path(name).read_bytes() if name else b""

    def _report(self, report: Report) -> None:
        if isinstance(report, ConnectionCut):
            self._emit(ConnectionCrashed(report.address, f"{report.reason.value.replace('_', ' ')}: {report.detail}"))

    def _on_crash(self, error: Exception, address: str) -> None:
        self._emit(ConnectionCrashed(address, f"{type(error).__name__}: {error}"))
