import errno
from collections.abc import Callable

from faults.model_disk import ModelDisk
from gateway.observe.metrics import Histogram
from gateway.store.checkpoint import NAME, Positions, PositionsFile, create_positions
from gateway.store.log import Commit, Committed, Log, Refused, Retired, Verifier, empty, seal
from gateway.store.record import Row
from gateway.store.segment import SEGMENT, Index, freed_name, read_index, segment_name
from gateway.store.values import AppendResult

POSITIONS = Positions(first_sequence=1, next_sequence=1)


def log(disk: ModelDisk, segment_bytes: int = 4096) -> Log:
    create_positions(disk, POSITIONS)
    positions = PositionsFile.opened(disk.open(NAME))
    return Log(disk, positions, store_id=bytes(16), next_sequence=1, segment_bytes=segment_bytes)


def commit(size: int = 10, queues: bytes | None = None) -> Commit:
    rows = (Row(queue=0, records=1, bytes=size, expires_at_ms=0),)
    return Commit(parts=[bytes(size)], records=1, rows=rows, received_at_ms=5, queues=queues)


def fail(what_fails: str, code: int = errno.EIO) -> Callable[[str, str], None]:
    def before(what: str, name: str) -> None:
        if what == what_fails:
            raise OSError(code, "injected")

    return before


def test_batches_follow_each_other_and_are_durable() -> None:
    disk = ModelDisk()
    each = log(disk)
    first, second = each.commit(commit()), each.commit(commit())
    assert isinstance(first, Committed)
    assert isinstance(second, Committed)
    assert (first.base, first.offset, first.header.first_sequence) == (1, SEGMENT.size, 1)
    assert (second.base, second.offset) == (1, SEGMENT.size + first.header.length)
    assert segment_name(1) in disk.names_durable
    inode = disk.names_seen[segment_name(1)]
    assert inode.durable == inode.seen


def test_a_full_segment_is_sealed_and_a_new_one_begun() -> None:
    disk = ModelDisk()
    each = log(disk)
    for _ in range(6):
        last = each.commit(commit(1000))
    assert isinstance(last, Committed)
    assert last.base == 4
    file = disk.open(segment_name(1))
    index = read_index(file, file.size())
    assert index is not None
    assert (index.end_sequence, index.rows[0].records) == (4, 3)


def test_a_batch_larger_than_a_segment_has_its_own() -> None:
    result = log(ModelDisk()).commit(commit(20_000))
    assert isinstance(result, Committed)


def test_a_failed_write_or_sync_keeps_nothing_and_abandons_the_segment() -> None:
    for what in ("write", "sync"):
        disk = ModelDisk()
        each = log(disk)
        each.commit(commit())
        disk.before = fail(what)
        result = each.commit(commit())
        assert result == Refused(result=AppendResult.FAILED, error="[Errno 5] injected")
        disk.before = lambda what, name: None
        again = each.commit(commit())
        assert isinstance(again, Committed)
        assert (again.base, again.header.first_sequence) == (2, 2)


def test_an_error_that_is_not_the_disk_s_refuses_the_batch_and_begins_a_new_segment() -> None:
    def before(what: str, name: str) -> None:
        if what == what_breaks:
            raise RuntimeError("a bug")

    for what_breaks in ("create", "write", "sync"):
        disk = ModelDisk()
        each = log(disk)
        each.commit(commit())
        disk.before = before
        result = each.commit(commit() if what_breaks != "create" else commit(20_000))
        assert result == Refused(result=AppendResult.FAILED, error="RuntimeError: a bug")
        assert isinstance(result.bug, RuntimeError)
        assert isinstance(each.keep(POSITIONS), RuntimeError | None)
        disk.before = lambda what, name: None
        again = each.commit(commit())
        assert isinstance(again, Committed)
        assert again.header.first_sequence == 2


def test_no_space_for_a_segment_is_full_and_leaves_nothing_behind() -> None:
    disk = ModelDisk()
    each = log(disk)
    disk.before = fail("allocate", errno.ENOSPC)
    result = each.commit(commit())
    assert isinstance(result, Refused)
    assert result.result is AppendResult.FULL
    assert segment_name(1) not in disk.names()


