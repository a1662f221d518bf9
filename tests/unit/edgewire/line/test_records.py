from edgewire.line.records import NO_LIMIT, PARTS, PLANS, Batch, Encoder
from edgewire.message import UPSTREAM, Delivery, Endpoint, Message, module_input
from faults.inline import message
from gateway.store.record import NEVER, Row, rows_of

INPUT = module_input("m", "i")


def queue_for(endpoint: Endpoint, priority: int) -> int | None:
    return {(UPSTREAM, 0): 0, (INPUT, 5): 1}.get((endpoint, priority))


CLOUD = (Delivery(UPSTREAM, 0),)
BOTH = (Delivery(UPSTREAM, 0, 10), Delivery(INPUT, 5))


def encoded(encoder: Encoder, *deliveries: tuple[Delivery, ...] | list[Delivery], now_ms: int = 1000) -> Batch:
    batch = Batch()
    assert encoder.add(batch, [(message(b"hi"), each) for each in deliveries], now_ms)
    return batch


def test_records_are_tallied_by_queue() -> None:
    batch = encoded(Encoder(queue_for), CLOUD, BOTH)
    assert batch.records == 2
    assert batch.size == sum(map(len, batch.parts))
    small = batch.size // 2 - 3
    assert rows_of(batch) == (
        Row(queue=0, records=2, bytes=batch.size, expires_at_ms=NEVER),
        Row(queue=1, records=1, bytes=batch.size - small, expires_at_ms=NEVER),
    )


def test_messages_without_deliveries_are_left_out() -> None:
    assert encoded(Encoder(queue_for), (), []).records == 0


def test_a_queue_too_many_adds_nothing() -> None:
    encoder = Encoder(queue_for)
    batch = encoded(encoder, CLOUD)
    before = (list(batch.parts), batch.records, batch.size)
    assert not encoder.add(batch, [(message(b"x"), CLOUD), (message(b""), (Delivery(UPSTREAM, 9),))], 0)
    assert (batch.parts, batch.records, batch.size) == before


def test_an_envelope_is_written_once_for_all_its_messages() -> None:
    envelope = message(b"").envelope
    batch, encoder = Batch(), Encoder(queue_for)
    assert encoder.add(batch, [(Message(envelope, body), CLOUD) for body in (b"a", b"b")], 0)
    first, second = batch.parts[2::PARTS]
    assert first is second


def test_a_delivery_list_is_prepared_once_if_it_cannot_change() -> None:
    encoder = Encoder(queue_for)
    batch = encoded(encoder, CLOUD, CLOUD, list(CLOUD), list(CLOUD))
    assert len(set(batch.plans)) == 3
    assert len(encoder._plans) == 1


def test_prepared_lists_are_bounded() -> None:
    encoder = Encoder(queue_for)
    for seconds in range(PLANS + 10):
        encoded(encoder, (Delivery(UPSTREAM, 0, seconds),))
    assert len(encoder._plans) <= PLANS


def test_the_latest_expiry_counts() -> None:
    encoder = Encoder(queue_for)
    batch = encoded(encoder, (Delivery(UPSTREAM, 0, 10),), (Delivery(UPSTREAM, 0, 3),))
    encoder.add(batch, [(message(b"hi"), (Delivery(UPSTREAM, 0, 3),))], 2000)
    encoder.add(batch, [(message(b"hi"), (Delivery(UPSTREAM, 0, 3),))], 500)
    assert rows_of(batch)[0].expires_at_ms == 12_000
    assert (batch.first_received_at_ms, batch.last_received_at_ms) == (1000, 2000)


def test_a_time_to_live_beyond_what_fits_is_the_longest_that_does() -> None:
    for seconds, stored in ((-5, 0), (1 << 40, NO_LIMIT - 1)):
        batch = encoded(Encoder(queue_for), (Delivery(UPSTREAM, 0, seconds),), now_ms=0)
        assert rows_of(batch)[0].expires_at_ms == stored * 1000


def test_one_queue_named_twice_is_served_once() -> None:
    batch = encoded(Encoder(queue_for), (Delivery(UPSTREAM, 0, 5), Delivery(UPSTREAM, 0)))
    assert rows_of(batch)[0].records == 1
