"""Whether the gateway reaches whom it dials, as far as a login: that is not tried, and refusals of it are logged.

TCP, the proxy, TLS with the gateway's own trust, the WebSocket, and AMQP's first eight bytes are tried by the very code
that the gateway dials with.
"""

import asyncio
import ssl
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Final

from edgewire.errors import ProtocolError
from edgewire.session.http.client import CallAnswered, CallRequest, HttpCall
from edgewire.transport.certificates import SecurityError
from edgewire.transport.dialer import DialError, DialFault, DialTimes, Route, dial
from edgewire.transport.proxy import ProxyError, proxy_for
from edgewire.transport.pump import Accept, Owner, Peer, Pump, Session
from edgewire.transport.tls_client import ClientSecurity
from gateway.app.devices_upstream import WEBSOCKET, WEBSOCKET_PORT
from gateway.doctor.clock import check_against
from gateway.doctor.finding import Finding, NotCheckedError, ok, problem, warning
from gateway.doctor.patient import Patient
from gateway.doctor.places import Speech, Target, places_of
from gateway.doctor.trust import trust_pem

TIMES: Final = DialTimes(connect_s=3.0, proxy_s=3.0, handshake_s=3.0)
MAX_PLACES: Final = 16
"""That are tried, all at once."""
REACH_S: Final = 4.0
"""For one place, everything included; the whole check has a second more."""
MAX_DATE_BYTES: Final = 65_536
"""Of an answer of which the head alone counts."""
_HELLO: Final = b"AMQP\x03\x01\x00\x00"  # AMQP 1.0 §5.3.2: SASL's, which IoT Hub and edgeHub ask for

FIXES: Final = {
    DialFault.UNREACHABLE: "check the name and the port, the way out (router, firewall), and that the other end runs",
    DialFault.TIMED_OUT: "something on the way drops it without a word: open the port in the firewall, or use "
    "GATEWAY_UPSTREAM_AMQP_TRANSPORT=websocket (443) or HTTPS_PROXY where only the web is let out",
    DialFault.PROXY: "correct HTTPS_PROXY, or let the proxy's operator open this host and port",
    DialFault.TLS: "the port may be another service's; or a box on the way takes TLS apart: except this host there",
    DialFault.CERTIFICATE: "give the gateway the authority that signed it (GATEWAY_TRUST_BUNDLE_FILE, or "
    "trust_bundle_cert in config.toml), dial the name that the certificate has, and see that the clock is right",
    DialFault.UPGRADE: "the port speaks no WebSocket of this kind: dial IoT Hub or edgeHub itself, with no web "
    "server between",
    DialFault.LOST: "the other end hung up: look at its log",
}


class _Visit:
    """One short connection: says `first`, hopes for `wants`, and hears no more."""

    def __init__(self, first: bytes, wants: bytes) -> None:
        self._output = first
        self._wants = wants
        self._heard = b""
        self._pump: Pump[str] | None = None
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def accept(self, _peer: Peer) -> tuple[Session[Any], Owner[Any]]:
        """All handshakes are done."""
        return self, self

    # The session

    def receive(self, data: bytes, now: float) -> list[str]:  # noqa: ARG002 - the interface's; it has no clock
        """Take what is said."""
        self._heard += data
        if len(self._heard) < len(self._wants):
            return []
        return ["" if self._heard.startswith(self._wants) else "it does not speak AMQP 1.0 with SASL"]

    def take_output(self) -> bytes:
        """What is to be said now."""
        output, self._output = self._output, b""
        return output

    def deadline(self) -> float | None:
        """The caller keeps it."""
        return None

    def on_deadline(self, now: float) -> list[str]:  # noqa: ARG002 - as above
        """There is none."""
        return []

    # The owner

    def on_connected(self, pump: Pump[str]) -> None:
        """It stands."""
        self._pump = pump
        if not self._wants:
            self._conclude("")

    def on_events(self, events: list[str]) -> None:
        """Enough was heard."""
        self._conclude(events[0])

    def on_failed(self, error: ProtocolError) -> None:
        """The transport's own complaint."""
        self._conclude(error.what)

    def on_closed(self) -> None:
        """The other end has gone."""
        self._conclude("it closed the connection without a word")

    def end(self) -> None:
        """Nothing more is wanted."""
        if self._pump is not None:
            self._pump.abort()

    def _conclude(self, fault: str) -> None:
        if not self.done.done():
            self.done.set_result(fault)


def check_reachable(patient: Patient) -> Iterator[Finding]:
    """Every place that the gateway dials."""
    targets = places_of(patient)
    if not targets:
        raise NotCheckedError("the gateway dials nobody: no way upstream, broker or endpoint is set")
    pem = trust_pem(patient)
    yield from asyncio.run(_visit_all(patient, targets[:MAX_PLACES], pem))
    if len(targets) > MAX_PLACES:
        yield warning(f"{len(targets)} places are dialled", "the rest was not tried", "nothing, if the others are well")


async def _visit_all(patient: Patient, targets: list[Target], pem: bytes) -> list[Finding]:
    return list(await asyncio.gather(*(_visit(patient, target, pem) for target in targets)))


