import asyncio
import socket
import ssl
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgewire.session.mqtt.limits import ServerLimits
from edgewire.transport.limits import TransportLimits
from edgewire.transport.listener import ListenError
from edgewire.transport.pump import Owner, Peer, Session
from edgewire.transport.reports import (
    AcceptFailed,
    ConnectionCut,
    CutReason,
    HandshakeFailed,
    HandshakeFailure,
    Report,
    TurnedAway,
    TurnedAwayReason,
)
from edgewire.transport.tls import Profile, Security
from gateway.app.doors import CONSTRAINED_HANDSHAKE_S, HINT_CONSTRAINED, Doors
from gateway.app.settings import Environment, read_environment
from gateway.observe.events import Event
from gateway.observe.head import (
    AcceptingPaused,
    ClosedBeforeLogin,
    ConnectionCrashed,
    ConnectionRefused,
    ConnectionWasCut,
    Cut,
)
from support.amqp_site import AmqpSite
from support.axtls_client import SUITES, AxTlsClient
from support.certificates import rsa_key, self_signed
from support.gateway_site import until
from support.tls_client import client_context

ADDRESS = "127.0.0.141"
NAMES = ("mqtt", "amqp", "websocket")


def environment(
    *, mqtt: int, amqp: int = 0, websocket: int = 0, constrained_mqtt: int = 0, constrained_https: int = 0
) -> Environment:
    return read_environment(
        {
            "GATEWAY_ADDRESS": ADDRESS,
            "GATEWAY_MQTT_PORT": str(mqtt),
            "GATEWAY_AMQP_PORT": str(amqp),
            "GATEWAY_WEBSOCKET_PORT": str(websocket),
            "GATEWAY_CONSTRAINED_MQTT_PORT": str(constrained_mqtt),
            "GATEWAY_CONSTRAINED_HTTPS_PORT": str(constrained_https),
        }
    )


def doors(site: AmqpSite, constrained: Security | None = None) -> Doors:
    credential = self_signed("gateway", addresses=(ADDRESS,))
    security = Security(credential.pem, credential.key_pem)
    return Doors(
        security,
        site.events.append,
        TransportLimits(),
        mqtt=site.head.accept,
        amqp=site.amqp.accept,
        http=site.amqp.accept,
        constrained=constrained,
    )


