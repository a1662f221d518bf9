import sqlite3
from pathlib import Path

import pytest

from edgewire.iothub.twins import Patches
from edgewire.message import identity
from gateway.observe.events import Event
from gateway.observe.twin import TwinDamaged, TwinsNotEncrypted, TwinsSetAside
from gateway.twin.mirror import Mirror, TwinDocument
from gateway.twin.opening import TwinsClosedError, VaultError, open_store

D1 = identity("d1")
MIRROR = Mirror(
    TwinDocument(desired={"password": "hunter2"}, desired_version=2, reported={}, reported_version=1),
    Patches({}, {"token": "hunter3"}),
)


class FakeVault:
    """A vault that turns bytes around, or fails as told."""

    def __init__(self) -> None:
        self.fails: str | None = None
        self.gives: bytes | None = None
        self.seen: list[tuple[bytes, bytes]] = []

    async def encrypt(self, plaintext: bytes, vector: bytes) -> bytes:
        if self.fails:
            raise VaultError(self.fails)
        self.seen.append((plaintext, vector))
        return b"wrapped" + plaintext[::-1]

    async def decrypt(self, ciphertext: bytes, vector: bytes) -> bytes:
        if self.fails:
            raise VaultError(self.fails)
        assert vector == self.seen[-1][1]
        return ciphertext[7:][::-1] if self.gives is None else self.gives


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "twins.db"


@pytest.fixture
def events() -> list[Event]:
    return []


async def fill(path: Path, vault: FakeVault | None) -> None:
    store = await open_store(path, vault, lambda _: None)
    await store.save(D1, MIRROR)
    await store.close()


def on_disk(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in path.parent.iterdir())


async def test_without_a_vault_twins_lie_as_they_are_and_this_is_said_once(path: Path, events: list[Event]) -> None:
    await fill(path, None)
    assert b"hunter2" in on_disk(path)
    store = await open_store(path, None, events.append)
    assert await store.load(D1) == MIRROR
    assert events == [TwinsNotEncrypted(str(path))]
    await store.close()


async def test_with_a_vault_nothing_can_be_read_on_disk(path: Path, events: list[Event]) -> None:
    vault = FakeVault()
    await fill(path, vault)
    [(key, vector)] = vault.seen
    assert (len(key), len(vector)) == (32, 16)
    disk = on_disk(path)
    assert not [secret for secret in (b"hunter2", b"hunter3", b"password", key) if secret in disk]
    store = await open_store(path, vault, events.append)
    assert await store.load(D1) == MIRROR
    assert events == []
    assert len(vault.seen) == 1, "the key is made once"
    await store.close()


async def test_what_lay_there_as_it_is_gets_encrypted_when_there_is_a_vault(path: Path, events: list[Event]) -> None:
    await fill(path, None)
    store = await open_store(path, FakeVault(), events.append)
    assert await store.load(D1) == MIRROR
    assert list(store.waiting()) == [D1]
    await store.close()
    assert b"hunter" not in on_disk(path)
    assert events == []


@pytest.mark.parametrize(
    ("vault", "says"),
    [
        (None, "IOTEDGE_WORKLOADURI"),
        ("the socket does not exist", "the socket does not exist"),
        (bytes(32), "another key"),
        (bytes(5), "did not unwrap"),
    ],
    ids=["no vault", "a vault that is away", "another key", "no key"],
)
async def test_a_key_that_cannot_be_had_leaves_the_file_as_it_is(
    path: Path, events: list[Event], vault: str | bytes | None, says: str
) -> None:
    good = FakeVault()
    await fill(path, good)
    before = on_disk(path)
    bad = None if vault is None else FakeVault()
    if bad is not None:
        bad.seen = good.seen
        bad.fails = vault if isinstance(vault, str) else None
        bad.gives = vault if isinstance(vault, bytes) else None
    with pytest.raises(TwinsClosedError, match=says) as refused:
        await open_store(path, bad, events.append)
    assert "move twins.db away" in str(refused.value)
    assert on_disk(path) == before
    assert events == []
    store = await open_store(path, good, events.append)
    assert await store.load(D1) == MIRROR
    await store.close()


async def test_a_vault_that_is_away_at_the_very_first_start_leaves_nothing_as_it_is(
    path: Path, events: list[Event]
) -> None:
    vault = FakeVault()
    vault.fails = "not there yet"
    with pytest.raises(TwinsClosedError, match="not there yet"):
        await open_store(path, vault, events.append)
    vault.fails = None
    await fill(path, vault)
    assert b"hunter" not in on_disk(path)


@pytest.fixture
def nonsense(path: Path) -> Path:
    path.write_bytes(b"no database at all" * 1000)
    return path


async def test_a_file_that_cannot_be_understood_is_set_aside(nonsense: Path, events: list[Event]) -> None:
    path = nonsense
    store = await open_store(path, FakeVault(), events.append)
    [event] = events
    assert isinstance(event, TwinsSetAside)
    assert event.path == f"{path}.damaged"
    assert b"no database at all" in on_disk(path)
    assert "reports that waited for the cloud are lost" in event.sentence()
    await store.save(D1, MIRROR)
    await store.close()


async def test_a_file_that_lost_its_key_stays_as_it_is(path: Path, events: list[Event]) -> None:
    await fill(path, FakeVault())
    database = sqlite3.connect(path)
    database.execute("DELETE FROM sealing")
    database.commit()
    database.close()
    with pytest.raises(TwinsClosedError, match="its key is not there"):
        await open_store(path, FakeVault(), events.append)
    store = await open_store(path, None, lambda _: None)
    assert list(store.waiting()) == [D1]
    await store.close()


async def test_a_folder_that_cannot_be_written_is_said_with_what_to_do(tmp_path: Path, events: list[Event]) -> None:
    with pytest.raises(TwinsClosedError, match="may write it"):
        await open_store(tmp_path / "missing" / "twins.db", None, events.append)


async def test_a_row_of_another_identity_is_not_taken_for_ones_own(path: Path, events: list[Event]) -> None:
    vault = FakeVault()
    await fill(path, vault)
    database = sqlite3.connect(path)
    database.execute("UPDATE twin SET device = 'd2'")
    database.commit()
    database.close()
    store = await open_store(path, vault, events.append)
    assert await store.load(identity("d2")) == Mirror()
    assert [type(event) for event in events] == [TwinDamaged]
    await store.close()
