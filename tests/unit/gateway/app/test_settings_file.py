import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.app.configuration import Configuration
from gateway.app.document import GatewaySettings
from gateway.app.settings_file import LOOK_EVERY_S, MAX_FILE_BYTES, SettingsFile
from gateway.observe.configuration import SettingsFileUnreadable, SettingsRefused, SettingsSource
from gateway.observe.events import Event
from gateway.routing.table import Table
from support.whole_file import put


class Scene:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "local.json"
        self.events: list[Event] = []
        self.applied: list[GatewaySettings] = []
        self.told = 0
        self.configuration = Configuration(path=folder / "settings.json", apply=self.apply, emit=self.events.append)
        self.file = SettingsFile(
            path=self.path, configuration=self.configuration, emit=self.events.append, told=self.tell
        )

    def apply(self, settings: GatewaySettings, table: Table) -> None:
        del table
        self.applied.append(settings)

    def tell(self) -> None:
        self.told += 1

    def write(self, route: str, **more: Any) -> None:
        put(self.path, json.dumps({"routes": {route: "FROM /messages/* INTO $upstream"}} | more))

    def seen(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_the_file_is_put_in_force_and_again_when_it_changes(scene: Scene) -> None:
    scene.write("first")
    await scene.file.look()
    scene.write("second")
    await scene.file.look()

    assert [list(settings.routes) for settings in scene.applied] == [["first"], ["second"]]
    assert scene.configuration.good_source is SettingsSource.FILE
    assert scene.told == 2


async def test_a_file_that_did_not_change_is_not_read_again(scene: Scene) -> None:
    scene.write("first")
    await scene.file.look()
    await scene.file.look()

    assert scene.told == 1


async def test_a_document_saved_from_a_twin_is_taken(scene: Scene) -> None:
    scene.write("first", **{"$version": 3, "$metadata": {"x": 1}})

    await scene.file.look()

    assert len(scene.applied) == 1


def not_json(path: Path) -> None:
    path.write_text('{\n  "routes": }')


def not_text(path: Path) -> None:
    path.write_bytes(b'{"x": "\xff"}')


def not_object(path: Path) -> None:
    path.write_text("[]")


def too_deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def too_large(path: Path) -> None:
    path.write_bytes(b" " * (MAX_FILE_BYTES + 1))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (not_json, "local.json, line 2, column 13: not JSON"),
        (not_text, "it is not UTF-8 text"),
        (not_object, "it is not a JSON object"),
        (too_deep, "it is nested too deeply"),
        (too_large, "it is larger than 1048576 bytes"),
    ],
)
async def test_a_file_of_no_use_is_refused_and_what_is_in_force_stays(
    scene: Scene, damage: Callable[[Path], None], says: str
) -> None:
    scene.write("first")
    await scene.file.look()

    damage(scene.path)
    await scene.file.look()

    assert says in scene.seen(SettingsRefused)[0].sentence()
    assert len(scene.applied) == 1
    assert scene.configuration.verdict is not None
    assert not scene.configuration.verdict.good


async def test_a_missing_file_is_complained_of_once_and_taken_when_it_comes(scene: Scene) -> None:
    await scene.file.look()
    await scene.file.look()
    assert len(scene.seen(SettingsFileUnreadable)) == 1

    scene.write("first")
    await scene.file.look()
    assert len(scene.applied) == 1

    scene.path.unlink()
    await scene.file.look()
    assert len(scene.seen(SettingsFileUnreadable)) == 2


async def test_it_is_looked_at_every_second(scene: Scene) -> None:
    slept: list[float] = []

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)
        if len(slept) == 2:
            raise asyncio.CancelledError
        scene.write("first")

    file = SettingsFile(path=scene.path, configuration=scene.configuration, emit=scene.events.append, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await file.run()

    assert slept == [LOOK_EVERY_S, LOOK_EVERY_S]
    assert len(scene.applied) == 1
