import sqlite3
from pathlib import Path

import pytest

from edgewire.message import Envelope, Message, identity, module_input
from standin import inputs
from standin.inputs import Delivery, Inputs
from standin.journal import Statement

TARGET = identity("edge", "m2")
INPUT = module_input("m2", "in1")


def message(body: bytes) -> Message:
    return Message(Envelope(sender=identity("edge", "m1"), properties={"p": "v"}, system={"contentType": "x"}), body)


def write(path: Path, *statements: Statement) -> None:
    connection = sqlite3.connect(path)
    for sql, values in statements:
        connection.execute(sql, values)
    connection.commit()
    connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def queued(queue: Inputs, path: Path, *bodies: bytes) -> list[Delivery]:
    deliveries = []
    for body in bodies:
        numbered = queue.number("edge", INPUT, message(body))
        assert numbered is not None
        write(path, numbered[1])
        queue.committed(numbered[0])
        deliveries.append(numbered[0])
    return deliveries


def test_messages_are_taken_in_order_and_forgotten_once_settled(path: Path) -> None:
    queue = Inputs(path)
    first, second = queued(queue, path, b"1", b"2")
    assert queue.take(TARGET) == first
    assert queue.take(TARGET) == second
    assert queue.take(TARGET) is None
    write(path, queue.settle(first), queue.settle(second))
    assert queue.waiting(TARGET) == 0
    assert Inputs(path).waiting(TARGET) == 0


def test_what_a_lost_connection_had_taken_comes_again_in_its_order(path: Path) -> None:
    queue = Inputs(path)
    deliveries = queued(queue, path, b"1", b"2", b"3")
    queue.take(TARGET)
    queue.take(TARGET)
    queue.release(TARGET)
    assert [queue.take(TARGET) for _ in range(3)] == deliveries


def test_what_could_not_be_sent_is_the_next_again(path: Path) -> None:
    queue = Inputs(path)
    first, _ = queued(queue, path, b"1", b"2")
    taken = queue.take(TARGET)
    assert taken == first
    queue.put_back(first)
    assert queue.take(TARGET) == first


def test_unsettled_messages_survive_a_restart(path: Path) -> None:
    queue = Inputs(path)
    first, second = queued(queue, path, b"1", b"2")
    queue.take(TARGET)
    write(path, queue.settle(first))
    again = Inputs(path)
    assert again.take(TARGET) == second
    numbered = again.number("edge", INPUT, message(b"3"))
    assert numbered is not None
    assert numbered[0].number == 3


def test_a_full_queue_takes_no_more_until_one_is_settled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_WAITING", 1)
    queue = Inputs(path)
    (first,) = queued(queue, path, b"1")
    assert queue.number("edge", INPUT, message(b"2")) is None
    queue.take(TARGET)
    queue.settle(first)
    assert queue.number("edge", INPUT, message(b"2")) is not None


def test_the_bytes_of_a_queue_are_bounded_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_WAITING_BYTES", 5)
    queue = Inputs(path)
    queued(queue, path, b"123")
    assert queue.number("edge", INPUT, message(b"456")) is None


def test_an_abandoned_message_leaves_its_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_WAITING", 1)
    queue = Inputs(path)
    numbered = queue.number("edge", INPUT, message(b"1"))
    assert numbered is not None
    queue.abandoned(numbered[0])
    assert queue.number("edge", INPUT, message(b"2")) is not None


def test_what_waited_for_a_removed_module_is_gone(path: Path) -> None:
    queue = Inputs(path)
    queued(queue, path, b"1", b"2")
    write(path, queue.drop(TARGET))
    assert queue.take(TARGET) is None
    assert Inputs(path).waiting(TARGET) == 0
