"""What nine AMQP clients were recorded to send, sent again to the gateway as bytes over TLS; only tokens are fresh."""

import ssl
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from edgeca.authority import self_signed_device
from edgeca.credential import Credential, thumbprint_sha256
from edgewire.codec.amqp.performatives import Close
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import Registration, Roster, SymmetricKeys
from support.amqp_replay import Replay, Replayer, connections
from support.amqp_traces import (
    BY_NAME,
    CERTIFIED,
    DEV1,
    HUB,
    LEAF1,
    MOD1,
    REFUSED,
    SERVED,
    fresh_token,
    shows_certificate,
)
from support.gateway_site import KEY, GatewaySite


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


def test_each_trace_is_expected_to_do_something() -> None:
    assert BY_NAME.keys() == SERVED.keys() | REFUSED.keys()


async def test_each_recorded_client_is_served_to_its_last_byte(recorded_site: GatewaySite, tmp_path: Path) -> None:
    site, seen = recorded_site, 0
    tls = await certified(site, tmp_path)
    for name, expected in SERVED.items():
        for done in await replay(
            site, name, tls if shows_certificate(name) else site.client_tls(), fresh_token(expected.who)
        ):
            assert (done.complete, done.close, done.refused) == (True, Close(), {}), name
        events = (await site.arrived(len(expected.bodies), after=seen))[: len(expected.bodies)]
        seen = events[-1].sequence
        assert [event.body for event in events] == list(expected.bodies), name
        assert {event.properties["leafDeviceId"] for event in events} == {expected.who.device}, name
    assert site.hub.events.count() == sum(len(expected.bodies) for expected in SERVED.values())


async def test_a_recorded_client_with_nothing_to_show_gets_no_link(recorded_site: GatewaySite, tmp_path: Path) -> None:
    site = recorded_site
    tls = await certified(site, tmp_path)
    for name, link in REFUSED.items():
        (done,) = await replay(site, name, tls if shows_certificate(name) else site.client_tls(), fresh_token(DEV1))
        assert (done.complete, done.accepted, list(done.refused)) == (True, [], [link]), name
    assert site.hub.events.count() == 0


async def test_tokens_as_they_were_recorded_are_refused(recorded_site: GatewaySite) -> None:
    site = recorded_site
    for name in BY_NAME:
        for done in await replay(site, name, site.client_tls(), None):
            assert done.accepted == [], name
    assert site.hub.events.count() == 0
    assert (await site.status())["devices"] == 0
