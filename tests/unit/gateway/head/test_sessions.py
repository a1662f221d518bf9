import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewire.message import identity
from gateway.head import sessions
from gateway.head.sessions import SessionsError, SessionStore
from gateway.observe.events import Event
from gateway.observe.head import SessionsNotStored, SessionsSetAside

DEVICE = identity("d1")
C2D = "devices/d1/messages/devicebound/#"
PATIENCE_S = 45.0
"""With a disk that others use, too."""


async def saved(store: SessionStore, who: str, subscriptions: dict[str, int], expires_at: float | None = None) -> None:
    done = asyncio.Event()
    store.save(identity(who), subscriptions, expires_at, done.set)
    async with asyncio.timeout(PATIENCE_S):
        await done.wait()


def no_event(event: Event) -> None:
    raise AssertionError(event)


async def test_a_session_survives_a_restart(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "sessions.db", no_event)
    await saved(store, "d1", {C2D: 1})
    store.close()
    again = SessionStore(tmp_path / "sessions.db", no_event)
    assert again.find(DEVICE, now=0) == {C2D: 1}
    again.close()


async def test_what_was_answered_is_on_disk_before_any_close(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "sessions.db", no_event)
    await saved(store, "d1", {C2D: 1})
    rows = sqlite3.connect(tmp_path / "sessions.db").execute("SELECT device, subscriptions FROM session").fetchall()
    assert rows == [("d1", f'{{"{C2D}": 1}}')]
    store.close()


async def test_a_forgotten_session_stays_forgotten_after_a_restart(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "sessions.db", no_event)
    await saved(store, "d1", {C2D: 1})
    done = asyncio.Event()
    store.forget(DEVICE, done.set)
    assert store.find(DEVICE, now=0) is None
    await done.wait()
    store.close()
    again = SessionStore(tmp_path / "sessions.db", no_event)
    assert again.find(DEVICE, now=0) is None
    again.close()


async def test_an_expired_session_is_not_found(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "sessions.db", no_event)
    await saved(store, "d1", {}, expires_at=100.0)
    assert store.find(DEVICE, now=99) == {}
    assert store.find(DEVICE, now=100) is None
    store.close()


async def test_changes_of_many_devices_are_all_written_and_all_answered(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "sessions.db", no_event)
    await asyncio.gather(*(saved(store, f"d{number}", {C2D: 1}) for number in range(200)))
    store.close()
    again = SessionStore(tmp_path / "sessions.db", no_event)
    assert len(again) == 200
    again.close()


async def test_the_session_unused_for_longest_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    store = SessionStore(tmp_path / "sessions.db", no_event)
    for who in ("d1", "d2", "d1", "d3"):
        await saved(store, who, {})
    assert store.find(identity("d2"), now=0) is None
    assert store.find(DEVICE, now=0) == {}
    store.close()


async def test_a_write_that_fails_is_told_answered_and_made_good_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    store = SessionStore(tmp_path / "sessions.db", events.append)
    write = sessions._write

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sessions, "_write", fail)
    await saved(store, "d1", {C2D: 1})
    assert events == [SessionsNotStored(1, "database or disk is full")]
    monkeypatch.setattr(sessions, "_write", write)
    await saved(store, "d2", {})
    store.close()
    again = SessionStore(tmp_path / "sessions.db", no_event)
    assert again.find(DEVICE, now=0) == {C2D: 1}
    again.close()


async def test_an_answer_that_fails_takes_no_answer_from_the_others(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    faults: list[object] = []
    loop.set_exception_handler(lambda _loop, context: faults.append(context["exception"]))
    store = SessionStore(tmp_path / "sessions.db", no_event)
    fault = RuntimeError("a fault of ours")

    def fail() -> None:
        raise fault

    told = asyncio.Event()
    store.save(DEVICE, {}, None, told.set)
    store.save(DEVICE, {}, None, fail)
    await asyncio.wait_for(told.wait(), PATIENCE_S)
    await saved(store, "d2", {})
    store.close()
    assert faults == [fault]


def with_row(subscriptions: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with sqlite3.connect(path) as database:
            database.execute("UPDATE session SET subscriptions = ?", (subscriptions,))
        database.close()

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"no database" * 1000),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 8192),
        with_row("{"),
        with_row("[1]"),
        with_row('{"a": null}'),
    ],
)
async def test_a_file_that_cannot_be_understood_is_set_aside_and_a_new_one_begun(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    events: list[Event] = []
    path = tmp_path / "sessions.db"
    store = SessionStore(path, no_event)
    await saved(store, "d1", {C2D: 1})
    store.close()
    spoil(path)

    again = SessionStore(path, events.append)

    assert again.find(DEVICE, now=0) is None
    await saved(again, "d1", {C2D: 1})
    again.close()
    assert [type(event) for event in events] == [SessionsSetAside]
    assert str(tmp_path / "sessions.db.damaged") in events[0].sentence()
    assert (tmp_path / "sessions.db.damaged").exists()
    SessionStore(path, no_event).close()


async def test_a_place_where_no_file_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "sessions.db").mkdir()
    with pytest.raises(SessionsError, match=r"sessions\.db cannot be used"):
        SessionStore(tmp_path / "sessions.db", no_event)
