import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewire.transport.dialer import DialError, DialFault
from edgewire.transport.pump import Peer
from edgewire.transport.reports import ConnectionCut, CutReason
from edgewire.transport.tls import Security
from gateway.app.dialing import Dialer, Place, read_place
from gateway.observe.events import Event
from gateway.observe.head import ConnectionCrashed
from support.certificates import self_signed
from support.echo import EchoSession, RecordingOwner, echo_server

SERVER = self_signed("localhost")


def to(
    port: int, *, pem: bytes = SERVER.anchor_pem, emit: Callable[[Event], None] = lambda _: None, **environ: str
) -> Dialer:
    return Dialer(Place("localhost", port), environ, websocket=None, trust_pem=lambda: pem, emit=emit)


def accept(_peer: Peer) -> tuple[EchoSession, RecordingOwner]:
    return EchoSession(), RecordingOwner()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("my.host", Place("my.host", 443)),
        ("my.host:8443", Place("my.host", 8443)),
        ("[fd00::1]", Place("fd00::1", 443)),
        ("[fd00::1]:8443", Place("fd00::1", 8443)),
        ("my.host:", None),
        ("my.host:0", None),
        ("my.host:65536", None),
        ("my.host:x", None),
        (":443", None),
    ],
)
def test_a_place_is_a_host_with_a_port_or_without(text: str, place: Place | None) -> None:
    assert read_place(text, 443) == place


async def test_who_is_believed_is_read_anew_and_the_simulators_authority_counts(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    async with echo_server(security=Security(SERVER.pem, SERVER.key_pem)) as server:
        dialer = to(server.port, pem=b"", EdgeModuleCACertificateFile=str(file))
        with pytest.raises(DialError, match=r"ca\.pem") as failed:
            await dialer.dial(accept)
        assert failed.value.fault is DialFault.CERTIFICATE
        file.write_bytes(self_signed("other").anchor_pem)
        with pytest.raises(DialError, match="is not accepted"):
            await dialer.dial(accept)
        file.write_bytes(SERVER.anchor_pem)
        owner = RecordingOwner()
        await dialer.dial(lambda _peer: (EchoSession(), owner))
        owner.pump.close()
        await asyncio.wait_for(owner.closed.wait(), 10)
        file.write_text("no certificate")
        with pytest.raises(DialError, match="no readable PEM"):
            await dialer.dial(accept)


async def test_a_proxy_that_cannot_be_read_is_told() -> None:
    with pytest.raises(DialError, match="HTTPS_PROXY") as failed:
        await to(1, HTTPS_PROXY="socks5://p:1").dial(accept)
    assert failed.value.fault is DialFault.PROXY


async def test_faults_of_a_connection_are_events() -> None:
    events: list[Event] = []
    dialer = to(1, emit=events.append)
    dialer._report(ConnectionCut("10.0.0.1", CutReason.NOT_READING, "9 bytes"))
    dialer._on_crash(ValueError("bug"), "10.0.0.1")
    assert [type(event) for event in events] == [ConnectionCrashed] * 2


async def test_the_certificate_that_the_server_showed_is_kept_and_the_same_stays_the_same() -> None:
    async with echo_server(security=Security(SERVER.pem, SERVER.key_pem)) as server:
        dialer = to(server.port)
        assert dialer.seen is None
        await dialer.dial(accept)
        first = dialer.seen
        assert first == SERVER.certificate
        await dialer.dial(accept)
        assert dialer.seen is first
