"""The notes by which repeats are known after a restart."""

from pathlib import Path

import pytest

from gateway.head.foreign_notes import HEADER, SIZE, SLOT, SLOTS, Notes, digest_of

PEER = "gateway at broker:1883"
A, B = digest_of("t", b"a"), digest_of("t", b"b")

GOLDEN_HEADER = "4547424e 0100 1800 00100000 01000000".replace(" ", "")
"""Magic, version 1, slots of 24 bytes, 4096 of them, opened once."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker-notes"


def test_topic_and_payload_make_the_digest() -> None:
    assert len({digest_of("a", b"bc"), digest_of("ab", b"c"), digest_of("a", b"bc ")}) == 3


def test_a_repeat_has_the_id_of_what_it_repeats(path: Path) -> None:
    notes = Notes(path, PEER)
    first = notes.id_of(7, A, dup=False)
    assert notes.id_of(7, A, dup=True) == first
    assert notes.id_of(7, B, dup=True) != first
    notes.close()


def test_the_same_under_the_same_packet_id_is_new_without_dup(path: Path) -> None:
    """Some brokers use the lowest free packet id, so 1 each time."""
    notes = Notes(path, PEER)
    assert len({notes.id_of(1, A, dup=False) for _ in range(5)}) == 5
    notes.close()


def test_after_a_restart_a_repeat_is_known_and_no_id_comes_twice(path: Path) -> None:
    notes = Notes(path, PEER)
    first = notes.id_of(7, A, dup=False)
    notes.write()
    notes.close()  # what is written is the system's: a kill changes nothing of it
    notes = Notes(path, PEER)
    assert notes.id_of(7, A, dup=True) == first
    assert notes.id_of(8, A, dup=False) != first
    notes.close()


def test_what_was_not_written_is_not_known(path: Path) -> None:
    notes = Notes(path, PEER)
    first = notes.id_of(7, A, dup=False)
    notes.close()
    notes = Notes(path, PEER)
    assert notes.id_of(7, A, dup=True) != first
    notes.close()


def test_a_new_session_and_another_broker_know_nothing(path: Path) -> None:
    notes = Notes(path, PEER)
    first = notes.id_of(7, A, dup=False)
    notes.forget()
    assert notes.id_of(7, A, dup=True) != first
    second = notes.id_of(8, A, dup=False)
    notes.write()
    notes.close()
    notes = Notes(path, "gateway at another:1883")
    assert notes.id_of(8, A, dup=True) != second
    notes.close()


def test_packet_ids_that_share_a_slot_are_told_apart(path: Path) -> None:
    notes = Notes(path, PEER)
    first = notes.id_of(7, A, dup=False)
    assert notes.id_of(7 + SLOTS, A, dup=True) != first
    notes.close()


def test_the_bytes_are_version_1(path: Path) -> None:
    notes = Notes(path, PEER)
    message_id = notes.id_of(7, A, dup=False)
    notes.write()
    notes.close()
    raw = path.read_bytes()
    assert len(raw) == SIZE == 64 + 4096 * 24
    assert raw[:16].hex() == GOLDEN_HEADER
    at = HEADER.size + 7 * SLOT.size
    number = 1 << 40 | 1
    assert raw[at : at + SLOT.size] == number.to_bytes(8, "little") + A + b"\x07\x00" + bytes(6)
    assert message_id == f"{raw[16:24].hex()}-{number:x}"


@pytest.mark.parametrize("damage", [b"", b"EGBN", b"\0" * SIZE, b"x" * (SIZE + 1)])
def test_a_file_that_is_none_of_ours_begins_anew(path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    notes = Notes(path, PEER)
    first = notes.id_of(7, A, dup=False)
    notes.write()
    notes.close()
    assert path.stat().st_size == SIZE
    notes = Notes(path, PEER)
    assert notes.id_of(7, A, dup=True) == first
    notes.close()


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        Notes(tmp_path, PEER)
    assert tmp_path.resolve() not in [each.resolve() for each in Path("/proc/self/fd").iterdir()]
