"""What nine AMQP clients were recorded to send, sent again to the gateway as bytes over TLS; only tokens are fresh."""

import ssl
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from edgeca.authority import self_signed_device
from edgeca.credential import Credential, thumbprint_sha256
from edgewire.codec.amqp.performatives import Close
from edgewire.iothub import sas
from edgewire.message import Identity, identity
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import Registration, Roster, SymmetricKeys
from support.amqp_reading import TRACES
from support.amqp_replay import Replay, Replayer, connections
from support.gateway_site import KEY, GatewaySite

HUB: Final = "myhub.azure-devices.net"
DEV1, LEAF1, MOD1, CERTIFIED = identity("dev1"), identity("leaf1"), identity("dev1", "mod1"), identity("x509dev")


@dataclass(frozen=True, slots=True)
class Expected:
    """Who a recorded client was, and the bodies of the telemetry in its trace."""

    who: Identity
    bodies: tuple[bytes, ...]


_COUNTED: Final = tuple(b'{"i":%d}' % number for number in range(5))
_ONE: Final = (b'{"t":21.5}',)
ACCEPTED: Final = {
    "csdk-amqp-gateway": Expected(LEAF1, _COUNTED[:2]),
    "csdk-amqp-sak": Expected(DEV1, _COUNTED),
    "csdk-amqp-x509": Expected(CERTIFIED, _COUNTED[:2]),
    "csdk-ws-sak": Expected(DEV1, _COUNTED[:2]),
    "node-amqp-gateway": Expected(LEAF1, _ONE),
    "node-amqp-module": Expected(MOD1, _ONE),
    "node-amqp-sak": Expected(DEV1, _ONE),
    "node-amqp-x509": Expected(CERTIFIED, _ONE),
    "node-ws-gateway": Expected(LEAF1, _ONE),
    "node-ws-sak": Expected(DEV1, _ONE),
    "node-ws-x509": Expected(CERTIFIED, _ONE),
    "proton-external": Expected(CERTIFIED, (b"hi",)),
    "proton-plain": Expected(DEV1, (b"hi",)),
    "pyamqp-cbs": Expected(DEV1, (b"hello",)),
    "pyamqp-plain": Expected(DEV1, (b"hello",)),
    "rhea-plain": Expected(DEV1, (b"hi",)),
    "uamqp-cbs": Expected(DEV1, _COUNTED[:2]),
    "uamqp-plain": Expected(DEV1, _COUNTED[:2]),
    "uamqp-plain-batch": Expected(DEV1, _COUNTED[:2] + tuple(b"x%d" % number for number in range(300))),
    "uamqp-plain-uri": Expected(DEV1, (b"data1",)),
    "uamqp-ws-cbs": Expected(DEV1, _COUNTED[:2]),
}
REFUSED: Final = {
    "node-service-client": ["/messages/devicebound"],  # a back end's node, which only the hub has
    "rhea-external": ["/devices/dev1/messages/events"],  # with the certificate of another device
    "uamqp-anonymous": [f"amqps://{HUB}/devices/dev1/messages/events"],  # with no token at all
}
"""Links that the gateway must refuse; nothing else in these traces wants one, but for `$cbs`."""

BY_NAME: Final = {trace.name.removesuffix(".client.hex"): trace for trace in TRACES}


@pytest.fixture
async def recorded_site(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[GatewaySite]:
    """A site of the hub that the clients were recorded with, and a gateway that runs and knows all of them."""
    async with GatewaySite.open(tmp_path, certificates, next(loopback), next(loopback), hub_name=HUB) as site:
        for who in (DEV1, LEAF1, MOD1):
            entry = Registration(who, SymmetricKeys(KEY, b"fedcba9876543210" * 2))
            Registry(site.data / FILE_NAME).edit(partial(Roster.with_registration, registration=entry))
        await site.gateway.start()
        yield site


async def certified(site: GatewaySite, folder: Path) -> ssl.SSLContext:
    """The TLS of the recorded device with a certificate, which the gateway knows from now on."""
    credential: Credential = self_signed_device(CERTIFIED.device)
    thumbprint = thumbprint_sha256(credential.certificate)
    assert (await site.command("devices", "add", CERTIFIED.device, "--thumbprint", thumbprint)).code == 0
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(credential.chain_pem)
    key.write_bytes(credential.key_pem)
    tls = site.client_tls()
    tls.load_cert_chain(chain, key)
    return tls


async def replay(site: GatewaySite, name: str, tls: ssl.SSLContext, token: bytes | None) -> list[Replay]:
    """All connections of a trace, one after the other, each trace from its own address: guesses are slowed."""
    found = []
    source = f"127.201.7.{list(BY_NAME).index(name) + 1}"
    for data in connections(BY_NAME[name]):
        line = await Replayer.dial(site.address, tls, source=source)
        found.append(await line.run(data, token))
    return found


def fresh_token(who: Identity) -> bytes:
    return sas.make(sas.resource_of(HUB, who), KEY, int(time.time()) + 3600).encode()


def has_certificate(name: str) -> bool:
    return name.endswith(("x509", "external"))


def test_each_trace_is_expected_to_do_something() -> None:
    assert BY_NAME.keys() == ACCEPTED.keys() | REFUSED.keys()


async def test_each_recorded_client_is_served_to_its_last_byte(recorded_site: GatewaySite, tmp_path: Path) -> None:
    site, seen = recorded_site, 0
    tls = await certified(site, tmp_path)
    for name, expected in ACCEPTED.items():
        for done in await replay(
            site, name, tls if has_certificate(name) else site.client_tls(), fresh_token(expected.who)
        ):
            assert (done.complete, done.close, done.refused) == (True, Close(), {}), name
        events = (await site.arrived(len(expected.bodies), after=seen))[: len(expected.bodies)]
        seen = events[-1].sequence
        assert [event.body for event in events] == list(expected.bodies), name
        assert {event.properties["leafDeviceId"] for event in events} == {expected.who.device}, name
    assert site.hub.events.count() == sum(len(expected.bodies) for expected in ACCEPTED.values())


async def test_a_recorded_client_with_nothing_to_show_gets_no_link(recorded_site: GatewaySite, tmp_path: Path) -> None:
    site = recorded_site
    tls = await certified(site, tmp_path)
    for name, links in REFUSED.items():
        (done,) = await replay(site, name, tls if has_certificate(name) else site.client_tls(), fresh_token(DEV1))
        assert (done.complete, done.accepted, list(done.refused)) == (True, [], links), name
    assert site.hub.events.count() == 0


async def test_tokens_as_they_were_recorded_are_refused(recorded_site: GatewaySite) -> None:
    site = recorded_site
    for name in BY_NAME:
        for done in await replay(site, name, site.client_tls(), None):
            assert done.accepted == [], name
    assert site.hub.events.count() == 0
    assert (await site.status())["devices"] == 0
