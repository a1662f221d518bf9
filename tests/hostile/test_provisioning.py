"""Provisioning through the gateway against peers that guess, flood and hoard: the service hears little of it."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from edgewire.iothub import sas
from standin.dps import DEFAULT_SCOPE, DpsOptions
from support.gateway_site import GatewaySite
from support.good_client import HELD_UP_S, GoodClient
from support.http_reading import read_answers
from support.process_watch import watched
from support.provisioning import enrol
from support.raw_mqtt import Hello, packet, text
from support.raw_peer import PATIENCE_S, RawPeer

pytestmark = pytest.mark.asyncio(loop_scope="module")

HTTPS = 8443
MEMORY_KB = 40 * 1024
VISITORS = 160
GUESSES = 120
CASES = 200
REGISTER = "$dps/registrations/PUT/iotdps-register/?$rid="
PIECES = (
    REGISTER,
    "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=",
    "$dps/registrations/res/200/?$rid=1",
    "&operationId=..%2f..%2f",
    "&operationId=gateway.",
    "devices/good/messages/events/",
    "$iothub/twin/GET/?$rid=1",
    "%",
    "\u00e4",
    "$" * 200,
    "&" * 200,
    "x" * 4_000,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provisioning(
    tmp_path_factory: pytest.TempPathFactory, certificates: Path, loopback: Iterator[str]
) -> AsyncIterator[GatewaySite]:
    """A site whose gateway passes registrations on to a service that knows `reg-1`; nothing goes upstream."""
    folder = tmp_path_factory.mktemp("site")
    hub_address = next(loopback)
    async with GatewaySite.open(
        folder, certificates, hub_address, next(loopback), https_port=8444, dps=DpsOptions(delay_s=0)
    ) as site:
        enrol(site.hub, "reg-1")
        site.register("good")
        await site.gateway.start(
            GATEWAY_UPSTREAM="none", GATEWAY_WEBSOCKET_PORT=str(HTTPS), GATEWAY_DPS=f"{hub_address}:8444"
        )
        yield site


def token(registration: str, key: bytes = b"w" * 32) -> str:
    """One that is for this registration, and signed by nobody's key."""
    return sas.make(f"{DEFAULT_SCOPE}/registrations/{registration}", key, int(time.time()) + 600)


def hello(registration: str) -> bytes:
    username = f"{DEFAULT_SCOPE}/registrations/{registration}/api-version=2019-03-31"
    return Hello(client_id=registration, username=username, password=token(registration)).wire


def publish(topic: str, body: bytes) -> bytes:
    return packet(0x30, text(topic) + body)


def request(registration: str) -> bytes:
    body = f'{{"registrationId":"{registration}"}}'
    lines = (
        f"PUT /{DEFAULT_SCOPE}/registrations/{registration}/register?api-version=2019-03-31 HTTP/1.1",
        "Host: dps",
        f"Authorization: {token(registration)}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", body)).encode()


async def all_of(peer: RawPeer) -> bytes:
    """All that comes until the gateway ends the connection."""
    found = b""
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionError):
            while part := await peer.reader.read(65_536):
                found += part
    peer.abort()
    return found


async def test_guessing_gets_slow_and_the_service_hears_little_of_it(provisioning: GatewaySite) -> None:
    site = provisioning

    async def guess(number: int) -> int:
        peer = await RawPeer.dial(site, port=HTTPS, source="127.98.7.1")
        peer.send(request(f"guess-{number}"))
        [answer] = read_answers(await all_of(peer))
        return answer.status

    async with watched(site), GoodClient.running(site, "good") as good:
        said = await asyncio.gather(*map(guess, range(GUESSES)))
    assert set(said) <= {401, 429, 503}
    assert said.count(429) + said.count(503) >= GUESSES // 2
    refused = sum(count for name, count in site.hub.counters.items() if name.startswith("provisioning refused"))
    assert refused <= 60  # twenty, and what was on its way by then
    assert good.held_up_s < HELD_UP_S


async def test_visitors_are_bounded_and_their_bodies_are_too(provisioning: GatewaySite) -> None:
    site = provisioning
    async with watched(site, MEMORY_KB), GoodClient.running(site, "good") as good:
        peers = []
        for number in range(VISITORS):  # each says at once who it is: who does not is cut after ten seconds
            peers.append(await RawPeer.dial(site, source="127.98.7.2"))
            peers[-1].send(hello(f"visitor-{number}"))
        for peer in peers:
            peer.send(publish(f"{REGISTER}1", b"x" * 98_000))
        await asyncio.gather(*(peer.flush() for peer in peers))
        connacks = [await asyncio.wait_for(peer.reader.readexactly(4), PATIENCE_S) for peer in peers]
        for peer in peers:
            peer.abort()
    assert {each[3] for each in connacks} == {0, 3}
    assert sum(each[3] == 0 for each in connacks) == 128
    assert good.held_up_s < HELD_UP_S


async def test_nonsense_costs_its_connection_and_nothing_else(provisioning: GatewaySite) -> None:
    site = provisioning
    dice = random.Random(6)
    async with watched(site), GoodClient.running(site, "good") as good:
        for number in range(CASES):
            peer = await RawPeer.dial(site, source="127.98.7.3")
            topic = "".join(dice.choices(PIECES, k=dice.randint(1, 4)))
            peer.send(hello(f"fuzz-{number}") + publish(topic, dice.randbytes(dice.randint(0, 300))))
            await peer.flush()
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(0.02):
                    await peer.reader.read(4_096)
            peer.abort()
    assert good.held_up_s < HELD_UP_S
    assert site.hub.counters["registrations assigned"] == 0
