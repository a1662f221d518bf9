import errno

from edgewire.message import UPSTREAM, Delivery
from faults.inline import Bench, bodies, message
from faults.model_disk import ModelDisk
from gateway.observe.store import MessagesExpired, StoreDamageFound
from gateway.store.cursor import Cursor, Room
from gateway.store.segment import SEGMENT
from gateway.store.values import StoreLimits

SMALL = StoreLimits(max_bytes=1 << 20, segment_bytes=4096)


def cursor(bench: Bench) -> Cursor:
    (only,) = bench.store.reader(UPSTREAM).cursors
    return only


def test_room_gives_the_first_message_whatever_its_size() -> None:
    room = Room(2, 10)
    assert room.admits(100)
    room.use(100)
    assert not room.admits(1)
    assert not Room(0, 100).admits(1)


def test_a_message_is_given_once_and_in_order() -> None:
    bench = Bench(ModelDisk(), SMALL)
    for number in range(30):
        bench.append(b"%d" % number + bytes(400))
    got = [body for _ in range(10) for body in bodies(bench.take(4))]
    assert [body.rstrip(b"\0") for body in got] == [b"%d" % number for number in range(30)]


def test_the_position_is_the_lowest_unsettled() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"a", b"b", b"c")
    reading = cursor(bench)
    assert reading.position == 1
    first, second, third = bench.take()
    bench.settle([second])
    assert reading.position == 1
    bench.settle([first])
    assert reading.position == 3
    bench.settle([third, third])
    assert reading.position == 4
    assert (reading.taken, reading.taken_bytes, reading.unread) == (0, 0, 0)


def test_what_is_released_comes_again_without_what_was_settled() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"a", b"b", b"c", b"d")
    taken = bench.take(3)
    bench.settle([taken[1]])
    bench.store.reader(UPSTREAM).release()
    again = bench.take(1)
    assert bodies(again) == [b"a"]
    assert again[0].entry_id == taken[0].entry_id
    bench.settle([taken[2]])  # an answer that comes after the release counts
    assert bodies(bench.take()) == [b"d"]


def test_memory_for_what_is_taken_is_bounded() -> None:
    bench = Bench(ModelDisk(), StoreLimits(max_taken_messages=3))
    bench.append(*[b"x"] * 10)
    taken = bench.take()
    assert len(taken) == 3
    assert bench.take() == []
    assert not cursor(bench).ready
    bench.settle(taken[:1])
    assert len(bench.take()) == 1


def test_expired_ones_are_passed_over_and_counted() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"short", deliveries=(Delivery(UPSTREAM, 0, 10),))
    bench.append(b"long", deliveries=(Delivery(UPSTREAM, 0, 1000),))
    bench.append(b"short", deliveries=(Delivery(UPSTREAM, 0, 10),))
    bench.clock.now += 10
    assert bodies(bench.take()) == [b"long"]
    assert bench.said(MessagesExpired) == [MessagesExpired(endpoint="$upstream", count=2)]


def test_a_released_one_may_expire() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"short", deliveries=(Delivery(UPSTREAM, 0, 10),))
    bench.take()
    bench.store.reader(UPSTREAM).release()
    bench.clock.now += 11
    assert bench.take() == []
    assert bench.store.status().messages == 0


def test_what_comes_behind_messages_that_expired_unread_in_the_segment_being_written_is_given() -> None:
    bench = Bench(ModelDisk(), SMALL)
    short = (Delivery(UPSTREAM, time_to_live_s=10),)
    bench.append(b"old" + bytes(3_000))
    bench.append(b"in the next segment" + bytes(1_500), deliveries=short)
    bench.append(b"short", deliveries=short)
    bench.clock.now += 20
    bench.store.sweep()
    bench.append(b"first")
    bench.append(b"second", b"third")
    bench.append(b"last")
    assert bodies(bench.take(2))[-1] == b"first"
    bench.store.reader(UPSTREAM).release()
    taken = bench.take()
    assert bodies(taken)[1:] == [b"first", b"second", b"third", b"last"]
    bench.settle(taken)
    assert [segment.pending for segment in bench.store._backlog.segments] == [0]


def test_the_oldest_is_what_waits_and_not_what_has_gone() -> None:
    bench = Bench(ModelDisk())
    bench.append(b"short", deliveries=(Delivery(UPSTREAM, time_to_live_s=10),))
    bench.clock.now += 20
    bench.store.sweep()
    bench.append(b"new")
    assert cursor(bench).oldest_at_ms() == bench.clock.now * 1000


def test_a_clock_that_jumps_changes_no_order() -> None:
    bench = Bench(ModelDisk())
    for number, jump in enumerate((0, 3600, -7200, 315_360_000, -315_360_000)):
        bench.clock.now += jump
        bench.append(b"%d" % number)
    assert bodies(bench.take()) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_queue_that_is_seldom_used_is_found_in_a_long_backlog() -> None:
    bench = Bench(ModelDisk(), SMALL)
    for number in range(60):
        priority = 0 if number % 20 == 7 else 5
        bench.append(b"%d:" % number + bytes(300), deliveries=(Delivery(UPSTREAM, priority),))
    urgent = [entry for entry in bench.take(60) if entry.priority == 0]
    assert [int(entry.message.body.split(b":")[0]) for entry in urgent] == [7, 27, 47]


def test_resting_loses_no_place() -> None:
    bench = Bench(ModelDisk())
    bench.append(*[b"%d" % number for number in range(9)])
    reading = cursor(bench)
    got = []
    for _ in range(9):
        got += bodies(bench.take(1))
        reading.rest()
    assert got == [b"%d" % number for number in range(9)]


def test_nothing_is_given_from_a_damaged_batch() -> None:
    disk = ModelDisk()
    bench = Bench(disk)
    bench.append(b"good")
    end = bench.store.status().bytes
    bench.append(b"bad", b"bad as well")
    (name,) = [name for name in disk.names() if name.endswith(".segment")]
    disk.names_seen[name].seen[end + 90] ^= 1
    assert bodies(bench.take()) == [b"good"]
    assert bench.take() == []
    assert len(bench.said(StoreDamageFound)) == len(bench.damage) == 1
    assert bench.damage[0].damage.offset == end


def test_a_segment_that_cannot_be_opened_is_damage() -> None:
    disk = ModelDisk()
    bench = Bench(disk)
    bench.append(b"x")
    (name,) = [name for name in disk.names() if name.endswith(".segment")]
    disk.unlink(name)
    assert bench.take() == []
    assert str(errno.ENOENT) in str(bench.damage[0])


def test_fewer_records_than_counted_is_damage() -> None:
    disk = ModelDisk()
    bench = Bench(disk)
    bench.append(b"x")
    cursor(bench).unread += 1
    (segment,) = bench.store._backlog.segments
    segment.shares[0].unread += 1
    bench.take()
    assert bench.take() == []
    assert "fewer records" in str(bench.damage[0])


def test_a_record_that_is_not_one_is_damage() -> None:
    disk = ModelDisk()
    bench = Bench(disk)
    group = bench.store._group
    bench.store._encoder.add(group.batch, [(message(b"x"), (Delivery(UPSTREAM),))], 0)
    group.batch.parts[2] = b"\x09" * len(group.batch.parts[2])
    group.waiting.append((lambda result: None, None))
    bench.store._start()
    assert bench.take() == []
    assert "cannot be read" in str(bench.damage[0])
    assert bench.damage[0].damage.offset == SEGMENT.size
