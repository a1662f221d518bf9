"""One bad link, one bad session: each ends alone and with the right condition, and its neighbours send on.

All rows of a table share one connection. `d1` has a link on its session 0 and sends after each of them; `d2` is the
trouble, on the same session or on session 1.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from edgewire.codec.amqp.frames import write_frame
from edgewire.codec.amqp.message import (
    MESSAGE_FORMAT_BATCH,
    AmqpMessage,
    Properties,
    Sequence,
    Value,
    write_batch,
    write_message,
)
from edgewire.codec.amqp.performatives import (
    SENDER,
    Accepted,
    Attach,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    Rejected,
    Target,
)
from edgewire.codec.amqp.types import Array, Described, Symbol, ULong, write_value
from support.gateway_site import GatewaySite
from support.process_watch import watched
from support.raw_amqp import (
    BEGIN,
    MESSAGE,
    OPEN,
    AmqpPeer,
    GoodAmqpClient,
    attach_of,
    condition_of,
    events_of,
    transfer_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

TROUBLE = 1
"""The handle of the bad link."""
NOT_THERE = 77
DEEP = 40
"""Levels of nesting, where 32 may be."""
PIECE = bytes(60_000)


@dataclass(frozen=True, slots=True)
class Fault:
    """`wire` is given the first of 100 delivery ids that it may use; `condition` is what must come of it."""

    what: str
    wire: Callable[[int], bytes]
    condition: str
    address: str = events_of("d2")
    sends: bool = True


def lasting(first: int, count: int, payload: bytes = PIECE) -> bytes:
    """The beginning of a message that has no end, in so many frames."""
    return transfer_of(TROUBLE, first, payload, more=True) * count


LINKS = [
    Fault("no tag", lambda i: transfer_of(TROUBLE, i, delivery_tag=None), "amqp:invalid-field"),
    Fault("a delivery resumed", lambda i: transfer_of(TROUBLE, i, resume=True), "amqp:not-implemented"),
    Fault(
        "another delivery before the end of the first",
        lambda i: lasting(i, 1, b"") + transfer_of(TROUBLE, i + 1),
        "amqp:invalid-field",
    ),
    Fault(
        "another tag before the end",
        lambda i: lasting(i, 1, b"") + transfer_of(TROUBLE, i, delivery_tag=b"other"),
        "amqp:invalid-field",
    ),
    Fault("a message without end", lambda i: lasting(i, 18), "amqp:link:message-size-exceeded"),
    Fault(
        "a message towards its sender",
        lambda i: transfer_of(TROUBLE, i),
        "amqp:not-allowed",
        "/devices/d2/messages/devicebound",
        sends=False,
    ),
    Fault(
        "more requests than there is room for their answers",
        lambda i: b"".join(transfer_of(TROUBLE, i + number) for number in range(101)),
        "amqp:link:transfer-limit-exceeded",
        "$cbs",
    ),
    Fault("a request above 64 KiB", lambda i: lasting(i, 2), "amqp:link:message-size-exceeded", "$cbs"),
]


async def test_a_bad_link_is_detached_alone(running: GatewaySite) -> None:
    async with watched(running), GoodAmqpClient.running(running, "good"):
        peer = await AmqpPeer.with_tokens(running, "d1", "d2")
        neighbour = GoodAmqpClient(peer)
        peer.send(write_frame(0, Detach(handle=TROUBLE, closed=True)))
        await peer.next_of(Detach)
        found = {}
        for fault in LINKS:
            await peer.attach(TROUBLE, fault.address, sends=fault.sends)
            peer.send(fault.wire(peer.skip_ids(102)))
            found[fault.what] = await peer.refused(TROUBLE)
            peer.send(transfer_of(TROUBLE, peer.skip_ids(1)))  # on its way when the link ended: means nothing
            peer.send(write_frame(0, Detach(handle=TROUBLE, closed=True)))
            await neighbour.send()
        assert found == {fault.what: fault.condition for fault in LINKS}
        await peer.close()


SESSIONS = [
    Fault("a handle that is in use", lambda _: write_frame(1, attach_of(TROUBLE, "x")), "amqp:session:handle-in-use"),
    Fault("a message without a link", lambda i: transfer_of(NOT_THERE, i, channel=1), "amqp:session:unattached-handle"),
    Fault(
        "a flow without a link",
        lambda _: write_frame(1, Flow(incoming_window=1, next_outgoing_id=0, outgoing_window=1, handle=NOT_THERE)),
        "amqp:session:unattached-handle",
    ),
    Fault("a detach without a link", lambda _: write_frame(1, Detach(handle=7)), "amqp:session:unattached-handle"),
    Fault("no delivery id", lambda _: transfer_of(TROUBLE, None, channel=1), "amqp:invalid-field"),
    Fault(
        "delivery ids that go back",
        lambda _: transfer_of(TROUBLE, 9, channel=1) + transfer_of(TROUBLE, 8, channel=1),
        "amqp:invalid-field",
    ),
    Fault(
        "a disposition that ends before it begins",
        lambda _: write_frame(1, Disposition(role=True, first=5, last=4)),
        "amqp:invalid-field",
    ),
    Fault(
        "a sender that does not count",
        lambda _: write_frame(1, Attach(name="n", handle=NOT_THERE, role=SENDER, target=Target(address="x"))),
        "amqp:invalid-field",
    ),
    Fault(
        "a link's name of 300 characters",
        lambda _: write_frame(1, attach_of(NOT_THERE, "x", name="n" * 300)),
        "amqp:resource-limit-exceeded",
    ),
]


async def test_a_bad_session_ends_alone(running: GatewaySite) -> None:
    async with watched(running), GoodAmqpClient.running(running, "good"):
        peer = await AmqpPeer.with_tokens(running, "d1", "d2")
        neighbour = GoodAmqpClient(peer)
        found = {}
        for fault in SESSIONS:
            await peer.begin(1)
            await peer.attach(TROUBLE, fault.address, channel=1)
            peer.send(fault.wire(peer.skip_ids(1)))
            found[fault.what] = condition_of(await peer.next_of(End))
            peer.send(write_frame(1, End()))
            await neighbour.send()
        assert found == {fault.what: fault.condition for fault in SESSIONS}
        await peer.close()


def nested(levels: int, close: bytes = b"\x40") -> bytes:
    """Lists of one element inside each other, as large as each must say."""
    for _ in range(levels):
        close = b"\xd0" + (len(close) + 4).to_bytes(4) + b"\0\0\0\x01" + close
    return close


def section(code: int, value: bytes) -> bytes:
    """A section of a message with this value in it."""
    return b"\0\x53" + bytes((code,)) + value


def with_properties(properties: Mapping[Any, object], code: int = 0x74) -> bytes:
    """A message with this map as its application properties, or as another section."""
    return section(code, write_value(properties)) + MESSAGE


MANY = {f"k{number}": "v" for number in range(10_000)}
TINY = section(0x75, b"\xa0\x00")
BATCH_OF_BATCHES = write_batch([write_batch([MESSAGE] * 400)] * 400)
TOO_LARGE = "amqp:link:message-size-exceeded"
DECODE = "amqp:decode-error"
ARGUMENT = "com.microsoft:argument-error"


@dataclass(frozen=True, slots=True)
class BadMessage:
    """A message that is rejected with `condition`, or taken if that is None; the link stays."""

    what: str
    payload: bytes
    condition: str | None
    message_format: int = 0


MESSAGES = [
    BadMessage("no message", b"\xff\xfe", DECODE),
    BadMessage("a section that does not exist", section(0x7F, b"\x40"), DECODE),
    BadMessage("two bodies", TINY + section(0x77, b"\x40"), DECODE),
    BadMessage("sections in disorder", TINY + section(0x70, b"\x45"), DECODE),
    BadMessage("a body 40 lists deep", section(0x77, nested(DEEP)), DECODE),
    BadMessage("a body 10,000 lists deep", section(0x77, nested(10_000)), DECODE),
    BadMessage("annotations 40 lists deep", section(0x72, b"\xd1\0\0\x02\0\0\0\0\x02"), DECODE),
    BadMessage("a data section that claims 4 GB", section(0x75, b"\xb0\xff\xff\xff\xff"), DECODE),
    BadMessage("a map that claims 4,000 million keys", section(0x74, b"\xd1\xff\xff\xff\xff\xff\xff\xff\xfe"), DECODE),
    BadMessage("an array of 4,000 million nulls", section(0x77, b"\xf0\0\0\0\x05\xff\xff\xff\xff\x40"), DECODE),
    BadMessage("10,000 properties", with_properties(MANY), ARGUMENT),
    BadMessage("10,000 annotations", with_properties({Symbol(k): v for k, v in MANY.items()}, 0x72), None),
    BadMessage("a footer of 10,000 keys", MESSAGE + section(0x78, write_value({Symbol(k): 1 for k in MANY})), None),
    BadMessage("5,000 annotations by numbers", with_properties({ULong(n): "v" for n in range(5_000)}, 0x72), None),
    BadMessage("a property that is a list", with_properties({"a": [1]}), DECODE),
    BadMessage(
        "a property with two names alike", section(0x74, b"\xc1\x09\x04\xa1\x01a\x40\xa1\x01a\x40") + TINY, DECODE
    ),
    BadMessage(
        "a property whose name is a uuid", section(0x74, b"\xc1\x13\x02\x98" + bytes(16) + b"\x40") + TINY, DECODE
    ),
    BadMessage(
        "a sender's name of its own",
        with_properties({Symbol("iothub-connection-device-id"): "d1"}, 0x72),
        None,
    ),
    BadMessage(
        "an id of 100,000 characters",
        write_message(AmqpMessage(properties=Properties(message_id="x" * 100_000))),
        TOO_LARGE,
    ),
    BadMessage("a body that is a sequence", write_message(AmqpMessage(body=Sequence([[1], [2]]))), ARGUMENT),
    BadMessage(
        "a body of a made-up type", write_message(AmqpMessage(body=Value(Described(Symbol("x"), Array(()))))), ARGUMENT
    ),
    BadMessage("262,145 bytes", write_message(AmqpMessage(body=bytes(262_145))), TOO_LARGE),
    BadMessage("a batch that is none", b"\xff", DECODE, MESSAGE_FORMAT_BATCH),
    BadMessage("a batch of 501", write_batch([MESSAGE] * 501), TOO_LARGE, MESSAGE_FORMAT_BATCH),
    BadMessage("a batch of 100,000 of no byte", section(0x75, b"\xa0\0") * 100_000, TOO_LARGE, MESSAGE_FORMAT_BATCH),
    BadMessage("a batch of batches", BATCH_OF_BATCHES[:600_000], DECODE, MESSAGE_FORMAT_BATCH),
    BadMessage("a batch whose last message is bad", write_batch([MESSAGE, b"\xff"]), DECODE, MESSAGE_FORMAT_BATCH),
    BadMessage("a batch of one too large", write_batch([MESSAGE, bytes(300_000)]), DECODE, MESSAGE_FORMAT_BATCH),
    BadMessage(
        "700,000 bytes in one batch", write_batch([MESSAGE * 1] + [bytes(7_000)] * 100), TOO_LARGE, MESSAGE_FORMAT_BATCH
    ),
]


def frames_of(handle: int, delivery_id: int, payload: bytes, message_format: int) -> Iterator[bytes]:
    """A message in as many frames as it takes."""
    for at in range(0, len(payload), 60_000):
        piece, more = payload[at : at + 60_000], at + 60_000 < len(payload)
        yield transfer_of(handle, delivery_id, piece, more=more, message_format=message_format)


async def test_a_bad_message_is_rejected_alone(running: GatewaySite) -> None:
    async with watched(running), GoodAmqpClient.running(running, "good"):
        peer = await AmqpPeer.with_tokens(running, "d1", "d2")
        neighbour = GoodAmqpClient(peer)
        found = {}
        for bad in MESSAGES:
            number = peer.skip_ids(1)
            peer.send(b"".join(frames_of(TROUBLE, number, bad.payload, bad.message_format)))
            state = await peer.settled(number)
            assert isinstance(state, Accepted | Rejected), f"{bad.what}: {state}"
            found[bad.what] = str(state.error.condition) if isinstance(state, Rejected) and state.error else None
            await neighbour.send()
            assert await peer.tell(TROUBLE) == Accepted()
        assert found == {bad.what: bad.condition for bad in MESSAGES}
        await peer.close()


def frame(body: bytes, *, channel: int = 0, kind: int = 0, size: int | None = None, offset: int = 2) -> bytes:
    """A frame with any header."""
    length = len(body) + 8 if size is None else size
    return length.to_bytes(4) + bytes((offset, kind)) + channel.to_bytes(2) + body


FRAMING = "amqp:connection:framing-error"
ILLEGAL = "amqp:illegal-state"
CONNECTIONS = {
    "a frame that claims 4 GB": (frame(b"", size=0xFFFFFFFF), FRAMING),
    "a frame of 65,537 bytes": (frame(b"", size=65_537), FRAMING),
    "a frame shorter than its header": (frame(b"", size=7), FRAMING),
    "a frame of no bytes": (frame(b"", size=0), FRAMING),
    "a body that begins in the header": (frame(b"\0", offset=1), FRAMING),
    "a body that begins behind the end": (frame(b"\0", offset=255), FRAMING),
    "a type of frame that is none": (frame(b"", kind=2), FRAMING),
    "a frame of SASL": (frame(b"\0\x53\x44\xc0\x03\x01\x50\0", kind=1), FRAMING),
    "an empty frame of SASL": (frame(b"", kind=1), FRAMING),
    "a performative that is none": (frame(b"\0\x53\x7f\x45"), DECODE),
    "a performative that is a map": (frame(b"\0\x53\x12\xc1\x01\0"), DECODE),
    "a performative with no fields": (frame(b"\0\x53\x12\x45"), DECODE),
    "a performative with 200 fields": (frame(b"\0\x53\x17\xc0\xc9\xc8" + b"\x40" * 200), DECODE),
    "a field of another type": (frame(b"\0\x53\x12\xc0\x05\x02\x52\x01\x52\x01"), DECODE),
    "a value 10,000 lists deep": (frame(b"\0\x53\x18" + nested(10_000 // 2)), DECODE),
    "a payload behind a begin": (write_frame(9, BEGIN) + frame(b"\0\x53\x17\x45xyz", channel=9), DECODE),
    "a channel above the highest": (write_frame(1_024, BEGIN), FRAMING),
    "a channel without a session": (transfer_of(0, 0, channel=5), ILLEGAL),
    "a session on a channel that has one": (write_frame(0, BEGIN), ILLEGAL),
    "a handle above the highest": (write_frame(0, attach_of(262_144, "x")), FRAMING),
    "a second open": (write_frame(0, OPEN), ILLEGAL),
    "the header once more": (b"AMQP\0\x01\0\0", FRAMING),
}


async def test_a_bad_frame_ends_its_connection_with_the_right_condition(running: GatewaySite) -> None:
    broken = "gateway_broken_protocols_total"
    before = (await running.metrics()).get(broken, 0)
    async with watched(running), GoodAmqpClient.running(running, "good"):
        found = {}
        for what, (wire, _) in CONNECTIONS.items():
            peer = await AmqpPeer.opened(running)
            peer.send(wire)
            *_, close = await peer.told()
            assert isinstance(close, Close), (what, close)
            found[what] = condition_of(close)
        assert found == {what: condition for what, (_, condition) in CONNECTIONS.items()}
    assert await running.counted(broken, before + len(CONNECTIONS)) == before + len(CONNECTIONS)


OPENS = {
    "frames of 511 bytes": (Open(container_id="x", max_frame_size=511), "amqp:invalid-field"),
    "a heartbeat each millisecond": (Open(container_id="x", idle_time_out=1), "amqp:not-allowed"),
}


@pytest.mark.parametrize("what", OPENS)
async def test_an_open_that_asks_for_too_much_is_refused(running: GatewaySite, what: str) -> None:
    opened, condition = OPENS[what]
    peer = await AmqpPeer.reach(running)
    peer.send(b"AMQP\0\x01\0\0" + write_frame(0, opened))
    *_, close = await peer.told()
    assert isinstance(close, Close)
    assert condition_of(close) == condition
