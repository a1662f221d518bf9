import asyncio

from edgewire.message import UPSTREAM, Delivery
from faults.inline import Bench, bodies
from faults.model_disk import ModelDisk


def urgent(priority: int) -> tuple[Delivery, ...]:
    return (Delivery(UPSTREAM, priority),)


def test_the_most_urgent_comes_first_and_inside_a_priority_the_oldest() -> None:
    bench = Bench(ModelDisk())
    for body, priority in ((b"a5", 5), (b"a9", 9), (b"b5", 5), (b"a0", 0), (b"b0", 0)):
        bench.append(body, deliveries=urgent(priority))
    assert bodies(bench.take()) == [b"a0", b"b0", b"a5", b"b5", b"a9"]


def test_what_is_less_urgent_does_not_fill_a_gap_that_is_too_small() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"small", bytes(500), deliveries=urgent(0))
    bench.append(b"small", deliveries=urgent(9))
    reader = bench.store.reader(UPSTREAM)
    assert bodies(reader.take(10, 200)) == [b"small"]
    assert bodies(reader.take(10, 200)) == [bytes(500)]
    assert bodies(reader.take(10, 200)) == [b"small"]


def test_something_more_urgent_goes_before_what_was_released() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"late", deliveries=urgent(9))
    bench.take()
    bench.store.reader(UPSTREAM).release()
    bench.append(b"now", deliveries=urgent(0))
    assert bodies(bench.take()) == [b"now", b"late"]


def test_nothing_is_taken_for_no_room() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"x")
    assert bench.take(0) == []


async def test_waiting_ends_when_something_comes() -> None:
    bench = Bench(ModelDisk())
    reader = bench.store.reader(UPSTREAM)
    waiting = asyncio.create_task(reader.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    bench.append(b"x")
    await asyncio.wait_for(waiting, 5)
    await asyncio.wait_for(reader.wait(), 5)


async def test_waiting_ends_when_something_is_released() -> None:
    bench = Bench(ModelDisk())
    reader = bench.store.reader(UPSTREAM)
    bench.append(b"x")
    bench.take()
    waiting = asyncio.create_task(reader.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    reader.release()
    await asyncio.wait_for(waiting, 5)
    assert bodies(bench.take()) == [b"x"]


def test_only_the_queue_that_gave_last_keeps_its_file_open() -> None:
    bench = Bench(ModelDisk())
    for priority in (0, 5):
        bench.append(b"a", b"b", b"c", deliveries=urgent(priority))
    bench.take(4)
    first, second = bench.store.reader(UPSTREAM).cursors
    assert first._source is None
    assert second._source is not None
