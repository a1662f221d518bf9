import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.message import Endpoint
from edgewire.transport.backoff import Backoff
from gateway.app.configuration import Configuration
from gateway.app.document import GatewaySettings
from gateway.app.twin_settings import MAX_PATCHES, DesiredSettings, TwinSync, merge
from gateway.observe.configuration import SettingsSource, TwinTryFailed
from gateway.observe.events import Event
from gateway.routing.table import Table
from gateway.upstream.methods import ModuleMethods
from gateway.upstream.proxy import (
    CloudListener,
    CloudRefusedError,
    Document,
    Entry,
    LinkState,
    LinkStatus,
    NotConnectedError,
    Sent,
    Window,
)

UP = "FROM /messages/* INTO $upstream"
JSON = st.recursive(
    st.integers() | st.text("ab"),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


class Cloud:
    """A proxy with a twin in memory; it fails as often as told."""

    def __init__(self) -> None:
        self.desired: dict[str, Any] = {"$version": 1}
        self.reported: dict[str, Any] = {"$version": 1}
        self.reads = 0
        self.patches: list[Document] = []
        self.faults: list[Exception] = []
        self.state = LinkState.CONNECTED

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def connected(self) -> None:
        return

    def send(self, entry: Entry, endpoint: Endpoint) -> asyncio.Future[Sent]:
        raise AssertionError(f"{entry} was sent to {endpoint}")

    def status(self) -> LinkStatus:
        return LinkStatus(state=self.state, reason="", since_at=0.0, last_success_at=None, in_flight=0)

    def listen(self, listener: CloudListener) -> None:
        del listener

    def window(self) -> Window:
        return Window()

    def on_wider(self, call: object) -> None:
        """It never is."""

    async def twin(self) -> Document:
        self.reads += 1
        if self.faults:
            raise self.faults.pop(0)
        return {"desired": dict(self.desired), "reported": dict(self.reported)}

    async def report(self, patch: Document) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.patches.append(patch)
        self.reported = merge(self.reported, patch)

    def set(self, **routes: str) -> Document:
        """The operator sets these routes and no others; gives the notification of it."""
        version = self.desired["$version"] + 1
        self.desired = {"routes": routes, "$version": version}
        return self.desired


class Scene:
    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.cloud = cloud
        self.events: list[Event] = []
        self.applied: list[list[str]] = []
        self.slept: list[float] = []
        self.configuration = Configuration(path=folder / "settings.json", apply=self.apply, emit=self.events.append)
        self.sync = self.make(DesiredSettings(self.configuration))

    def make(self, desired: DesiredSettings | None) -> TwinSync:
        return TwinSync(
            configuration=self.configuration,
            desired=desired,
            proxy=self.cloud,
            methods=ModuleMethods(status=dict, emit=self.events.append),
            connections=lambda: {"connected": 0, "offline": {}},
            emit=self.events.append,
            backoff=Backoff(1.0, 8.0, draw=lambda: 1.0),
            sleep=self.sleep,
        )

    def apply(self, settings: GatewaySettings, table: Table) -> None:
        del table
        self.applied.append(list(settings.routes))

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        await asyncio.sleep(0)

    async def until(self, count: int) -> None:
        """Until so many reports arrived."""
        async with asyncio.timeout(10):
            while len(self.cloud.patches) < count:  # noqa: ASYNC110 — threads take part; there is no event to wait for
                await asyncio.sleep(0.001)


@asynccontextmanager
async def synchronising(tmp_path: Path, cloud: Cloud | None = None, *, follow: bool = True) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path, cloud or Cloud())
    if not follow:
        scene.sync = scene.make(None)
    await scene.configuration.start()
    running = asyncio.create_task(scene.sync.run())
    try:
        yield scene
    finally:
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()


