import asyncio
import sqlite3
from pathlib import Path

from standin.journal import Journal, Statement

SCHEMA = ("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY)",)


def insert(value: int) -> Statement:
    return "INSERT INTO t VALUES (?)", (value,)


def rows(path: Path) -> list[int]:
    connection = sqlite3.connect(path)
    found = [value for (value,) in connection.execute("SELECT a FROM t ORDER BY rowid")]
    connection.close()
    return found


async def test_done_is_called_in_order_after_the_commit(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    journal = Journal(path, SCHEMA)
    told: list[tuple[int, bool, bool]] = []
    all_told = asyncio.Event()

    def done(value: int, *, kept: bool) -> None:
        told.append((value, kept, value in rows(path)))
        if value == 20:
            all_told.set()

    for value in range(1, 21):
        journal.write([insert(value)], lambda kept, value=value: done(value, kept=kept))  # type: ignore[misc]  # mypy cannot infer the default's type
    async with asyncio.timeout(30):
        await all_told.wait()
    journal.close()
    assert told == [(value, True, True) for value in range(1, 21)]


async def test_what_cannot_be_written_is_told_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    journal = Journal(path, SCHEMA)
    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    journal.write([insert(1), insert(1)], answer.set_result)
    async with asyncio.timeout(30):
        assert await answer is False
    later: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    journal.write([insert(2)], later.set_result)
    async with asyncio.timeout(30):
        assert await later is True
    journal.close()
    assert rows(path) == [2]


async def test_closing_commits_what_was_handed_over(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    journal = Journal(path, SCHEMA)
    for value in range(1, 1200):
        journal.write([insert(value)], lambda _: None)
    journal.close()
    assert len(rows(path)) == 1199
