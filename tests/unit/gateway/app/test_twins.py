import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from edgewire.message import Identity, identity
from edgewire.transport.backoff import Backoff
from gateway.app.twins import TwinRoom, WorkloadVault, is_gone, vault_of
from gateway.dispatch.twin_desk import TwinReply
from gateway.dispatch.twins import Twins
from gateway.identity.registry import Registry
from gateway.identity.roster import Registration, SymmetricKeys
from gateway.identity.workload import Workload
from gateway.observe.events import Event
from gateway.observe.twin import TwinPlace, TwinRead, TwinsNotEncrypted, TwinsNotOpened
from gateway.twin.opening import VaultError
from support.gateway_site import until
from support.twin_cloud import FakeTwinCloud

D1 = identity("d1")
D2 = identity("d2")
M1 = identity("d1", "m1")
KEYS = SymmetricKeys(b"1" * 32, b"2" * 32)
EDGE = {
    "IOTEDGE_WORKLOADURI": "unix:///nowhere/workload.sock",
    "IOTEDGE_APIVERSION": "2020-07-07",
    "IOTEDGE_MODULEID": "gateway",
    "IOTEDGE_MODULEGENERATIONID": "1",
}


class FakeVault:
    """A vault that is away for so many calls."""

    def __init__(self, away: int) -> None:
        self.away = away

    async def encrypt(self, plaintext: bytes, vector: bytes) -> bytes:
        if self.away:
            self.away -= 1
            raise VaultError("the socket does not exist")
        return plaintext + vector

    async def decrypt(self, ciphertext: bytes, _vector: bytes) -> bytes:
        return ciphertext[:32]


class House:
    """A room, its twins and its cloud."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.gone: set[Identity] = set()
        self.running: asyncio.Task[None] | None = None

    def open(self, vault: FakeVault | None = None, *, strangers_come: bool = False) -> None:
        self.twins = Twins(self.events.append)
        self.cloud = FakeTwinCloud(self.twins)
        self.twins.use(self.cloud)
        self.room = TwinRoom(
            self.twins,
            self.folder,
            vault,
            emit=self.events.append,
            is_gone=lambda who: who in self.gone,
            strangers_come=strangers_come,
            backoff=Backoff(first_s=0.001, cap_s=0.001),
        )
        self.running = asyncio.create_task(self.room.run())

    async def close(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)

    async def status(self, who: Identity) -> int:
        return (await asked(lambda answer: self.twins.get(who, answer))).status

    async def report(self, who: Identity) -> int:
        return (await asked(lambda answer: self.twins.report(who, b'{"a":1}', answer))).status


async def asked(ask: Callable[[Callable[[TwinReply], None]], None]) -> TwinReply:
    answered: asyncio.Future[TwinReply] = asyncio.get_running_loop().create_future()
    ask(answered.set_result)
    async with asyncio.timeout(30):
        return await answered


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    yield house
    await house.close()


async def test_twins_are_served_once_the_vault_is_there(house: House) -> None:
    house.open(FakeVault(away=2))
    assert await house.status(D1) == 503
    await until(lambda: house.twins._store is not None)
    assert await house.status(D1) == 200
    assert [type(event) for event in house.events] == [TwinsNotOpened, TwinsNotOpened, TwinRead]
    assert "the socket does not exist" in house.events[0].sentence()


async def test_without_a_vault_twins_are_served_and_this_is_said(house: House) -> None:
    house.open()
    await until(lambda: house.twins._store is not None)
    assert await house.status(D1) == 200
    assert house.events == [TwinsNotEncrypted(str(house.folder / "twins.db")), TwinRead("d1", TwinPlace.CLOUD)]


@pytest.mark.parametrize("strangers_come", [False, True])
async def test_a_device_removed_while_the_gateway_was_stopped_leaves_nothing(
    house: House, *, strangers_come: bool
) -> None:
    house.open()
    await until(lambda: house.twins._store is not None)
    house.cloud.go_away()
    assert await house.report(D1) == await house.report(D2) == 204
    await house.close()
    house.gone = {D1}
    house.open(strangers_come=strangers_come)
    house.cloud.go_away()
    await until(lambda: house.twins._store is not None)
    await house.status(D1)
    assert set(house.twins.wanted()) == ({D1, D2} if strangers_come else {D2})


async def test_of_those_that_changed_the_removed_are_forgotten(house: House) -> None:
    house.open()
    await until(lambda: house.twins._store is not None)
    house.cloud.go_away()
    assert await house.report(D1) == await house.report(D2) == 204
    house.gone = {D1}
    house.room.forget({D1, D2})
    await house.status(D1)
    assert set(house.twins.wanted()) == {D2}


@pytest.mark.parametrize(("who", "gone"), [(D1, False), (M1, False), (D2, True), (identity("d2", "m1"), True)], ids=str)
def test_a_device_is_gone_that_neither_itself_nor_for_its_module_is_registered(
    tmp_path: Path, who: Identity, *, gone: bool
) -> None:
    registry = Registry(tmp_path / "devices.json")
    assert not is_gone(who, registry), "an empty registry says nothing"
    registry.edit(lambda roster: roster.with_registration(Registration(D1, KEYS)))
    assert is_gone(who, registry) is gone


@pytest.mark.parametrize("environ", [{}, {**EDGE, "IOTEDGE_MODULEID": ""}])
def test_without_a_workload_api_there_is_no_vault(environ: dict[str, str]) -> None:
    assert vault_of(environ) is None


async def test_a_workload_api_that_is_away_is_a_vault_that_says_so() -> None:
    vault = vault_of(EDGE)
    assert isinstance(vault, WorkloadVault)
    for call in (vault.encrypt, vault.decrypt):
        with pytest.raises(VaultError, match="does not exist"):
            await call(b"x", b"y")


async def test_a_vault_passes_on_what_the_workload_api_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async def turned(_self: Workload, data: bytes, vector: bytes) -> bytes:
        return data[::-1] + vector

    monkeypatch.setattr(Workload, "encrypt", turned)
    monkeypatch.setattr(Workload, "decrypt", turned)
    vault = vault_of(EDGE)
    assert vault is not None
    assert await vault.encrypt(b"ab", b"v") == await vault.decrypt(b"ab", b"v") == b"bav"
