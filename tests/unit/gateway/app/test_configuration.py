import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.app.configuration import DEFAULT_DOCUMENT, Configuration, NotApplicableError, sentence
from gateway.app.document import GatewaySettings, SettingsProblem
from gateway.observe.configuration import (
    LastGoodNotSaved,
    LastGoodUnreadable,
    SettingsApplied,
    SettingsRefused,
    SettingsSource,
)
from gateway.observe.events import Event
from gateway.routing.table import Table

TWIN = SettingsSource.TWIN
GOOD: dict[str, Any] = {"routes": {"alerts": "FROM /messages/* WHERE $body.alert = true INTO $upstream"}}
OTHER: dict[str, Any] = {"routes": {"all": "FROM /messages/* INTO $upstream"}}
BAD: dict[str, Any] = {"routes": {"all": "FROM /messages/* INTO $upstream", "broken": "FROM /messages/* INTO $up"}}


class Scene:
    """A configuration in a folder, and what came of it; `again` is the next start of the gateway."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "settings.json"
        self.events: list[Event] = []
        self.applied: list[GatewaySettings] = []
        self.refusal = ""
        self.configuration = self.again()

    def again(self) -> Configuration:
        self.configuration = Configuration(path=self.path, apply=self.apply, emit=self.events.append)
        self.applied.clear()
        self.events.clear()
        return self.configuration

    def apply(self, settings: GatewaySettings, table: Table) -> None:
        del table
        if self.refusal:
            raise NotApplicableError(self.refusal)
        self.applied.append(settings)

    def routes_in_force(self) -> list[str]:
        return list(self.applied[-1].routes)

    def seen(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_without_settings_everything_goes_upstream(scene: Scene) -> None:
    await scene.configuration.start()

    assert [spec.text for spec in scene.applied[0].routes.values()] == ["FROM /messages/* INTO $upstream"]
    assert scene.events == [SettingsApplied(SettingsSource.DEFAULT, None, 1, 0)]
    assert scene.configuration.good_source is SettingsSource.DEFAULT
    assert not scene.path.exists()


async def test_good_settings_are_put_in_force_and_kept(scene: Scene) -> None:
    verdict = await scene.configuration.offer(GOOD, 7, TWIN)

    assert verdict.good
    assert verdict.routes == ("alerts",)
    assert scene.routes_in_force() == ["alerts"]
    assert (scene.configuration.good_version, scene.configuration.good_source) == (7, TWIN)
    kept = json.loads(scene.path.read_text())
    assert kept == {"format": 1, "source": "twin", "version": 7, "document": GOOD}
    assert stat.S_IMODE(scene.path.stat().st_mode) == 0o600
    assert list(scene.path.parent.iterdir()) == [scene.path]


async def test_a_bad_update_leaves_the_last_good_in_force(scene: Scene) -> None:
    await scene.configuration.offer(GOOD, 7, TWIN)

    verdict = await scene.configuration.offer(BAD, 8, TWIN)

    assert not verdict.good
    assert verdict.routes == ("all", "broken")
    assert scene.routes_in_force() == ["alerts"]
    assert scene.configuration.good_version == 7
    assert scene.configuration.verdict is verdict
    [refused] = scene.seen(SettingsRefused)
    assert refused.version == 8
    assert "route 'broken'" in refused.sentence()


async def test_the_last_good_settings_survive_a_restart_even_after_a_bad_update(scene: Scene) -> None:
    await scene.configuration.offer(GOOD, 7, TWIN)
    await scene.configuration.offer(BAD, 8, TWIN)

    configuration = scene.again()
    await configuration.start()

    assert scene.routes_in_force() == ["alerts"]
    assert (configuration.good_version, configuration.good_source) == (7, SettingsSource.LAST_GOOD)
    assert configuration.verdict is None


async def test_the_same_settings_again_change_nothing_but_the_version(scene: Scene) -> None:
    await scene.configuration.offer(GOOD, 7, TWIN)
    before = scene.path.stat()

    await scene.configuration.offer(GOOD, 7, TWIN)
    assert len(scene.applied) == 1
    assert scene.path.stat().st_mtime_ns == before.st_mtime_ns

    await scene.configuration.offer(GOOD, 8, TWIN)
    assert len(scene.applied) == 1
    assert scene.configuration.good_version == 8
    assert json.loads(scene.path.read_text())["version"] == 8


async def test_after_a_restart_the_twin_confirms_what_is_in_force(scene: Scene) -> None:
    await scene.configuration.offer(GOOD, 7, TWIN)
    configuration = scene.again()
    await configuration.start()

    verdict = await configuration.offer(GOOD, 7, TWIN)

    assert verdict.good
    assert len(scene.applied) == 1
    assert configuration.good_source is TWIN


async def test_settings_that_cannot_be_put_in_force_here_are_refused(scene: Scene) -> None:
    await scene.configuration.offer(GOOD, 7, TWIN)
    scene.refusal = "maxBytes is below what the store holds"

    verdict = await scene.configuration.offer(OTHER, 8, TWIN)

    assert [problem.message for problem in verdict.errors] == [scene.refusal]
    assert scene.configuration.good_version == 7
    assert json.loads(scene.path.read_text())["version"] == 7


async def test_what_is_no_document_is_refused(scene: Scene) -> None:
    scene.configuration.refuse(SettingsProblem(path="/etc/s.json", message="not JSON"), None, SettingsSource.FILE)

    assert scene.configuration.verdict is not None
    assert not scene.configuration.verdict.good
    assert "/etc/s.json: not JSON" in scene.seen(SettingsRefused)[0].sentence()


@pytest.mark.parametrize("value", ["\ud800", 2**70])
async def test_what_cannot_be_kept_is_refused(scene: Scene, value: Any) -> None:
    verdict = await scene.configuration.offer({"routes": {}, "$x": value}, 1, TWIN)

    assert "not JSON that can be kept" in verdict.errors[0].message
    assert scene.applied == []


def write_half(path: Path) -> None:
    path.write_text('{"format": 1, "document"')


def write_foreign(path: Path) -> None:
    path.write_text('{"format": 2}')


def write_list(path: Path) -> None:
    path.write_text("[]")


def write_refused(path: Path) -> None:
    path.write_text(json.dumps({"format": 1, "version": 3, "document": BAD}))


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("damage", [write_half, write_foreign, write_list, write_refused, make_folder])
async def test_kept_settings_of_no_use_are_reported_and_the_default_runs(
    scene: Scene, damage: Callable[[Path], None]
) -> None:
    damage(scene.path)

    await scene.configuration.start()

    assert len(scene.seen(LastGoodUnreadable)) == 1
    assert scene.routes_in_force() == list(DEFAULT_DOCUMENT["routes"])


async def test_settings_that_cannot_be_kept_run_all_the_same(scene: Scene) -> None:
    scene.path.mkdir()  # a file cannot take the place of a folder

    verdict = await scene.configuration.offer(GOOD, 7, TWIN)

    assert verdict.good
    assert scene.routes_in_force() == ["alerts"]
    assert len(scene.seen(LastGoodNotSaved)) == 1


async def test_a_crash_while_keeping_leaves_the_older_settings(scene: Scene) -> None:
    await scene.configuration.offer(GOOD, 7, TWIN)
    scene.path.with_name("settings.json.new").write_text('{"form')

    configuration = scene.again()
    await configuration.start()

    assert configuration.good_version == 7


async def test_warnings_do_not_prevent_anything(scene: Scene) -> None:
    trap = {"routes": {"r": "FROM /messages/* WHERE $body.missing > 5 INTO $upstream"}}

    verdict = await scene.configuration.offer(trap, 1, TWIN)

    assert verdict.good
    assert scene.seen(SettingsApplied)[0].warnings == len(verdict.warnings)


def test_a_problem_outside_routes_is_said_with_its_path() -> None:
    problem = SettingsProblem(path="storeAndForward.maxBytes", message="too small", fix="write more")

    assert sentence(problem) == "storeAndForward.maxBytes: too small; write more"
