"""Clients of the plain listener that want too much: memory stays bounded, and whoever else is there is served."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.broker.limits import BrokerLimits
from gateway.head.wills import MAX_WAITING_BYTES
from support import raw_mqtt
from support.gateway_site import GatewaySite
from support.plain_site import PASSWORD, user, write_users
from support.process_watch import processor_s, watched
from support.raw_mqtt import Hello, publish, subscribe
from support.raw_peer import RawPeer

pytestmark = pytest.mark.asyncio(loop_scope="module")

PORT = 1883
LIMITS = BrokerLimits()
SERVED_S = 5.0
"""The most that the gateway may work between a message of somebody else and its answer."""
PATIENCE_S = 60.0
LITTLE_KB = 6 * 1024
MANY = 1_100
CLIENTS = 20
MOST_KB_OF_FILTERS = 50 * 1024
NO_LOCAL = 4
"""What a subscriber publishes is not for itself: so bridges of MQTT 5 say what they are (MQTT 5 §3.8.3.1)."""
CORRELATION_DATA, SESSION_EXPIRY, WILL_DELAY = b"\x09", b"\x11", b"\x18"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain(
    tmp_path_factory: pytest.TempPathFactory, certificates: Path, loopback: Iterator[str]
) -> AsyncIterator[GatewaySite]:
    """A gateway with the plain listener that takes whatever all tests of this file do to it."""
    folder = tmp_path_factory.mktemp("site")
    async with GatewaySite.open(folder, certificates, next(loopback), next(loopback)) as site:
        write_users(site.data, user("ann"), user("good"))
        address = site.address
        await site.gateway.start(GATEWAY_UPSTREAM="none", GATEWAY_PLAIN_PORT=str(PORT), GATEWAY_PLAIN_ADDRESS=address)
        yield site


async def login(
    site: GatewaySite, name: str, client_id: str, *, clean: bool = True, will: bytes | None = None
) -> RawPeer:
    """A client that was let in."""
    topic = None if will is None else f"wills/{client_id}"
    return await greet(
        site,
        Hello(
            client_id=client_id,
            username=name,
            password=PASSWORD,
            clean=clean,
            will_topic=topic,
            will_payload=will or b"",
        ),
    )


async def greet(site: GatewaySite, hello: Hello) -> RawPeer:
    """A client that was let in by this CONNECT."""
    peer = await RawPeer.dial(site, port=PORT, plain=True)
    peer.send(hello.wire)
    assert await peer.connack() == 0
    return peer


@asynccontextmanager
async def served(site: GatewaySite) -> AsyncIterator[None]:
    """Somebody who talks to himself all the while, and hears each answer in time."""
    peer = await login(site, "good", "good")
    peer.send(subscribe(["good/echo"], qos=0))
    await peer.expect(raw_mqtt.SUBACK)
    stopping = asyncio.Event()

    async def talk() -> None:
        for number in itertools.count(1):
            if stopping.is_set():
                return
            worked_s = processor_s(site.gateway.pid)
            peer.send(publish("good/echo", b"%d" % number, packet_id=number % 60_000 + 1))
            for _ in range(2):  # PUBACK and the message, in either order
                assert await peer.packet() is not None
            assert processor_s(site.gateway.pid) - worked_s < SERVED_S
            await asyncio.sleep(0.02)

    talking = asyncio.create_task(talk())
    try:
        yield
    finally:
        stopping.set()
        await talking
        await peer.close()


async def flood(peer: RawPeer, packets: Iterator[bytes]) -> None:
    """Send all, as fast as they are taken; answers are read and dropped."""

    async def drop() -> None:
        while await peer.reader.read(65_536):
            pass

    dropping = asyncio.create_task(drop())
    async with asyncio.timeout(PATIENCE_S):
        while piece := b"".join(itertools.islice(packets, 200)):
            peer.send(piece)
            await peer.flush()
    peer.send(raw_mqtt.GOODBYE)
    await dropping
    await peer.close()


def long_topic(number: int) -> str:
    return f"long/{number:06d}" + "x" * 60_000


async def test_long_topics_that_never_repeat_leave_nothing_behind(plain: GatewaySite) -> None:
    async with watched(plain, LITTLE_KB), served(plain):
        peer = await login(plain, "ann", "talker")
        await flood(peer, (publish(long_topic(number), qos=0) for number in range(MANY)))


async def test_what_went_to_a_bridge_on_long_topics_leaves_nothing_behind(plain: GatewaySite) -> None:
    """It is remembered for ten seconds, as it may come back."""
    async with watched(plain, LITTLE_KB), served(plain):
        bridge = await greet(plain, Hello(client_id="bridge", username="ann", password=PASSWORD, level=5))
        bridge.send(subscribe(["long/#"], qos=NO_LOCAL, properties=b""))
        await bridge.expect(raw_mqtt.SUBACK)
        peer = await login(plain, "ann", "talker")
        for number in range(MANY):
            peer.send(publish(long_topic(number), qos=0))
            await bridge.expect(raw_mqtt.PUBLISH)
        for each in (bridge, peer):
            await each.close()


async def test_properties_count_where_messages_wait(plain: GatewaySite) -> None:
    async with watched(plain, LIMITS.max_queued_bytes // 1024 + LITTLE_KB), served(plain):
        away = await login(plain, "ann", "away", clean=False)
        away.send(subscribe(["wait/#"]))
        await away.expect(raw_mqtt.SUBACK)
        await away.close()
        peer = await greet(plain, Hello(client_id="filler", username="ann", password=PASSWORD, level=5))
        said = CORRELATION_DATA + raw_mqtt.text(bytes(60_000))
        await flood(peer, (publish("wait/x", qos=1, packet_id=number + 1, properties=said) for number in range(900)))
    (await login(plain, "ann", "away")).abort()


async def test_wills_that_wait_are_bounded_in_bytes(plain: GatewaySite) -> None:
    later = WILL_DELAY + (3_600).to_bytes(4, "big") + CORRELATION_DATA + raw_mqtt.text(bytes(60_000))
    async with watched(plain, LITTLE_KB + MAX_WAITING_BYTES // 1024):
        for number in range(200):
            hello = Hello(
                client_id=f"late{number}",
                username="ann",
                password=PASSWORD,
                level=5,
                properties=SESSION_EXPIRY + (3_600).to_bytes(4, "big"),
                will_topic="w" * 20_000,
                will_payload=bytes(60_000),
                will_properties=later,
            )
            (await greet(plain, hello)).abort()


async def test_filters_with_levels_of_their_own(plain: GatewaySite) -> None:
    refused = 0
    async with watched(plain, MOST_KB_OF_FILTERS), served(plain):
        peers = [await login(plain, "ann", f"levels{client}") for client in range(CLIENTS)]
        for client, peer in enumerate(peers):
            for number in range(5):
                filters = ["/".join(f"{client}-{number}-{each}-{level}" for level in range(32)) for each in range(50)]
                peer.send(subscribe(filters, packet_id=number + 1))
                refused += (await peer.expect(raw_mqtt.SUBACK))[2:].count(0x80)
        for peer in peers:
            await peer.close()
    assert refused > 0


async def test_strangers_hold_little_together_and_keep_out_nobody_who_says_little(plain: GatewaySite) -> None:
    """A CONNECT may have a will of 64 KiB, and comes before anybody knows from whom."""
    async with watched(plain, 4 * LITTLE_KB):
        strangers = [await RawPeer.dial(plain, port=PORT, plain=True) for _ in range(400)]
        for each in strangers:
            each.send(b"\x10" + raw_mqtt.varint(147_000) + bytes(140_000))
            await each.flush()
        async with asyncio.timeout(PATIENCE_S):
            assert await strangers[-1].packet() is None
        (await login(plain, "ann", "knows")).abort()
        for each in strangers:
            each.abort()


async def test_subscriptions_without_end_and_wildcards_of_all_kinds(plain: GatewaySite) -> None:
    """Every mixture of a level and its wildcard, ten levels deep: a publication there visits all of them."""
    async with watched(plain, LITTLE_KB), served(plain):
        peer = await login(plain, "ann", "bombs")
        mixtures = ("/".join(levels) for levels in itertools.product("a+", repeat=10))
        for number in range(40):
            filters = list(itertools.islice(mixtures, 30)) or [f"x{number}/{each}" for each in range(30)]
            peer.send(subscribe(filters, packet_id=number + 1))
            codes = (await peer.expect(raw_mqtt.SUBACK))[2:]
            assert len(codes) == len(filters)
        assert codes == b"\x80" * 30, "the client has a thousand"
        peer.send(subscribe(["/".join("+" * 33)], packet_id=99))
        assert (await peer.expect(raw_mqtt.SUBACK))[2:] == b"\x80"
        topic = "/".join("a" * 10)
        peer.send(b"".join(publish(topic, qos=0) for _ in range(200)))
        heard = [await peer.expect(raw_mqtt.PUBLISH) for _ in range(200)]
        assert len(heard) == 200
        await peer.close()


async def test_retained_messages_without_end(plain: GatewaySite) -> None:
    most = LIMITS.max_retained_bytes // 1024 + 4 * LITTLE_KB
    async with watched(plain, most), served(plain):
        peer = await login(plain, "ann", "keeper")
        small = (publish(f"keep/{number}", b"x", qos=0, retain=True) for number in range(LIMITS.max_retained + 2_000))
        large = (publish(f"more/{number}", bytes(200_000), qos=0, retain=True) for number in range(40))
        await flood(peer, itertools.chain(large, small))
        hearer = await login(plain, "ann", "hearer")
        hearer.send(subscribe(["more/+", "keep/+"]))
        await hearer.expect(raw_mqtt.SUBACK)
        assert (await hearer.expect(raw_mqtt.PUBLISH))[2:] != b""
        await hearer.close()
    metrics = await plain.metrics()
    assert metrics["gateway_unkept_retained_messages_total"] >= 2_000
    peer = await login(plain, "ann", "cleaner")
    names = [f"more/{number}" for number in range(40)] + [f"keep/{number}" for number in range(LIMITS.max_retained)]
    await flood(peer, (publish(name, b"", qos=0, retain=True) for name in names))


async def test_a_subscriber_that_reads_nothing_delays_nobody(plain: GatewaySite) -> None:
    async with watched(plain), served(plain):
        slow = await login(plain, "ann", "slow")
        slow.send(subscribe(["load/#"], qos=0))
        await slow.expect(raw_mqtt.SUBACK)
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined] # a transport of a stream reads, too
        peer = await login(plain, "ann", "loader")
        await flood(peer, (publish("load/x", bytes(1_000), qos=0) for _ in range(20_000)))
        await plain.counted('gateway_dropped_local_messages_total{reason="queue_full"}')
        slow.abort()


async def test_sessions_without_end_and_what_waits_for_them(plain: GatewaySite) -> None:
    async with watched(plain, LIMITS.max_all_queued_bytes // 1024 + LITTLE_KB), served(plain):
        for number in range(LIMITS.max_sessions + 20):
            peer = await login(plain, "ann", f"away{number}", clean=False)
            if number >= LIMITS.max_sessions - 20:
                peer.send(subscribe(["wait/#"]))
                await peer.expect(raw_mqtt.SUBACK)
            peer.send(raw_mqtt.GOODBYE)
            await peer.close()
        peer = await login(plain, "ann", "filler")
        await flood(peer, (publish("wait/x", bytes(100_000), packet_id=number + 1) for number in range(60)))
        await plain.counted("gateway_forgotten_local_sessions_total")
        await plain.counted('gateway_dropped_local_messages_total{reason="memory_full"}')


async def test_wills_of_clients_that_go_without_a_word(plain: GatewaySite) -> None:
    async with watched(plain, LITTLE_KB), served(plain):
        hearer = await login(plain, "ann", "mourner")
        hearer.send(subscribe(["wills/#"], qos=0))
        await hearer.expect(raw_mqtt.SUBACK)
        for number in range(100):
            peer = await login(plain, "ann", f"dying{number % 10}", will=bytes(20_000))
            peer.abort()
        for _ in range(100):
            await hearer.expect(raw_mqtt.PUBLISH, PATIENCE_S)
        await hearer.close()


async def test_guessing_does_not_keep_out_who_was_let_in_before(plain: GatewaySite) -> None:
    async with watched(plain), served(plain):
        guessing = [await RawPeer.dial(plain, port=PORT, plain=True) for _ in range(10)]
        for number, peer in enumerate(guessing):
            peer.send(Hello(client_id=f"g{number}", username="root", password=f"{number}").wire)
        (await login(plain, "ann", "knows")).abort()
        codes = [raw_mqtt.connack_code(await peer.expect(raw_mqtt.CONNACK, PATIENCE_S)) for peer in guessing]
        assert codes == [5] * 10
        for peer in guessing:
            peer.abort()
