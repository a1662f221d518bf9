from gateway.broker.limits import MESSAGE_OVERHEAD, BrokerLimits
from gateway.broker.messages import LocalMessage, Parcel
from gateway.broker.sessions import LocalSession, TooLargeError, Waiting
from gateway.observe.broker import DroppedLocal


class Line:
    """A connection with room for some messages."""

    def __init__(self, room: int = 100, largest: int = 100) -> None:
        self.room = room
        self.largest = largest
        self.sent: list[tuple[bytes, int | None]] = []
        self._last = 0

    def send(self, parcel: Parcel, packet_id: int | None) -> int | None:
        if len(parcel.message.payload) > self.largest:
            raise TooLargeError
        if self.room == 0:
            return None
        self.room -= 1
        self.sent.append((parcel.message.payload, packet_id))
        if packet_id is not None:
            return packet_id
        self._last += parcel.qos
        return self._last if parcel.qos else 0


class Client:
    """A session, and what it says that it drops."""

    def __init__(self, limits: BrokerLimits | None = None, waiting: Waiting | None = None) -> None:
        self.now = 0.0
        self.dropped: list[DroppedLocal] = []
        self.waiting = waiting or Waiting()
        self.session = LocalSession(
            ("u", "c"),
            limits=limits or BrokerLimits(),
            waiting=self.waiting,
            dropped=self.dropped.append,
            clock=lambda: self.now,
        )

    def offer(self, payload: bytes, qos: int = 1, expires_at: float | None = None) -> None:
        self.session.offer(Parcel(LocalMessage(topic="t", payload=payload, qos=qos, expires_at=expires_at), qos))


def test_what_the_connection_does_not_take_waits_in_order() -> None:
    client, line = Client(), Line(room=1)
    client.session.attach(line)
    for payload in (b"1", b"2", b"3"):
        client.offer(payload)
    assert client.session.queued == 2
    line.room = 5
    assert client.session.drain()
    assert [payload for payload, _ in line.sent] == [b"1", b"2", b"3"]
    for packet_id in (1, 2, 3):
        client.session.acknowledged(packet_id)
    assert client.waiting.bytes == 0


def test_what_is_sent_and_not_acknowledged_counts_too_and_one_message_always_leaves() -> None:
    one = MESSAGE_OVERHEAD + 2
    client, line = Client(BrokerLimits(max_queued_bytes=2 * one)), Line()
    client.session.attach(line)
    for payload in (b"1", b"2", b"3"):
        client.offer(payload)
    assert [payload for payload, _ in line.sent] == [b"1", b"2"]
    client.session.acknowledged(1)
    client.session.drain()
    assert [payload for payload, _ in line.sent] == [b"1", b"2", b"3"]
    other = Client(BrokerLimits(max_queued_bytes=one, max_all_queued_bytes=1), client.waiting)
    other.session.attach(line)
    other.offer(b"4")
    other.offer(b"5")
    assert [payload for payload, _ in line.sent] == [b"1", b"2", b"3", b"4"]
    for session in (client.session, other.session):
        session.end()
    assert client.waiting.bytes == 0


def test_a_client_that_is_away_gets_what_has_quality_1() -> None:
    client, line = Client(), Line()
    client.offer(b"1")
    client.offer(b"2", qos=0)
    client.session.attach(line)
    client.session.drain()
    assert [payload for payload, _ in line.sent] == [b"1"]


def test_what_waits_with_quality_0_is_dropped_with_its_connection() -> None:
    client, line = Client(), Line(room=0)
    client.session.attach(line)
    client.offer(b"0", qos=0)
    client.offer(b"1")
    client.session.detach()
    assert [each.payload for each in client.session.unsettled] == [b"1"]
    assert client.waiting.bytes == 2 + MESSAGE_OVERHEAD


def test_what_was_not_acknowledged_is_sent_again_before_anything_new() -> None:
    client, line = Client(), Line()
    client.session.attach(line)
    client.offer(b"1")
    client.offer(b"2")
    client.session.acknowledged(1)
    client.session.detach()
    client.offer(b"3")
    again = Line(room=1)
    client.session.attach(again)
    assert not client.session.drain()
    again.room = 5
    client.session.drain()
    assert again.sent == [(b"2", 2), (b"3", None)]


def test_what_no_connection_takes_is_dropped_and_said() -> None:
    client, line = Client(), Line(largest=1)
    client.session.attach(line)
    client.offer(b"22")
    client.offer(b"1")
    assert [payload for payload, _ in line.sent] == [b"1"]
    assert client.dropped == [DroppedLocal.TOO_LARGE]
    client.session.detach()
    client.session.attach(Line(largest=0))
    assert client.session.drain()
    assert client.session.unsettled == ()


def test_what_has_had_its_time_is_not_sent() -> None:
    client, line = Client(), Line()
    client.offer(b"1", expires_at=5)
    client.now = 5
    client.session.attach(line)
    assert client.session.drain()
    assert (line.sent, client.dropped) == ([], [DroppedLocal.EXPIRED])


def test_bytes_are_bounded_for_one_and_for_all() -> None:
    one = MESSAGE_OVERHEAD + 2
    client = Client(BrokerLimits(max_queued_bytes=2 * one, max_all_queued_bytes=3 * one))
    other = Client(BrokerLimits(max_all_queued_bytes=3 * one), client.waiting)
    for payload in (b"1", b"2", b"3"):
        client.offer(payload)
    assert [each.payload for each in client.session.unsettled] == [b"2", b"3"]
    other.offer(b"4")
    other.offer(b"5")
    assert [each.payload for each in other.session.unsettled] == [b"5"]
    assert client.dropped == [DroppedLocal.QUEUE_FULL]
    assert other.dropped == [DroppedLocal.MEMORY_FULL]
    other.session.end()
    client.session.end()
    assert client.waiting.bytes == 0


def test_without_a_connection_nothing_is_drained() -> None:
    assert not Client().session.drain()