def free_ports(count: int) -> list[int]:
    """So many different ones."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind((ADDRESS, 0))
        return [probe.getsockname()[1] for probe in sockets]


def free_port() -> int:
    return free_ports(1)[0]


async def test_doors_open_where_the_settings_say_and_close(tmp_path: Path) -> None:
    async with AmqpSite.open(tmp_path) as site:
        mqtt, amqp, websocket = free_ports(3)
        ours = doors(site)
        await ours.open(environment(mqtt=mqtt, amqp=amqp, websocket=websocket))
        places = (f"{name} on {ADDRESS} port {port}" for name, port in zip(NAMES, (mqtt, amqp, websocket), strict=True))
        assert str(ours) == ", ".join(places)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        _, writer = await asyncio.open_connection(ADDRESS, mqtt, ssl=context)
        assert ours.connections == 1
        assert ours.by_listener() == {"mqtt": 1, "amqp": 0, "websocket": 0}
        assert ours.is_listening()
        writer.close()
        await ours.close(1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(ADDRESS, mqtt)


async def test_a_door_without_tls_may_be_added_and_closes_with_the_others(tmp_path: Path) -> None:
    async with AmqpSite.open(tmp_path) as site:
        ours = doors(site)
        added = await ours.add("plain mqtt", ADDRESS, 0, site.head.accept)
        assert str(ours) == f"plain mqtt on {ADDRESS} port {added.port}"
        _, writer = await asyncio.open_connection(ADDRESS, added.port)
        await until(lambda: ours.connections == 1)  # the kernel may be ahead of who accepts
        writer.close()
        await ours.close(1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(ADDRESS, added.port)


async def test_a_port_in_use_is_said_and_nothing_stays_open(tmp_path: Path) -> None:
    async with AmqpSite.open(tmp_path) as site:
        mqtt, busy = free_ports(2)
        with socket.socket() as taken:
            taken.bind((ADDRESS, busy))
            taken.listen()
            ours = doors(site)
            with pytest.raises(ListenError, match=str(busy)):
                await ours.open(environment(mqtt=mqtt, websocket=busy))
            assert str(ours) == "nowhere"
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(ADDRESS, mqtt)


@pytest.mark.parametrize(
    ("report", "event"),
    [
        (
            TurnedAway("10.0.0.9", TurnedAwayReason.TOO_MANY_CONNECTIONS),
            ConnectionRefused(ClosedBeforeLogin.TOO_MANY, "10.0.0.9", "too many connections"),
        ),
        *(
            (HandshakeFailed("10.0.0.9", each, "x"), ConnectionRefused(ClosedBeforeLogin(each.value), "10.0.0.9", "x"))
            for each in HandshakeFailure
            if each is not HandshakeFailure.TLS_CIPHER
        ),
        (
            HandshakeFailed("10.0.0.9", HandshakeFailure.TLS_CIPHER, "x"),
            ConnectionRefused(ClosedBeforeLogin.TLS_CIPHER, "10.0.0.9", f"x. {HINT_CONSTRAINED}"),
        ),
        *(
            (ConnectionCut("10.0.0.9", each, "x"), ConnectionWasCut(Cut(each.value), "10.0.0.9", "x"))
            for each in CutReason
        ),
        (AcceptFailed("too many open files"), AcceptingPaused("too many open files")),
    ],
)
async def test_what_the_transport_reports_becomes_an_event(tmp_path: Path, report: Report, event: Event) -> None:
    async with AmqpSite.open(tmp_path) as site:
        doors(site)._report(report)
        assert site.events[-1] == event


async def test_a_fault_of_ours_names_its_kind_and_the_peer(tmp_path: Path) -> None:
    async with AmqpSite.open(tmp_path) as site:
        doors(site)._on_crash(ValueError("no such thing"), "10.0.0.9")
        assert site.events[-1:] == [ConnectionCrashed("10.0.0.9", "ValueError: no such thing")]


async def test_each_connection_gets_a_session_of_its_own(tmp_path: Path) -> None:
    async with AmqpSite.open(tmp_path) as site:
        peer = Peer(address="10.0.0.9", port=1)
        first, second = site.head.accept(peer), site.head.accept(peer)
        assert first[0] is not second[0]
        third, fourth = site.amqp.accept(peer), site.amqp.accept(peer)
        assert third[0] is not fourth[0]
        assert site.head.limits == ServerLimits()


async def test_small_boards_have_doors_of_their_own(tmp_path: Path) -> None:
    async with AmqpSite.open(tmp_path) as site:
        mqtt, https = free_ports(2)
        small = self_signed("gateway", key=rsa_key())
        ours = doors(site, Security(small.pem, small.key_pem, profile=Profile.CONSTRAINED))
        await ours.open(environment(mqtt=0, constrained_mqtt=mqtt, constrained_https=https))
        assert str(ours) == (f"constrained mqtt on {ADDRESS} port {mqtt}, constrained https on {ADDRESS} port {https}")
        assert {each.limits.handshake_timeout_s for each in ours._listeners.values()} == {CONSTRAINED_HANDSHAKE_S}
        assert TransportLimits().handshake_timeout_s < CONSTRAINED_HANDSHAKE_S
        async with AxTlsClient.connect(ADDRESS, mqtt) as board:
            assert board.suite in SUITES
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection(ADDRESS, mqtt, ssl=client_context(ciphers="ECDHE"))
        refused = [event for event in site.events if isinstance(event, ConnectionRefused)]
        assert "all others must dial the usual ports" in refused[-1].detail
        await ours.close(1)


async def test_no_door_for_small_boards_opens_without_their_identity(tmp_path: Path) -> None:
    async with AmqpSite.open(tmp_path) as site:
        ours = doors(site)
        await ours.open(environment(mqtt=0, constrained_mqtt=free_port()))
        assert str(ours) == "nowhere"


async def test_a_plain_door_leads_to_first_contact_alone(tmp_path: Path) -> None:
    came: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

    def accept(peer: Peer) -> tuple[Session[Any], Owner[Any]]:
        came.set_result(peer)
        return site.head.accept(peer)

    async with AmqpSite.open(tmp_path) as site:
        port, credential = free_port(), self_signed("gateway", addresses=(ADDRESS,))
        ours = Doors(
            Security(credential.pem, credential.key_pem),
            site.events.append,
            TransportLimits(),
            mqtt=site.head.accept,
            amqp=site.amqp.accept,
            http=site.amqp.accept,
            bootstrap=accept,
        )
        settings = environment(mqtt=0)
        await ours.open(settings)
        assert str(ours) == "nowhere"
        await ours.open(replace(settings, bootstrap_plain_port=port))
        assert str(ours) == f"plain bootstrap on {ADDRESS} port {port}"
        _, writer = await asyncio.open_connection(ADDRESS, port)
        writer.write(b"x")
        assert (await asyncio.wait_for(came, 30)).tls == ""
        writer.close()
        await ours.close(0)