def test_a_table_of_queues_that_cannot_be_written_refuses_the_batch() -> None:
    disk = ModelDisk()
    each = log(disk)
    disk.before = fail("rename")
    assert isinstance(each.commit(commit(queues=b"table")), Refused)
    disk.before = lambda what, name: None
    assert isinstance(each.commit(commit(queues=b"table")), Committed)
    assert disk.open("queues").read_at(0, 9) == b"table"


def test_freeing_writes_the_checkpoint_first() -> None:
    disk = ModelDisk()
    each = log(disk)
    each.commit(commit())
    disk.before = fail("sync")
    assert each.free(POSITIONS, [segment_name(1)], []) is not None
    assert segment_name(1) in disk.names()
    disk.before = lambda what, name: None
    assert each.free(POSITIONS, [segment_name(1)], []) is None
    assert segment_name(1) not in disk.names()
    assert each.free(POSITIONS, [segment_name(1)], []) is None


def test_a_segment_in_the_middle_becomes_an_empty_range() -> None:
    disk = ModelDisk()
    each = log(disk)
    for _ in range(6):
        each.commit(commit(1000))
    assert each.free(POSITIONS, [], [Retired(base=1, end=4)]) is None
    assert freed_name(1, 4) in disk.names_durable
    assert disk.open(freed_name(1, 4)).size() == 0


def test_a_name_that_is_not_on_the_disk_keeps_the_contents() -> None:
    disk = ModelDisk()
    each = log(disk)
    for _ in range(6):
        each.commit(commit(1000))
    disk.before = fail("sync_names")
    assert each.free(POSITIONS, [], [Retired(base=1, end=4)]) is not None
    assert disk.names_seen[freed_name(1, 4)].seen


def test_closing_seals_and_writes_positions() -> None:
    disk = ModelDisk()
    each = log(disk)
    each.commit(commit())
    assert each.close(Positions(first_sequence=1, next_sequence=2)) is None
    file = disk.open(segment_name(1))
    assert read_index(file, file.size()) is not None


def test_sealing_reports_an_error_and_goes_on() -> None:
    disk = ModelDisk()
    file = disk.create("s")
    disk.before = fail("truncate")
    assert seal(file, Index(1, 0)) is not None


def test_an_empty_file_is_left_alone() -> None:
    disk = ModelDisk()
    disk.create("s")
    disk.before = fail("truncate")
    empty(disk, "s")


def test_the_verifier_reads_all_and_finds_damage() -> None:
    disk = ModelDisk()
    each = log(disk)
    for _ in range(6):
        last = each.commit(commit(1000))
    assert isinstance(last, Committed)
    segments = [(segment_name(1), 1, last.offset), (segment_name(4), 4, last.offset)]
    verifier = Verifier(disk, segments)
    while not verifier.done:
        assert verifier.step() is None
    disk.names_seen[segment_name(4)].seen[SEGMENT.size + 60] ^= 1
    verifier = Verifier(disk, segments)
    assert verifier.step() is None
    damage = verifier.step()
    assert damage is not None
    assert (damage.file, damage.offset) == (segment_name(4), SEGMENT.size)


def test_the_verifier_passes_over_what_is_given_back() -> None:
    disk = ModelDisk()
    each = log(disk)
    each.commit(commit())
    verifier = Verifier(disk, [("gone", 1, 99)])
    assert verifier.step() is None
    assert verifier.done
    large = Verifier(disk, [(segment_name(1), 1, disk.open(segment_name(1)).size())])
    disk.names_seen[segment_name(1)].seen.clear()
    disk.rename(segment_name(1), freed_name(1, 2))
    assert large.step() is None
    large.close()


def test_how_long_commits_took_is_measured_those_that_failed_too() -> None:
    disk = ModelDisk()
    written = log(disk)
    times = written.commit_times = Histogram()
    assert isinstance(written.commit(commit()), Committed)
    disk.before = fail("sync")
    assert isinstance(written.commit(commit()), Refused)
    assert sum(times.counts) == 2
    assert 0 < times.sum < 60
