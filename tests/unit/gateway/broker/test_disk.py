import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.broker.disk import BROKER_FILE, BrokerDisk, BrokerFileError, StoredSession
from gateway.broker.messages import Extras, LocalMessage, Subscription
from gateway.observe.broker import BrokerFileSetAside, BrokerNotStored
from gateway.observe.events import Event

FULL = LocalMessage(
    topic="a/b",
    payload=b"\x00\xff",
    qos=1,
    retain=True,
    extras=Extras(
        payload_format=1,
        content_type="text/plain",
        response_topic="r",
        correlation_data=b"\x01",
        user_properties=(("n", "v"), ("n", "w")),
    ),
    expires_at=17.5,
)
SESSION = StoredSession({"a/#": Subscription(qos=1, no_local=True, identifier=3)}, 99.0)


def ignore(_event: Event) -> None:
    pass


async def test_what_was_saved_is_found_again(tmp_path: Path) -> None:
    disk = BrokerDisk(tmp_path / BROKER_FILE, ignore)
    saved = asyncio.Event()
    disk.save_session(("u", "c"), SESSION, None)
    disk.save_session(("u", "gone"), SESSION, None)
    disk.save_session(("u", "gone"), None, None)
    disk.save_retained("a/b", FULL, None)
    disk.save_retained("x", FULL, None)
    disk.save_retained("x", None, saved.set)
    await asyncio.wait_for(saved.wait(), 10)
    waits = LocalMessage(topic="w", payload=b"w", qos=1)
    disk.close([(("u", "c"), waits)])
    found = BrokerDisk(tmp_path / BROKER_FILE, ignore)
    assert found.found.sessions == {("u", "c"): SESSION}
    assert found.found.retained == [FULL]
    assert found.found.queued == [(("u", "c"), waits)]
    found.close([])
    again = BrokerDisk(tmp_path / BROKER_FILE, ignore)
    assert again.found.queued == [], "they are in memory, and are given once"
    again.close([])
    assert (tmp_path / BROKER_FILE).stat().st_mode & 0o777 == 0o600


async def test_what_nobody_waits_for_is_collected_and_goes_with_what_somebody_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = BrokerDisk(tmp_path / BROKER_FILE, ignore)
    disk.save_retained("a", replace(FULL, topic="a"), None)
    disk.save_retained("a", None, None)
    disk.save_retained("b", replace(FULL, topic="b"), None)
    assert disk._commit is None
    saved = asyncio.Event()
    disk.save_retained("c", replace(FULL, topic="c"), saved.set)
    assert disk._collecting is None
    await asyncio.wait_for(saved.wait(), 10)
    assert disk._changed == {}
    monkeypatch.setattr("gateway.broker.disk.COLLECT_S", 0.001)
    disk.save_retained("b", None, None)
    async with asyncio.timeout(10):
        while disk._changed or disk._commit is not None:  # noqa: ASYNC110 — nobody is told
            await asyncio.sleep(0.001)
    disk.save_retained("c", None, None)
    disk.close([])
    again = BrokerDisk(tmp_path / BROKER_FILE, ignore)
    assert again.found.retained == []
    again.close([])


@pytest.mark.parametrize("damage", ["no database", "a column"])
async def test_a_file_that_cannot_be_understood_is_set_aside(tmp_path: Path, damage: str) -> None:
    path = tmp_path / BROKER_FILE
    if damage == "no database":
        path.write_bytes(b"this is no database at all, and long enough to be taken for none" * 20)
    else:
        BrokerDisk(path, ignore).close([])
        database = sqlite3.connect(path)
        database.execute("INSERT INTO session VALUES ('u', 'c', '[1]', NULL)")
        database.commit()
        database.close()
    events: list[Event] = []
    disk = BrokerDisk(path, events.append)
    assert (disk.found.sessions, disk.found.retained) == ({}, [])
    assert isinstance(events[0], BrokerFileSetAside)
    disk.close([])


async def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(BrokerFileError, match="cannot be used"):
        BrokerDisk(tmp_path / "nowhere" / BROKER_FILE, ignore)


async def test_who_waits_is_answered_also_when_the_disk_fails_and_it_is_written_later(tmp_path: Path) -> None:
    events: list[Event] = []
    disk = BrokerDisk(tmp_path / BROKER_FILE, events.append)
    disk._database.execute("PRAGMA query_only = ON")
    answered = asyncio.Event()
    disk.save_retained("a/b", FULL, answered.set)
    await asyncio.wait_for(answered.wait(), 10)
    assert [type(event) for event in events] == [BrokerNotStored]
    disk._database.execute("PRAGMA query_only = OFF")
    disk.close([])
    again = BrokerDisk(tmp_path / BROKER_FILE, ignore)
    assert again.found.retained == [FULL]
    again.close([])


async def test_what_was_never_written_leaves_nothing_to_delete(tmp_path: Path) -> None:
    """Topics of 64 KB, retained and given up again, would wait for the disk by the thousand."""
    disk = BrokerDisk(tmp_path / BROKER_FILE, ignore)
    for number in range(100):
        disk.save_retained(f"{number}", replace(FULL, topic=f"{number}"), None)
        disk.save_retained(f"{number}", None, None)
        disk.save_session(("u", f"{number}"), SESSION, None)
        disk.save_session(("u", f"{number}"), None, None)
    assert disk._changed == {}
    disk.close([])


async def test_what_is_given_up_while_it_is_written_is_deleted(tmp_path: Path) -> None:
    disk = BrokerDisk(tmp_path / BROKER_FILE, ignore)
    saved, gone = asyncio.Event(), asyncio.Event()
    disk.save_retained("a/b", FULL, saved.set)
    disk.save_retained("a/b", None, gone.set)
    await asyncio.wait_for(saved.wait(), 10)
    await asyncio.wait_for(gone.wait(), 10)
    disk.close([])
    again = BrokerDisk(tmp_path / BROKER_FILE, ignore)
    assert again.found.retained == []
    again.close([])
