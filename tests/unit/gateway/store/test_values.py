import pytest

from edgewire.message import UPSTREAM
from faults.inline import message
from gateway.store.values import Entry, QueueStatus, StoreLimits, StoreStatus


@pytest.mark.parametrize(
    ("max_bytes", "segment_bytes", "effective"),
    [(1 << 30, 16 << 20, 16 << 20), (1 << 20, 16 << 20, 1 << 18), (1000, 16 << 20, 4096)],
)
def test_a_segment_is_at_most_a_quarter_of_the_cap(max_bytes: int, segment_bytes: int, effective: int) -> None:
    limits = StoreLimits(max_bytes=max_bytes, segment_bytes=segment_bytes)
    assert limits.effective_segment_bytes() == effective


def test_an_entry_id_is_the_store_and_the_sequence() -> None:
    entry = Entry(
        store_id="s",
        sequence=7,
        message=message(b""),
        endpoint=UPSTREAM,
        priority=0,
        received_at_ms=0,
        expires_at_ms=None,
        size=1,
    )
    assert entry.entry_id == "s-7"


def test_a_message_for_two_queues_waits_twice() -> None:
    queue = QueueStatus(endpoint=UPSTREAM, priority=0, messages=2, bytes=10, oldest_at_ms=0)
    status = StoreStatus(
        state=None,
        queues=(queue, queue),
        segments=1,
        bytes=20,
        max_bytes=None,
        when_full=None,
        next_sequence=3,
    )
    assert status.messages == 4
