from gateway.store.backlog import Backlog, Segment
from gateway.store.log import Committed, Retired
from gateway.store.record import BatchHeader, Row
from gateway.store.recovery import Share
from gateway.store.segment import SEGMENT, freed_name, segment_name


def committed(base: int, offset: int, first: int, records: int = 1, queue: int = 0) -> Committed:
    rows = (Row(queue=queue, records=records, bytes=10 * records, expires_at_ms=99),)
    header = BatchHeader(length=100, records=records, first_sequence=first, received_at_ms=first, rows=rows)
    return Committed(base=base, offset=offset, header=header)


def three_segments() -> Backlog:
    backlog = Backlog(1)
    for base in (1, 2, 3):
        backlog.add(committed(base, SEGMENT.size, base, queue=base % 2))
    return backlog


def settle(backlog: Backlog, segment: Segment, queue: int) -> None:
    segment.shares[queue].unread = 0
    backlog.settle(segment, segment.pending)


def test_batches_are_counted_by_segment_and_queue() -> None:
    backlog = Backlog(1)
    backlog.add(committed(1, SEGMENT.size, 1, records=2))
    segment = backlog.add(committed(1, SEGMENT.size + 100, 3))
    assert segment.shares[0] == Share(3, 30, 1, 99)
    assert (segment.pending, segment.end_sequence, backlog.next_sequence) == (3, 4, 4)
    assert backlog.used_bytes == SEGMENT.size + 200


def test_a_new_base_seals_the_segment_before() -> None:
    backlog = three_segments()
    assert [segment.sealed for segment in backlog.segments] == [True, True, False]
    assert backlog.used_bytes == 3 * (SEGMENT.size + 100)


def test_the_next_unread_of_a_queue_is_found() -> None:
    backlog = three_segments()
    found = backlog.unread_from(2, 1)
    assert found is not None
    assert found.base == 3
    assert backlog.unread_from(3, 0) is None
    assert [segment.base for segment, _ in backlog.shares_of(1)] == [1, 3]


def test_the_front_is_unlinked_and_the_middle_retired() -> None:
    backlog = three_segments()
    settle(backlog, backlog.segments[1], 0)
    assert backlog.has_free()
    assert backlog.free() == ([], [Retired(base=2, end=3)])
    assert backlog.first_sequence == 1
    settle(backlog, backlog.segments[0], 1)
    assert backlog.free() == ([segment_name(1), freed_name(2, 3)], [])
    assert backlog.first_sequence == 3
    assert backlog.used_bytes == SEGMENT.size + 100


def test_the_segment_being_written_is_never_given_back() -> None:
    backlog = three_segments()
    for segment, queue in zip(backlog.segments, (1, 0, 1), strict=True):
        settle(backlog, segment, queue)
    assert len(backlog.free()[0]) == 2
    assert not backlog.has_free()
    assert backlog.droppable() is None
    backlog.seal_last()
    assert backlog.has_free()
    backlog.free()
    assert backlog.first_sequence == backlog.next_sequence == 4


def test_a_restored_segment_counts_its_shares() -> None:
    backlog = Backlog(9)
    backlog.restore(Segment(1, 9, 500, 560, sealed=True, shares={0: Share(3, 30, 0, 0), 2: Share(1, 10, 0, 0)}))
    assert backlog.segments[0].pending == 4
    assert backlog.used_bytes == 560
    assert backlog.droppable() is backlog.segments[0]
