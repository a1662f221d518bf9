"""What nine AMQP clients were recorded to send, given to the head in memory: in any pieces, and mangled.

Only tokens are fresh. Over a socket, with the waits of a real client, they are replayed in `tests/peers`.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewire.iothub import sas
from edgewire.message import Identity, identity
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.transport.pump import Peer, Pump
from gateway.head.amqp import AmqpHead
from gateway.identity.authenticator import Authenticator
from gateway.identity.certificates import read_leaf
from gateway.identity.roster import Registration, SymmetricKeys, Thumbprints
from support.amqp_reading import TRACES
from support.amqp_replay import connections, pieces, with_token
from support.amqp_site import ADDRESS, KEY, AmqpSite, now
from support.certificates import self_signed
from support.mqtt_site import MemoryWire

HUB = "myhub.azure-devices.net"
CERTIFIED = self_signed("x509dev").der
BY_NAME = {trace.name.removesuffix(".client.hex"): trace for trace in TRACES}
WHO = {
    "csdk-amqp-gateway": identity("leaf1"),
    "csdk-amqp-sak": identity("dev1"),
    "csdk-amqp-x509": identity("x509dev"),
    "csdk-ws-sak": identity("dev1"),
    "node-amqp-gateway": identity("leaf1"),
    "node-amqp-module": identity("dev1", "mod1"),
    "node-amqp-sak": identity("dev1"),
    "node-amqp-x509": identity("x509dev"),
    "node-ws-gateway": identity("leaf1"),
    "node-ws-sak": identity("dev1"),
    "node-ws-x509": identity("x509dev"),
    "proton-external": identity("x509dev"),
    "proton-plain": identity("dev1"),
    "pyamqp-cbs": identity("dev1"),
    "pyamqp-plain": identity("dev1"),
    "rhea-plain": identity("dev1"),
    "uamqp-cbs": identity("dev1"),
    "uamqp-plain": identity("dev1"),
    "uamqp-plain-batch": identity("dev1"),
    "uamqp-plain-uri": identity("dev1"),
    "uamqp-ws-cbs": identity("dev1"),
}
"""Who sends telemetry in a trace; in those that are left out, nobody can."""


class Line:
    """One connection of a client that reads nothing."""

    def __init__(self, site: AmqpSite, certificates: tuple[bytes, ...]) -> None:
        peer = Peer(address=ADDRESS, port=5000, certificates=certificates)
        self.wire = MemoryWire()
        self.session, owner = site.amqp.accept(peer)
        self.pump: Pump[Any] = Pump(self.wire, self.session, owner, peer=peer, clock=now)
        self.pump.begin()

    def send(self, data: bytes) -> None:
        """What comes in one read; whatever it is, it is no fault of ours."""
        self.pump.receive(data)
        while (due := self.session.deadline()) is not None and due <= now() and not self.wire.closed:
            self.pump.wake(now())
        if self.wire.crashed is not None:
            raise self.wire.crashed


@asynccontextmanager
async def recorded_site(folder: Path) -> AsyncIterator[AmqpSite]:
    """A site of the hub that the clients were recorded with."""
    async with AmqpSite.open(folder) as site:
        site.clock.now = read_leaf(CERTIFIED).valid_until - 60
        known: list[Registration] = [
            Registration(who, SymmetricKeys(KEY, KEY[::-1]))
            for who in (identity("dev1"), identity("leaf1"), identity("dev1", "mod1"))
        ]
        known.append(Registration(identity("x509dev"), Thumbprints(read_leaf(CERTIFIED).thumbprints[1])))
        for each in known:
            site.registry.edit(lambda roster, each=each: roster.with_registration(each))  # type: ignore[misc] # bound early
        site.amqp = AmqpHead(
            authenticator=Authenticator(site.registry, [HUB], None),
            ingress=site.ingress,
            presence=site.presence,
            delivery=site.delivery,
            methods=site.methods,
            twins=site.twins,
            emit=site.events.append,
            clock=site.clock,
            hub_names=[HUB],
            limits=AmqpLimits(),
        )
        yield site


def fresh(site: AmqpSite, who: Identity, data: bytes) -> list[bytes]:
    """The frames of a trace, with a token that is good now."""
    token = sas.make(sas.resource_of(HUB, who), KEY, int(site.clock.now + 3600)).encode()
    return [with_token(wire, frame, token) for wire, frame in pieces(data)]


def certificates_of(who: Identity) -> tuple[bytes, ...]:
    return (CERTIFIED,) if who.device == "x509dev" else ()


async def told(site: AmqpSite, name: str, size: int | None) -> list[tuple[Identity, bytes]]:
    """Who sent what, if a trace comes in reads of this size; None for a read per frame."""
    who = WHO[name]
    for data in connections(BY_NAME[name]):
        line = Line(site, certificates_of(who))
        frames = fresh(site, who, data)
        whole = b"".join(frames)
        reads = frames if size is None else [whole[at : at + size] for at in range(0, len(whole), size)]
        for read in reads:
            line.send(read)
        await site.store.flush()
        line.pump.lost()
    return [(entry.message.envelope.sender, entry.message.body) for entry in site.stored()]


@pytest.mark.parametrize("name", WHO)
async def test_a_recorded_client_is_understood_in_whatever_pieces_it_comes(tmp_path: Path, name: str) -> None:
    found = []
    for size in (None, 1, 7, 60):  # in one read a client cannot have had its credit
        (tmp_path / str(size)).mkdir()
        async with recorded_site(tmp_path / str(size)) as site:
            found.append(await told(site, name, size))
            assert len(site.presence) == 0
    assert found[0]
    assert {sender for sender, _ in found[0]} == {WHO[name]}
    assert found[1:] == [found[0]] * 3


@pytest.mark.parametrize("name", WHO)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_a_mangled_client_is_refused_and_disturbs_no_other(name: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with recorded_site(Path(folder)) as site:
            good = site.dial_amqp("MSSBCBS")
            session = good.begin()
            token = sas.make(sas.resource_of(HUB, identity("leaf1")), KEY, int(site.clock.now + 3600))
            who = WHO[name]
            if who != identity("leaf1"):
                assert good.put(good.cbs(session), token).status == 200
                link = good.telemetry(session, "leaf1")
            [wire, *_] = connections(BY_NAME[name])
            frames = fresh(site, who, wire)
            at = data.draw(st.integers(0, len(frames) - 1))
            mangled = bytearray(frames[at])
            for _ in range(data.draw(st.integers(1, 4))):
                mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
            frames[at] = bytes(mangled)
            line = Line(site, certificates_of(who))
            for frame in frames:
                line.send(frame)
            await site.store.flush()
            line.pump.lost()
            if who != identity("leaf1"):
                assert (await good.outcome(good.tell(link, b"undisturbed"))) is not None
                assert site.stored()[-1].message.body == b"undisturbed"