async def test_a_new_link_reads_the_twin_and_reports_what_became_of_it(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.set(all=UP)
    async with synchronising(tmp_path, cloud) as scene:
        scene.sync.on_connected()
        await scene.until(1)

    assert scene.applied[-1] == ["all"]
    assert cloud.reported["lastDesiredVersion"] == 2
    assert cloud.reported["lastGoodVersion"] == 2
    assert cloud.reported["lastDesiredStatus"] == {"code": 200, "description": ""}
    assert cloud.reported["routes"] == {"all": {"status": "ok"}}


async def test_a_twin_without_settings_means_the_default(tmp_path: Path) -> None:
    async with synchronising(tmp_path) as scene:
        scene.sync.on_connected()
        await scene.until(1)

        assert scene.configuration.good_source is SettingsSource.DEFAULT
        assert scene.cloud.reported["lastDesiredVersion"] == 1


async def test_desired_patches_are_merged_and_null_removes(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.set(a=UP, b=UP)
    async with synchronising(tmp_path, cloud) as scene:
        scene.sync.on_connected()
        await scene.until(1)
        scene.sync.on_desired({"routes": {"b": None, "c": UP}, "$version": 3})
        await scene.until(2)

    assert scene.applied[-1] == ["a", "c"]
    assert cloud.reads == 1
    assert cloud.reported["lastGoodVersion"] == 3
    assert "b" not in cloud.reported["routes"]


async def test_a_bad_patch_leaves_the_last_good_and_a_good_one_mends_it(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.set(a=UP)
    async with synchronising(tmp_path, cloud) as scene:
        scene.sync.on_connected()
        await scene.until(1)
        scene.sync.on_desired({"routes": {"b": "FROM /messages/* INTO $up"}, "$version": 3})
        await scene.until(2)
        assert scene.applied[-1] == ["a"]
        assert cloud.reported["lastDesiredStatus"]["code"] == 400
        assert (cloud.reported["lastDesiredVersion"], cloud.reported["lastGoodVersion"]) == (3, 2)
        assert cloud.reported["routes"]["b"]["status"] == "error"

        scene.sync.on_desired({"routes": {"b": UP}, "$version": 4})
        await scene.until(3)

    assert scene.applied[-1] == ["a", "b"]
    assert cloud.reported["routes"]["b"] == {"status": "ok"}


async def test_old_and_repeated_patches_are_passed_over(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.set(a=UP)
    async with synchronising(tmp_path, cloud) as scene:
        scene.sync.on_connected()
        await scene.until(1)
        scene.sync.on_desired({"routes": {"old": UP}, "$version": 2})
        scene.sync.on_desired({"routes": {"b": UP}, "$version": 3})
        scene.sync.on_desired({"routes": {"b": None}, "$version": 3})
        await scene.until(2)

    assert scene.applied[-1] == ["a", "b"]
    assert cloud.reads == 1


async def test_a_gap_between_patches_makes_the_twin_be_read(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.set(a=UP)
    async with synchronising(tmp_path, cloud) as scene:
        scene.sync.on_connected()
        await scene.until(1)
        cloud.set(b=UP)
        scene.sync.on_desired(cloud.set(c=UP))
        await scene.until(2)

    assert scene.applied[-1] == ["c"]
    assert cloud.reads == 2


async def test_too_many_patches_make_the_twin_be_read(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.set(a=UP)
    async with synchronising(tmp_path, cloud) as scene:
        scene.sync.on_connected()
        await scene.until(1)
        for number in range(MAX_PATCHES + 1):
            patch = cloud.set(**{f"r{number}": UP})
            scene.sync.on_desired(patch)
        await scene.until(2)

    assert scene.applied[-1] == [f"r{MAX_PATCHES}"]
    assert cloud.reads == 2


async def test_a_reconnect_with_nothing_new_changes_and_reports_nothing(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.set(a=UP)
    async with synchronising(tmp_path, cloud) as scene:
        scene.sync.on_connected()
        await scene.until(1)
        applied = len(scene.applied)
        scene.sync.on_connected()
        async with asyncio.timeout(10):
            while cloud.reads < 2:  # noqa: ASYNC110 — threads take part; there is no event to wait for
                await asyncio.sleep(0.001)
        scene.sync.on_desired(cloud.set(a=UP, b=UP))
        await scene.until(2)

    assert len(scene.applied) == applied + 1
    assert len(cloud.patches) == 2


@pytest.mark.parametrize("fault", [NotConnectedError("silence"), CloudRefusedError("status 500")])
async def test_a_failed_request_is_tried_again_with_a_back_off(tmp_path: Path, fault: Exception) -> None:
    cloud = Cloud()
    cloud.set(a=UP)
    cloud.faults = [fault, fault]
    async with synchronising(tmp_path, cloud) as scene:
        scene.sync.on_connected()
        await scene.until(1)

        assert scene.slept == [1.0, 2.0]
        assert [event.reason for event in scene.events if isinstance(event, TwinTryFailed)] == [str(fault)] * 2


async def test_without_a_link_nothing_is_tried(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.state = LinkState.WAITING
    async with synchronising(tmp_path, cloud) as scene:
        scene.sync.changed()
        for _ in range(20):
            await asyncio.sleep(0)
        assert cloud.reads == 0

        cloud.state = LinkState.CONNECTED
        scene.sync.on_connected()
        await scene.until(1)


async def test_where_a_file_sets_the_settings_the_twin_is_only_told(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.set(twin=UP)
    async with synchronising(tmp_path, cloud, follow=False) as scene:
        await scene.configuration.offer({"routes": {"local": UP}}, None, SettingsSource.FILE)
        scene.sync.on_connected()
        await scene.until(1)
        scene.sync.on_desired(cloud.set(other=UP))
        await scene.configuration.offer({"routes": {"local2": UP}}, None, SettingsSource.FILE)
        scene.sync.changed()
        await scene.until(2)

    assert scene.applied[-1] == ["local2"]
    assert cloud.reported["lastGoodSource"] == "file"
    assert cloud.reported["routes"] == {"local2": {"status": "ok"}}
    assert "lastDesiredVersion" not in cloud.reported


async def test_methods_are_answered(tmp_path: Path) -> None:
    async with synchronising(tmp_path) as scene:
        assert (await scene.sync.on_method("ping", {"a": 1})).payload == {"a": 1}


@pytest.mark.parametrize(
    ("document", "patch", "merged"),
    [
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": {"b": 1}}, {"a": {"b": None}}, {"a": {}}),
        ({"a": 1}, {"b": None}, {"a": 1}),
        ({"a": 1}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1, "$version": 3}, {"$version": 4, "$metadata": {}}, {"a": 1}),
    ],
)
def test_patches_merge_as_rfc_7396_says(document: Document, patch: Document, merged: Document) -> None:
    assert merge(document, patch) == merged


@given(document=OBJECTS, patch=OBJECTS)
def test_a_patch_merged_twice_is_a_patch_merged_once(document: Document, patch: Document) -> None:
    once = merge(document, patch)

    assert merge(once, patch) == once
