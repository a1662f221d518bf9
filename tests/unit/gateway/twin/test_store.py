import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.iothub.twins import Patches
from edgewire.message import identity
from gateway.observe.events import Event
from gateway.observe.twin import TwinDamaged
from gateway.twin import file as files
from gateway.twin import store as module
from gateway.twin.mirror import Mirror, TwinDocument
from gateway.twin.opening import open_store
from gateway.twin.store import TwinStore, TwinStoreError

D1, D2, D3 = (identity(f"d{number}") for number in (1, 2, 3))


def known(text: str = "x") -> Mirror:
    return Mirror(TwinDocument(desired={"d": text}, desired_version=1, reported={}, reported_version=1))


WAITING = Mirror(None, Patches({}, {"r": 1}))


class Shop:
    """A store that can be closed and opened again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self.store: TwinStore

    async def open(self) -> TwinStore:
        self.store = await open_store(self.path, None, self.events.append)
        self.events.clear()
        return self.store

    async def again(self) -> TwinStore:
        await self.store.close()
        return await self.open()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(tmp_path / "twins.db")
    await shop.open()
    yield shop
    await shop.store.close()


async def test_a_mirror_is_there_after_a_restart(shop: Shop) -> None:
    await shop.store.save(D1, known())
    await shop.store.save(D2, WAITING)
    store = await shop.again()
    assert await store.load(D1) == known()
    assert await store.load(D2) == WAITING
    assert await store.load(D3) == Mirror()
    assert list(store.waiting()) == [D2]
    assert list(store.identities()) == [D1, D2]
    assert len(store) == 2


async def test_what_is_deleted_is_gone(shop: Shop) -> None:
    await shop.store.save(D1, WAITING)
    await shop.store.delete(D1)
    await shop.store.delete(D2)
    assert await shop.store.load(D1) == Mirror()
    assert not shop.store.waiting()
    assert not (await shop.again()).identities()


async def test_those_that_come_together_share_commits(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    write = files.write_rows

    def counted(database: sqlite3.Connection, changes: files.Changes) -> None:
        commits.append(len(changes))
        write(database, changes)

    monkeypatch.setattr(files, "write_rows", counted)
    await asyncio.gather(*(shop.store.save(identity(f"d{number}"), known()) for number in range(50)))
    assert commits == [1, 49]
    assert len(await shop.again()) == 50


async def test_beyond_the_limit_the_one_unchanged_for_longest_goes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TWINS", 2)
    await shop.store.save(D1, known())
    await shop.store.save(D2, known())
    await shop.store.save(D1, known("changed"))
    await shop.store.save(D3, known())
    assert set(shop.store.identities()) == {D1, D3}
    assert set((await shop.again()).identities()) == {D1, D3}


async def test_reports_that_wait_never_go_and_others_find_no_room(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TWINS", 2)
    await shop.store.save(D1, WAITING)
    await shop.store.save(D2, WAITING)
    with pytest.raises(TwinStoreError, match="no room"):
        await shop.store.save(D3, known())
    await shop.store.save(D2, known())
    await shop.store.save(D3, known())
    assert set((await shop.again()).identities()) == {D1, D3}


async def test_bytes_are_bounded_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TWINS_BYTES", 700)
    await shop.store.save(D1, known("x" * 200))
    await shop.store.save(D2, known("x" * 200))
    await shop.store.save(D3, known("x" * 300))
    assert list(shop.store.identities()) == [D3] or list(shop.store.identities()) == [D2, D3]
    with pytest.raises(TwinStoreError, match="no room"):
        await shop.store.save(D1, known("x" * 800))


async def test_a_mirror_for_which_there_is_no_room_pushes_none_out(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TWINS_BYTES", 700)
    await shop.store.save(D1, known())
    with pytest.raises(TwinStoreError):
        await shop.store.save(D2, known("x" * 800))
    assert list(shop.store.identities()) == [D1]


async def test_a_disk_that_fails_is_said_to_each_and_what_was_there_stays(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.store.save(D1, known())

    def full(_database: sqlite3.Connection, _changes: files.Changes) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_rows", full)
        results = await asyncio.gather(
            shop.store.save(D1, WAITING), shop.store.save(D2, WAITING), shop.store.delete(D1), return_exceptions=True
        )
    assert [type(each) for each in results] == [TwinStoreError] * 3
    assert "disk is full" in str(results[0])
    assert list(shop.store.identities()) == [D1]
    assert not shop.store.waiting()
    assert await shop.store.load(D1) == known()
    await shop.store.save(D2, WAITING)
    assert await (await shop.again()).load(D2) == WAITING


async def test_a_mirror_that_cannot_be_read_is_dropped_and_said(shop: Shop) -> None:
    await shop.store.save(D1, WAITING)
    await shop.store.save(D2, known())
    await shop.store.close()
    file = files.open_file(shop.path)
    files.write_rows(file.database, {D1: files.Row(b"\x00{]", waiting=True)})
    file.database.close()
    store = await shop.open()
    assert await store.load(D1) == Mirror()
    [event] = shop.events
    assert isinstance(event, TwinDamaged)
    assert event.identity == "d1"
    assert await store.load(D2) == known()
    assert list(store.identities()) == [D2]


async def test_a_file_that_cannot_be_read_any_more_is_said(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.store.save(D1, known())

    def broken(*_: object) -> bytes:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(files, "read_row", broken)
    with pytest.raises(TwinStoreError, match="malformed"):
        await shop.store.load(D1)


async def test_closing_waits_for_what_is_being_written(shop: Shop) -> None:
    saving = [asyncio.ensure_future(shop.store.save(identity(f"d{number}"), WAITING)) for number in range(9)]
    await asyncio.sleep(0)
    await shop.again()
    await asyncio.gather(*saving)
    assert len(shop.store.waiting()) == 9
