import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import identity
from gateway.dispatch.methods import Methods
from gateway.firmware import director as room
from gateway.firmware import files
from gateway.firmware.director import Director, RolloutError
from gateway.firmware.files import FilesError
from gateway.firmware.release import ReleaseKey
from gateway.firmware.rollout import Amount, Order, Terms
from gateway.firmware.store import FirmwareStore
from gateway.observe.events import Event
from gateway.observe.firmware import (
    BoardFailure,
    BoardNotUpdated,
    BoardUpdated,
    RolloutsNotKept,
    RolloutStopped,
    RolloutTurn,
    RolloutTurned,
)
from support.bundles import another_key, make_bundle, write_public_key

ALL = Terms(canary=Amount(100, True))
PATIENCE_S = 45.0


class Board:
    """Takes calls, and answers `update` as it is told to."""

    def __init__(self, house: "House", device: str, answer: tuple[int, Any] = (200, {"accepted": True})) -> None:
        self.house = house
        self.who = identity(device)
        self.answer = answer
        self.calls: list[Any] = []

    def call(self, rid: str, name: str, payload: bytes) -> bool:
        assert name == "update"
        self.calls.append(json.loads(payload))
        status, said = self.answer
        self.house.methods.answered(self.who, rid, status, json.dumps(said).encode())
        return True

    def come(self) -> None:
        self.house.methods.subscribe(self.who, self)

    def go(self) -> None:
        self.house.methods.unsubscribe(self.who, self)

    def report(
        self, version: str = "1.0.0", serial: int = 1, state: str = "running", failed: str | None = None
    ) -> None:
        said = {"version": version, "serial": serial, "state": state, "failed": failed}
        self.house.director.heard(self.who, {"firmware": said})


