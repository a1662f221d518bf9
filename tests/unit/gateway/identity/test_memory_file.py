import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.identity import memory_file
from gateway.identity.memory_file import MemoryFile

PATIENCE_S = 10.0


class Kept:
    """Words that are kept, and what was told of their file."""

    def __init__(self, path: Path) -> None:
        self.words: list[str] = []
        self.told: list[str] = []
        self.file = MemoryFile(path, "words", lambda: self.words, self.told.append)

    def understand(self, said: Any) -> None:
        self.words = [word.upper() for word in said]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "words.json"


async def written(kept: Kept) -> None:
    """What changed is on disk when whoever writes it has been told to stop."""
    kept.file.changed()
    running = asyncio.create_task(kept.file.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running], timeout=PATIENCE_S)


def mode_of(path: Path) -> int:
    """Who may read the file."""
    return stat.S_IMODE(path.stat().st_mode)


def kept_words(path: Path) -> Any:
    """What the file holds; None without one."""
    return json.loads(path.read_bytes())["words"] if path.exists() else None


async def test_what_changed_last_is_written_at_the_end_and_read_again(path: Path) -> None:
    kept = Kept(path)
    kept.words = ["one", "two"]
    await written(kept)
    assert kept_words(path) == ["one", "two"]
    assert mode_of(path) == 0o600
    again = Kept(path)
    again.file.read(again.understand)
    assert (again.words, again.told) == (["ONE", "TWO"], [])


async def test_without_a_change_nothing_is_written(path: Path) -> None:
    kept = Kept(path)
    running = asyncio.create_task(kept.file.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running], timeout=PATIENCE_S)
    assert kept_words(path) is None


async def test_a_change_is_written_while_it_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_file, "SAVE_EVERY_S", 0.0)
    kept = Kept(path)
    running = asyncio.create_task(kept.file.run())
    for words in (["one"], ["one", "two"]):
        kept.words = words
        kept.file.changed()
        async with asyncio.timeout(PATIENCE_S):
            while kept_words(path) != words:  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.wait([running], timeout=PATIENCE_S)


def test_no_file_is_no_problem(path: Path) -> None:
    kept = Kept(path)
    kept.file.read(kept.understand)
    assert (kept.words, kept.told) == ([], [])


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 2, "words": []}', '{"version": 1}', '{"version": 1, "words": [1]}']
)
def test_a_file_that_cannot_be_understood_is_told_and_begun_anew(path: Path, text: str) -> None:
    path.write_text(text)
    kept = Kept(path)
    kept.file.read(kept.understand)
    assert (kept.words, kept.told) == ([], ["it cannot be read and is begun anew"])


async def test_a_problem_is_told_once_until_another_comes(tmp_path: Path) -> None:
    kept = Kept(tmp_path)  # a folder stands where the file should be
    for _ in range(2):
        await written(kept)
    [told] = kept.told
    assert "cannot be written" in told