async def _visit(patient: Patient, target: Target, pem: bytes) -> Finding:
    place = f"{target.what}: {target.host}:{target.port}"
    visit = _Visit(_HELLO, _HELLO) if target.speech in (Speech.AMQP, Speech.AMQP_WEBSOCKET) else _Visit(b"", b"")
    try:
        async with asyncio.timeout(REACH_S):
            await _dial(route_to(patient, target, pem), visit.accept)
            fault = await visit.done
    except DialError as error:
        return _unreachable(place, str(error), error.fault)
    except TimeoutError:
        return _unreachable(place, f"it did not answer in {REACH_S:g} s", DialFault.TIMED_OUT)
    finally:
        visit.end()
    if fault:
        return _unreachable(place, fault, DialFault.TLS)
    through = f" through the proxy {target.proxy_host}" if target.proxy_host else ""
    return ok(f"{place} is reached by {target.speech.value}{through}")


def _unreachable(place: str, why: str, fault: DialFault) -> Finding:
    return problem(
        f"{place} is not reached: {why}",
        "what is for it waits in the store until its time to live ends, or the store is full",
        FIXES[fault],
    )


def route_to(patient: Patient, target: Target, pem: bytes) -> Route:
    """The way there, as the gateway would take it. Raises DialError."""
    try:
        authorities = pem if target.authorities is None else target.authorities
        security = None if target.speech is Speech.TCP else ClientSecurity(authorities, "the CA certificates for it")
        return Route(
            host=target.host,
            port=target.port,
            security=security,
            websocket=WEBSOCKET if target.speech is Speech.AMQP_WEBSOCKET else None,
            proxy=proxy_for(target.host, patient.environ) if target.proxy_host else None,
        )
    except ProxyError as error:
        raise DialError(DialFault.PROXY, str(error)) from error
    except (SecurityError, OSError, ssl.SSLError) as error:
        raise DialError(DialFault.CERTIFICATE, str(error)) from error


async def _dial(route: Route, accept: Accept) -> None:
    await dial(route, accept, on_crash=_ignore, report=_ignore, times=TIMES)


def _ignore(*_said: object) -> None:
    """What comes after the visit is nobody's."""


# --- the clock of others --------------------------------------------------------------------------------------------


def check_clock_of_others(patient: Patient) -> Iterator[Finding]:
    """The date in an answer over HTTPS of those whom the gateway dials."""
    hosts = {target.host: target for target in places_of(patient) if target.authorities is None}
    if not hosts:
        raise NotCheckedError("there is nobody to ask: the gateway dials neither edgeHub nor the hub")
    pem = trust_pem(patient)
    found = asyncio.run(_dates(patient, list(hosts.values())[:MAX_PLACES], pem))
    if not found:
        raise NotCheckedError(f"nobody tells the date by HTTPS: asked {', '.join(hosts)}")
    for host, now, theirs in found:
        yield check_against(now, theirs, host, float(patient.settings.token_skew_s) or 300.0)


async def _dates(patient: Patient, targets: list[Target], pem: bytes) -> list[tuple[str, float, float]]:
    asked = await asyncio.gather(*(_date_of(patient, target, pem) for target in targets))
    return [answer for answer in asked if answer is not None]


async def _date_of(patient: Patient, target: Target, pem: bytes) -> tuple[str, float, float] | None:
    """Host, our time and its time; None if it does not say."""
    port = target.port if target.port in (443, 8443) or target.speech is Speech.TLS else WEBSOCKET_PORT
    if target.port == 8883:
        port = WEBSOCKET_PORT
    https = Target(what=target.what, host=target.host, port=port, speech=Speech.TLS, proxy_host=target.proxy_host)
    call = _DateCall(target.host)
    try:
        async with asyncio.timeout(REACH_S):
            await _dial(route_to(patient, https, pem), call.accept)
            date = (await call.answered).header("date")
        return None if date is None else (target.host, patient.now(), parsedate_to_datetime(date).timestamp())
    except (DialError, TimeoutError, ProtocolError, ValueError):
        return None
    finally:
        call.end()


class _DateCall:
    """The owner of a connection on which one question is asked."""

    def __init__(self, host: str) -> None:
        self.answered: asyncio.Future[CallAnswered] = asyncio.get_running_loop().create_future()
        request = CallRequest(method="GET", target="/", host=host)
        self._session = HttpCall(request, max_body_bytes=MAX_DATE_BYTES, max_head_bytes=MAX_DATE_BYTES)
        self._pump: Pump[CallAnswered] | None = None

    def accept(self, _peer: Peer) -> tuple[Session[Any], Owner[Any]]:
        """All handshakes are done."""
        return self._session, self

    def on_connected(self, pump: Pump[CallAnswered]) -> None:
        """The question goes out."""
        self._pump = pump

    def on_events(self, events: list[CallAnswered]) -> None:
        """The answer is whole."""
        if not self.answered.done():
            self.answered.set_result(events[0])

    def on_failed(self, error: ProtocolError) -> None:
        """It is none."""
        if not self.answered.done():
            self.answered.set_exception(error)

    def on_closed(self) -> None:
        """The other end has gone."""
        self.on_failed(ProtocolError("it closed the connection without an answer"))

    def end(self) -> None:
        """Nothing more is wanted."""
        self.answered.cancel()
        if self._pump is not None:
            self._pump.abort()
