"""The WebSocket port against peers that bend RFC 6455: compression, text, masks, giants, floods of pings."""

import asyncio
import contextlib
import os

import pytest

from support.gateway_site import GatewaySite
from support.good_client import HELD_UP_S, GoodClient
from support.process_watch import watched
from support.raw_mqtt import PINGREQ
from support.raw_peer import RawPeer, hello
from support.websocket_client import request

pytestmark = pytest.mark.asyncio(loop_scope="module")

WEBSOCKET_PORT = 8443
PATIENCE_S = 30.0
BINARY, TEXT, CLOSE, PING, RESERVED = 0x82, 0x81, 0x88, 0x89, 0x83
COMPRESSED = 0xC2
GIANT = 1 << 62
NORMAL_CLOSURE = b"\x88\x02\x03\xe8"


def frame(first: int, payload: bytes, *, claims: int | None = None, masked: bool = True) -> bytes:
    """A client's frame; `claims` is the length in its header if that is not the payload's."""
    size = len(payload) if claims is None else claims
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65_536:
        head = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + size.to_bytes(8, "big")
    return head + (bytes(4) if masked else b"") + payload  # a mask of zeros changes nothing


async def head_of(peer: RawPeer) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        return await peer.reader.readuntil(b"\r\n\r\n")


async def rest_of(peer: RawPeer) -> bytes:
    """All that comes until the gateway ends the connection, which it resets if we are slow to close it."""
    found = b""
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionError):
            while part := await peer.reader.read(65_536):
                found += part
    peer.abort()
    return found


async def goodbye_of(peer: RawPeer) -> bytes:
    """The Close frame, which must be all there is."""
    async with asyncio.timeout(PATIENCE_S):
        found = await peer.reader.readexactly(4)
    peer.abort()
    return found


async def upgraded(site: GatewaySite, **fields: str) -> RawPeer:
    peer = await RawPeer.dial(site, port=WEBSOCKET_PORT)
    peer.send(request(**fields))
    head = await head_of(peer)
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert b"extensions" not in head.lower()
    return peer


@pytest.mark.parametrize(
    ("what", "wire", "code"),
    [
        ("a compressed frame", frame(COMPRESSED, b"\xaa\x00"), 1002),
        ("a text frame", frame(TEXT, b"hello"), 1003),
        ("text that is no UTF-8", frame(TEXT, b"\xff\xfe"), 1007),
        ("an unmasked frame", frame(BINARY, b"\x10\x00", masked=False), 1002),
        ("an opcode that does not exist", frame(RESERVED, b""), 1002),
        ("a ping of 126 bytes", frame(PING, bytes(126)), 1002),
        ("a ping in fragments", frame(PING & 0x0F, b""), 1002),
        ("a continuation of nothing", frame(0x80, b"x"), 1002),
        ("a flood of pings", frame(PING, b"") * 2_000, 1008),
        ("a flood of empty frames", frame(BINARY, b"") * 2_000, 1008),
        ("a length with its highest bit set", frame(BINARY, b"", claims=1 << 63), 1002),
    ],
)
async def test_frames_that_break_the_rules_are_answered_by_their_code_and_closed(
    running: GatewaySite, what: str, wire: bytes, code: int
) -> None:
    async with watched(running), GoodClient.running(running, "good"):
        peer = await upgraded(running, Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits")
        peer.send(wire)
        told = await rest_of(peer)
    assert code.to_bytes(2, "big") in told[-120:], (what, told[-120:])


async def test_a_giant_frame_costs_no_memory(running: GatewaySite) -> None:
    async with watched(running, 20 * 1024), GoodClient.running(running, "good"):
        peer = await upgraded(running)
        peer.send(frame(BINARY, b"\x10" + bytes(6_000_000), claims=GIANT))
        await peer.flush()
        told = await rest_of(peer)
    assert told[:1] in (b"", b"\x88")


async def test_a_device_on_websocket_is_held_to_the_limits_of_mqtt(running: GatewaySite) -> None:
    peer = await upgraded(running)
    peer.send(frame(BINARY, b"\x10\xff\xff\xff\x7f"))
    assert await goodbye_of(peer) == NORMAL_CLOSURE


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (request(Sec_WebSocket_Protocol=None), 400),
        (request(Sec_WebSocket_Protocol="soap"), 400),
        (request(Sec_WebSocket_Version="8"), 426),
        (request(Sec_WebSocket_Key=None), 400),
        (request(Connection="close"), 400),
        (request(line="POST / HTTP/1.1"), 400),
        (request(Upgrade=None), 404),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (request(X_Filler="x" * 17_000), 431),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5_000, 431),
        (request(X_Odd="\xff\xfe"), 101),
    ],
)
async def test_a_request_that_is_no_upgrade_gets_its_status(running: GatewaySite, wire: bytes, status: int) -> None:
    async with watched(running):
        peer = await RawPeer.dial(running, port=WEBSOCKET_PORT)
        peer.send(wire)
        assert (await head_of(peer)).startswith(b"HTTP/1.1 %d " % status)
        peer.abort()


@pytest.mark.parametrize(
    "line", ["GET /$iothub/websocket HTTP/1.1", "GET /%2e%2e/etc HTTP/1.1", "GET /?sig=x HTTP/1.1"]
)
async def test_the_path_gives_nobody_anything_and_the_login_is_asked_for(running: GatewaySite, line: str) -> None:
    peer = await upgraded(running, line=line, Origin="https://elsewhere.example")
    peer.send(frame(BINARY, PINGREQ))
    assert await goodbye_of(peer) == NORMAL_CLOSURE


async def test_random_frames_are_no_fault(running: GatewaySite) -> None:
    async with watched(running), GoodClient.running(running, "good") as good:
        for _ in range(100):
            peer = await upgraded(running)
            peer.send(os.urandom(2_000))
            peer.send(frame(BINARY, os.urandom(500)))
            await peer.flush()
            peer.abort()
    assert good.held_up_s < HELD_UP_S


async def test_a_good_device_is_served_in_frames_of_one_byte(running: GatewaySite) -> None:
    peer = await upgraded(running)
    peer.send(b"".join(frame(BINARY, bytes((byte,))) for byte in hello(running, "d2").wire + PINGREQ))
    async with asyncio.timeout(PATIENCE_S):
        assert await peer.reader.readexactly(6) == b"\x82\x04\x20\x02\x00\x00"
        assert await peer.reader.readexactly(4) == b"\x82\x02\xd0\x00"
    peer.abort()