class House:
    def __init__(self, folder: Path) -> None:
        self.events: list[Event] = []
        self.methods = Methods(self.events.append)
        self.store = FirmwareStore(folder)
        self.now = 0.0
        self.key: ReleaseKey | None = None
        self.boards: dict[str, Board] = {}
        self.director = self.another()

    def another(self) -> Director:
        return Director(
            self.store,
            self.methods,
            emit=self.events.append,
            clock=lambda: self.now,
            release_key=lambda: self.key,
        )

    def board(self, number: int, **more: Any) -> Board:
        board = self.boards[f"nodemcu-{number}"] = Board(self, f"nodemcu-{number}", **more)
        board.come()
        board.report()
        return board

    def happened(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def turns(self) -> list[RolloutTurn]:
        return [event.turn for event in self.events if isinstance(event, RolloutTurned)]

    def progress(self) -> dict[str, int]:
        [rollout] = self.director.status()["rollouts"]
        return {name: count for name, count in rollout["boards"].items() if count}


async def settle() -> None:
    """Let all that is ready happen on the loop; what the disk's thread does has to be waited for."""
    for _ in range(20):
        await asyncio.sleep(0.001)


async def until(holds: Callable[[], object]) -> None:
    """Return when it holds, by the disk's thread."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - a thread tells nobody
            await asyncio.sleep(0.001)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    house.store.add(make_bundle("1.1.0", 2))
    running = asyncio.ensure_future(house.director.run())
    await settle()
    try:
        yield house
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_boards_are_asked_and_what_they_report_is_counted(house: House) -> None:
    one, two = house.board(1), house.board(2)
    await house.director.start("1.1.0", None, ALL)
    await settle()
    assert one.calls == two.calls == [{"version": "1.1.0", "manifest": "/firmware/v1/manifests/nodemcu/1.1.0"}]
    assert house.progress() == {"updating": 2}
    one.report("1.1.0", 2)
    await settle()
    assert BoardUpdated("nodemcu-1", "1.1.0") in house.events
    two.report("1.1.0", 2, "trial")
    two.report("1.1.0", 2)
    await settle()
    assert house.turns() == [RolloutTurn.STARTED, RolloutTurn.SPREAD, RolloutTurn.COMPLETED]
    assert house.director.status()["released"] == {"nodemcu": "1.1.0"}
    assert house.director.status()["boards"] == {"nodemcu": {"1.1.0": 2}}


async def test_who_comes_later_is_asked_once_it_has_said_what_it_runs(house: House) -> None:
    await house.director.start("1.1.0", None, ALL)
    board = Board(house, "nodemcu-7")
    board.come()
    await settle()
    assert board.calls == []
    board.report()
    await settle()
    assert len(board.calls) == 1
    other = Board(house, "nodemcu-8")
    other.come()
    other.report("1.1.0", 2)
    await settle()
    assert other.calls == []


async def test_a_no_is_a_failure_with_what_was_said(house: House) -> None:
    house.board(1, answer=(200, {"accepted": False, "why": "older"}))
    await house.director.start("1.1.0", None, ALL)
    await settle()
    [refused] = house.happened(BoardNotUpdated)
    assert refused == BoardNotUpdated(
        "nodemcu-1", "1.1.0", BoardFailure.REFUSED, '200 {"accepted": false, "why": "older"}'
    )
    assert house.happened(RolloutStopped) == [RolloutStopped("nodemcu", "1.1.0", 1)]


@pytest.mark.parametrize("answer", [(500, {}), (404, None)])
async def test_a_status_of_400_or_more_is_a_no(house: House, answer: tuple[int, Any]) -> None:
    house.board(1, answer=answer)
    await house.director.start("1.1.0", None, ALL)
    await settle()
    assert house.progress() == {"failed": 1}


async def test_who_cannot_be_reached_is_asked_when_it_is_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    board = house.board(1)
    monkeypatch.setattr(Board, "call", lambda *_: False)
    await house.director.start("1.1.0", None, ALL)
    await settle()
    assert house.progress() == {"waiting": 1}
    monkeypatch.undo()
    board.go()
    board.come()
    board.report()
    await settle()
    assert len(board.calls) == 1


async def test_a_silent_board_fails(house: House) -> None:
    house.board(1)
    await house.director.start("1.1.0", None, Terms(silent_s=100))
    await settle()
    house.now = 101.0
    house.board(2)  # whatever happens makes it look
    await settle()
    assert BoardNotUpdated("nodemcu-1", "1.1.0", BoardFailure.SILENT, "") in house.events


async def test_a_board_that_could_not_says_why(house: House) -> None:
    board = house.board(1)
    await house.director.start("1.1.0", None, ALL)
    await settle()
    said = {"version": "1.0.0", "serial": 1, "state": "failed", "failed": "1.1.0", "reason": "signature"}
    house.director.heard(board.who, {"firmware": said})
    assert BoardNotUpdated("nodemcu-1", "1.1.0", BoardFailure.FAILED, "signature") in house.events


async def test_modules_and_devices_that_are_no_boards_are_left_alone(house: House) -> None:
    house.methods.subscribe(identity("nodemcu-1", "m"), Board(house, "nodemcu-1"))
    house.methods.subscribe(identity("thermostat"), Board(house, "thermostat"))
    house.director.heard(identity("nodemcu-1", "m"), {"firmware": {"version": "1.0.0"}})
    house.director.heard(identity("thermostat"), {"temperature": 20})
    await house.director.start("1.1.0", None, ALL)
    assert house.progress() == {}
    assert house.director.status()["boards"] == {}


async def test_a_board_of_any_name_says_its_model_itself(house: House) -> None:
    house.director.heard(identity("kitchen"), {"firmware": {"model": "nodemcu", "version": "1.0.0"}})
    house.director.met("cellar", "nodemcu")
    house.director.met("cellar", "../x")
    await house.director.start("1.1.0", None, ALL)
    assert house.director.status()["boards"] == {"nodemcu": {"1.0.0": 1, "unknown": 1}}
    house.director.heard(identity("kitchen"), {"firmware": {"model": "esp32"}})
    assert house.progress() == {"waiting": 1}


async def test_what_boards_may_have_follows_pins_rollouts_and_what_came_through(house: House) -> None:
    def meant(device: str) -> str | None:
        manifest = house.director.meant_for(device, "nodemcu")
        return None if manifest is None else manifest.version

    board = house.board(1)
    assert meant("nodemcu-1") is None
    await house.director.start("1.1.0", None, ALL)
    await settle()
    assert (meant("nodemcu-1"), meant("new")) == ("1.1.0", None)
    board.report("1.1.0", 2)
    await settle()
    assert meant("new") == "1.1.0"
    house.store.add(make_bundle("1.2.0", 3))
    await house.director.start("1.2.0", None, ALL)
    assert meant("new") == "1.1.0"
    await house.director.order(Order.ABORT, None)
    assert meant("nodemcu-1") == "1.1.0"
    await house.director.pin("nodemcu-1", "1.2.0")
    assert meant("nodemcu-1") == "1.2.0"
    assert house.director.meant_for("nodemcu-1", "esp32") is None


async def test_a_pinned_board_is_asked_for_its_pin_once_each_time_it_comes(house: House) -> None:
    board = house.board(1, answer=(200, {"accepted": False}))
    await house.director.pin("nodemcu-1", "1.1.0")
    await settle()
    assert len(board.calls) == 1
    await house.director.start("1.1.0", None, ALL)
    board.report()
    await settle()
    assert (house.progress(), len(board.calls)) == ({}, 1)
    board.go()
    board.come()
    await settle()
    assert len(board.calls) == 2
    assert len(house.happened(BoardNotUpdated)) == 2
    await house.director.unpin("nodemcu-1")
    await settle()
    assert (house.progress(), len(board.calls)) == ({"failed": 1}, 3)
    with pytest.raises(RolloutError, match="is not pinned"):
        await house.director.unpin("nodemcu-1")


@pytest.mark.parametrize(
    ("version", "model", "status"), [("9.9", None, 404), ("1.1.0", "esp32", 404), ("2.0.0", None, 400)]
)
async def test_what_cannot_be_rolled_out_is_refused(house: House, version: str, model: str | None, status: int) -> None:
    for each in ("a", "b"):
        house.store.add(make_bundle("2.0.0", 5, model=each))
    with pytest.raises(RolloutError) as refused:
        await house.director.start(version, model, ALL)
    assert refused.value.status == status


async def test_orders_need_a_rollout_and_a_model_where_there_are_several(house: House) -> None:
    with pytest.raises(RolloutError, match="no such roll-out"):
        await house.director.order(Order.PAUSE, None)
    house.store.add(make_bundle("1.1.0", 2, model="esp32"))
    for model in ("esp32", "nodemcu"):
        await house.director.start("1.1.0", model, ALL)
    with pytest.raises(RolloutError, match="--model"):
        await house.director.order(Order.PAUSE, None)
    assert (await house.director.order(Order.PAUSE, "esp32"))["stage"] == "paused"
    with pytest.raises(RolloutError, match="nothing to pause"):
        await house.director.order(Order.PAUSE, "esp32")
    with pytest.raises(RolloutError, match="abort it before"):
        await house.director.start("1.1.0", "esp32", ALL)


async def test_pins_need_a_board_and_a_version_that_it_would_take(house: House) -> None:
    with pytest.raises(RolloutError, match="has been seen"):
        await house.director.pin("stranger", "1.1.0")
    board = house.board(1)
    board.report("5.0.0", 50)
    with pytest.raises(RolloutError, match="larger serial"):
        await house.director.pin("nodemcu-1", "1.1.0")


async def test_what_the_release_key_did_not_sign_is_not_rolled_out(house: House, tmp_path: Path) -> None:
    house.key = ReleaseKey(write_public_key(tmp_path / "key.pem"))
    house.store.add(make_bundle("6.6.6", 9, key=another_key()))
    with pytest.raises(RolloutError, match="not signed"):
        await house.director.start("6.6.6", None, ALL)
    await house.director.start("1.1.0", None, ALL)


async def test_another_start_goes_on_from_the_book(house: House) -> None:
    house.board(1)
    await house.director.start("1.1.0", None, ALL)
    await settle()
    await house.director.close()
    again = house.another()
    [rollout] = again.status()["rollouts"]
    assert (rollout["version"], rollout["stage"], rollout["boards"]["updating"]) == ("1.1.0", "canary", 1)


async def test_what_the_disk_does_not_take_is_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path, _data: bytes) -> None:
        raise FilesError("the disk is full")

    monkeypatch.setattr(files, "replace", fail)
    with pytest.raises(RolloutError, match="not kept: the disk is full"):
        await house.director.start("1.1.0", None, ALL)
    assert house.happened(RolloutsNotKept)
    house.now = room.KEEP_S
    house.board(1)
    await until(lambda: len(house.happened(RolloutsNotKept)) >= 2)


async def test_progress_is_written_seldom(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(room, "write_book", lambda _folder, text: written.append(text))
    for number in range(5):
        house.board(number)
        await until(lambda: written)
        await settle()
    assert len(written) == 1
    await house.director.close()
    assert len(written) == 2
