from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.firmware import book as room
from gateway.firmware.boards import Board, BoardState
from gateway.firmware.book import Book, read_book, text_of, write_book
from gateway.firmware.rollout import Amount, Happening, Order, Rollout, Stage, Terms
from gateway.observe.events import Event
from gateway.observe.firmware import RolloutsSetAside

BOARD = Board(model="m", version="1.0", serial=1, state=BoardState.RUNNING)


def full() -> Book:
    book = Book()
    terms = Terms(canary=Amount(5, False), max_failures=Amount(7, True), at_once=9, silent_s=60.0)
    rollout = Rollout(model="m", version="2.0", serial=2, terms=terms)
    for device in ("m-1", "m-2"):
        book.note(device, BOARD)
        rollout.admit(device, BOARD)
    rollout.happen("m-1", Happening.ASKED, 0)
    rollout.obey(Order.PAUSE)
    book.rollouts["m"] = rollout
    book.pins["m-3"] = "1.0"
    book.released["m"] = "1.0"
    return book


def test_a_book_is_read_as_it_was_written(tmp_path: Path) -> None:
    book, events = full(), list[Event]()
    write_book(tmp_path, text_of(book))
    again = read_book(tmp_path, events.append)
    assert again == book
    assert again.rollouts["m"].stage is Stage.PAUSED
    assert events == []


def test_the_file_is_version_1() -> None:
    assert orjson.loads(text_of(full())) == {
        "version": 1,
        "boards": {
            device: {"model": "m", "version": "1.0", "serial": 1, "state": "running", "failed": None, "reason": None}
            for device in ("m-1", "m-2")
        },
        "pins": {"m-3": "1.0"},
        "released": {"m": "1.0"},
        "rollouts": {
            "m": {
                "model": "m",
                "version": "2.0",
                "serial": 2,
                "canary": "5",
                "maxFailures": "7%",
                "atOnce": 9,
                "silentSecs": 60.0,
                "stage": "paused",
                "held": "canary",
                "forgiven": 0,
                "complete": False,
                "boards": {"m-1": "asked", "m-2": "waiting"},
            }
        },
    }


def test_no_file_is_an_empty_book(tmp_path: Path) -> None:
    assert read_book(tmp_path, lambda event: pytest.fail(str(event))) == Book()


def changed(*path: str, value: Any) -> bytes:
    document = orjson.loads(text_of(full()))
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return orjson.dumps(document)


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"{}",
    changed("version", value=2),
    changed("boards", value=[]),
    changed("pins", "m-3", value="../x"),
    changed("released", "m", value=1),
    changed("rollouts", "m", "stage", value="flying"),
    changed("rollouts", "m", "canary", value="lots"),
    changed("rollouts", "m", "version", value="/etc"),
    changed("rollouts", "m", "boards", value={"m-1": "lost"}),
]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_set_aside_and_nothing_is_rolled_out(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "rollout.json").write_bytes(text)
    events: list[Event] = []
    assert read_book(tmp_path, events.append) == Book()
    assert (tmp_path / "rollout.json.damaged").read_bytes() == text
    assert [type(event) for event in events] == [RolloutsSetAside]


def test_the_board_unheard_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_BOARDS", 2)
    book = full()
    book.note("m-1", BOARD)
    book.note("m-9", BOARD)
    assert list(book.boards) == ["m-1", "m-9"]
    assert list(book.rollouts["m"].boards) == ["m-1"]


def test_what_is_needed_stays() -> None:
    book = full()
    assert "has not been aborted" in book.needs("m", "2.0")
    assert "new boards get it" in book.needs("m", "1.0")
    assert book.needs("m", "0.9") == ""
    assert book.needs("other", "2.0") == ""
    book.rollouts["m"].obey(Order.ABORT)
    assert book.needs("m", "2.0") == ""
    book.pins["m-1"] = "0.9"
    assert "'m-1' is pinned" in book.needs("m", "0.9")
