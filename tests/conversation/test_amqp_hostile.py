"""Recorded clients, whole and mangled, against a server engine whose owner accepts all: refused, never crashed."""

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewire.codec.amqp.performatives import ACCEPTED
from edgewire.session.amqp.client import AmqpClient
from edgewire.session.amqp.events import (
    AmqpEvent,
    AttachReceived,
    ConnectionClosed,
    CreditReceived,
    DeliveryStateChanged,
    LinkDetached,
    MessageReceived,
    Opened,
    OpenReceived,
    SaslInitReceived,
    SessionBegun,
    SessionEnded,
)
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.server import AmqpServer
from support.amqp_reading import TRACES, refusal_of

NOW = 1_000.0

SMALL = AmqpLimits(max_partial_bytes=100_000, max_links=6, channel_max=3, incoming_window=8, max_unsettled=4)


class Accepting:
    """A server that says yes to everything and sends a message wherever it has credit."""

    def __init__(self, limits: AmqpLimits) -> None:
        self.server = AmqpServer(limits, NOW, offers_external=True, container_id="gw")
        self.events: list[AmqpEvent] = []
        self.output = b""

    def take(self, data: bytes) -> None:
        """One read and all that follows from it."""
        self._decide(self.server.receive(data, NOW))
        while (due := self.server.deadline()) is not None and due <= NOW:
            self._decide(self.server.on_deadline(NOW))

    def _decide(self, events: list[AmqpEvent]) -> None:
        self.events += events
        for event in events:
            match event:
                case SaslInitReceived():
                    self.server.accept_sasl()
                case OpenReceived():
                    self.server.open()
                case AttachReceived(link):
                    self.server.accept_link(link)
                case CreditReceived():
                    self.server.send(event.link, b"x", settled=event.drain)
                    if event.drain:
                        self.server.drained(event.link)
                case MessageReceived():
                    self.server.settle(event.link, [event.delivery_id], ACCEPTED)
                    self.server.grant(event.link, 10)
                case DeliveryStateChanged():
                    self.server.settle_sent(event.link, event.delivery, event.state)
                case _:
                    pass
        self.output += self.server.take_output()


def connections(trace: Path) -> list[list[bytes]]:
    """What a recorded client sent on each of its connections, frame by frame."""
    found: dict[str, list[bytes]] = {}
    for line in trace.read_text(encoding="ascii").splitlines():
        number, data = line.split()
        found.setdefault(number, []).append(bytes.fromhex(data))
    return list(found.values())


RECORDED = [frames for trace in TRACES for frames in connections(trace)]


def test_all_traces_are_there() -> None:
    assert len(TRACES) == 24


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name.removesuffix(".client.hex"))
@pytest.mark.parametrize("piece", [0, 1, 7])
def test_a_recorded_client_finds_nothing_amiss(trace: Path, piece: int) -> None:
    for frames in connections(trace):
        owner = Accepting(AmqpLimits())
        data = b"".join(frames)
        for part in frames if not piece else [data[at : at + piece] for at in range(0, len(data), piece)]:
            owner.take(part)
        faults = [
            event
            for event in owner.events
            if isinstance(event, LinkDetached | SessionEnded) and event.error is not None
        ]
        assert faults == []
        assert owner.events[-1] == ConnectionClosed(None)


def bear(owner: Accepting, pieces: list[bytes]) -> None:
    """Feed all of it: what does not fit is refused with a condition, and nothing else happens."""
    for piece in pieces:
        refused = refusal_of(partial(owner.take, piece))
        assert refused is None or owner.server.dead
        assert owner.server.dead or owner.server.deadline() != NOW
    owner.output += owner.server.take_output()
    owner.server.connection_lost()


edits = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "insert", "swap", "double"]), st.integers(0, 10_000), st.integers(0, 255)),
    min_size=1,
    max_size=6,
)


def mangled(frames: list[bytes], changes: list[tuple[str, int, int]]) -> list[bytes]:
    """A client's frames with some of them changed, left out, doubled or out of order."""
    parts = [bytearray(frame) for frame in frames]
    for kind, place, value in changes:
        at = place % len(parts)
        part = parts[at]
        match kind:
            case "set" if part:
                part[value % len(part)] = place & 255
            case "cut":
                del part[value % (len(part) + 1) :]
            case "insert":
                part.insert(value % (len(part) + 1), place & 255)
            case "swap":
                parts[at], parts[value % len(parts)] = parts[value % len(parts)], part
            case _:
                parts.insert(value % len(parts), part)
    return [bytes(part) for part in parts]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(RECORDED), edits, st.sampled_from([SMALL, AmqpLimits()]))
def test_mangled_clients_are_refused_and_nothing_else_happens(
    frames: list[bytes], changes: list[tuple[str, int, int]], limits: AmqpLimits
) -> None:
    bear(Accepting(limits), mangled(frames, changes))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.binary(max_size=200), max_size=5),
    st.sampled_from([b"", b"AMQP\x00\x01\x00\x00", b"AMQP\x03\x01\x00\x00"]),
)
def test_noise_is_refused(pieces: list[bytes], start: bytes) -> None:
    bear(Accepting(AmqpLimits()), [start, *pieces])


def recorded_server() -> list[bytes]:
    """What our server says to a client of ours, read by read."""
    owner = Accepting(AmqpLimits())
    client = AmqpClient(AmqpLimits(), NOW, container_id="c", hostname="h", sasl="PLAIN", response=b"x")
    said: list[bytes] = []
    while up := client.take_output():
        owner.take(up)
        said.append(owner.output)
        owner.output = b""
        for event in client.receive(said[-1], NOW):
            follow(client, event)
    return said


def follow(client: AmqpClient, event: AmqpEvent) -> None:
    """A client that wants two links, sends what it may and settles what it gets."""
    match event:
        case Opened():
            client.begin()
        case SessionBegun(session):
            client.attach_sender(session, "up", "a")
            client.attach_receiver(session, "down", "b")
        case CreditReceived():
            client.send(event.link, b"x" * 700)
        case MessageReceived():
            client.settle(event.link, [event.delivery_id], ACCEPTED)
        case _:
            pass


SERVER_SAID = recorded_server()


def test_the_recorded_server_says_enough_to_be_mangled() -> None:
    assert len(SERVER_SAID) >= 6


@settings(max_examples=200, deadline=None)
@given(edits)
def test_a_client_bears_a_mangled_server(changes: list[tuple[str, int, int]]) -> None:
    client = AmqpClient(AmqpLimits(), NOW, container_id="c", hostname="h", sasl="PLAIN", response=b"x")

    def take(piece: bytes) -> None:
        events = client.receive(piece, NOW)
        while (due := client.deadline()) is not None and due <= NOW:
            events += client.on_deadline(NOW)
        for event in events:
            follow(client, event)

    for piece in mangled(SERVER_SAID, changes):
        refused = refusal_of(partial(take, piece))
        assert refused is None or client.dead
        client.take_output()
