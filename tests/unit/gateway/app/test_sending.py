import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from edgewire.message import UPSTREAM, Delivery, Endpoint, identity, stage_of
from gateway.app import sending
from gateway.app.forwarding import Forwarding
from gateway.app.sending import SendingRoom
from gateway.observe.sending import SendingNotRead
from gateway.sending.how import Aggregate, Batch, How, Items, Per, stage_for
from gateway.sending.stage import AggregateStage, BatchStage, Stage
from gateway.store.values import AppendResult, WhenFull
from support.mqtt_site import START, Site
from support.staged import told

UP = Delivery(UPSTREAM)
PAIRS = stage_for("pairs", How(making=Batch(max_messages=2, items=Items.BODIES), delivery=UP))
TOGETHER = stage_for("all", How(making=Batch(max_messages=2, per=Per.ROUTE), delivery=UP))
HOUR = stage_for("mean", How(making=Aggregate(window_s=3600, values={"t": "$body.t"}), delivery=UP))
PATIENCE_S = 40
EDGE = {"IOTEDGE_DEVICEID": "edge-1", "IOTEDGE_MODULEID": "gateway-1"}


@pytest.fixture(autouse=True)
def room_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room has the site's clock, which stands still: no hour ends meanwhile. And a disk may be slow at the end."""
    monkeypatch.setattr("gateway.app.sending.time", SimpleNamespace(time=lambda: START, monotonic=time.monotonic))
    monkeypatch.setattr(sending, "FINISH_S", PATIENCE_S / 2)


def room_of(site: Site, data: Path, environ: dict[str, str] | None = None) -> SendingRoom:
    return SendingRoom(site.store, data, EDGE if environ is None else environ, site.events.append)


async def put(site: Site, to: Endpoint, *values: Any) -> None:
    results: list[AppendResult] = []
    site.store.append([(told({"t": value}), (Delivery(to),)) for value in values], results.append)
    await site.store.flush()
    assert results == [AppendResult.STORED]


@asynccontextmanager
async def living(site: Site, room: SendingRoom, *endpoints: Endpoint) -> AsyncIterator[Forwarding]:
    """A room that runs, and forwarders into its stages."""
    forwarding = Forwarding(site.store, site.events.append)
    forwarding.use(PAIRS.kind, room.way)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(room.run())
        forwarding.start(tasks, endpoints)
        await asyncio.sleep(0)
        yield forwarding
        await room.finish()
        await site.store.flush()
        await forwarding.stop()
        running.cancel()


async def until_made(site: Site) -> list[Any]:
    """What was made, once there is something."""
    reader = site.store.reader(UPSTREAM)
    await reader.wait()
    return [orjson.loads(entry.message.body) for entry in reader.take(10, 1 << 20)]


async def test_what_waits_is_made_into_batches_and_settled(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        await put(site, PAIRS, 1, 2, 3)
        async with living(site, room_of(site, tmp_path)):
            assert await until_made(site) == [[{"t": 1}, {"t": 2}]]
        assert await until_made(site) == [[{"t": 3}]], "an orderly stop lets go what is held"
        assert [queue.messages for queue in site.store.status().queues if queue.endpoint == PAIRS] == [0]


async def test_a_stage_that_comes_later_runs_too(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        room = room_of(site, tmp_path)
        async with living(site, room) as forwarding:
            await put(site, PAIRS, 1, 2)
            forwarding.serve([PAIRS])
            assert await until_made(site) == [[{"t": 1}, {"t": 2}]]
            assert room.way(PAIRS) is room.way(PAIRS)


async def test_what_is_of_all_goes_as_the_module_by_its_name(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        await put(site, TOGETHER, 1, 2)
        async with living(site, room_of(site, tmp_path)):
            reader = site.store.reader(UPSTREAM)
            await reader.wait()
            (made,) = reader.take(1, 1 << 20)
        assert made.message.envelope.sender == identity("edge-1", "gateway-1")


async def test_kinds_of_stages_and_one_of_another_version(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        room = room_of(site, tmp_path, {})
        assert isinstance(room.way(PAIRS), BatchStage)
        assert isinstance(room.way(HOUR), AggregateStage)
        assert room.way(stage_of("r", '{"format":2}')) is None


async def test_a_window_goes_on_after_a_start_though_nothing_waits_in_the_store(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        room = room_of(site, tmp_path)
        assert room.left_over([]) == frozenset()
        await put(site, HOUR, 1, 2)
        async with living(site, room, HOUR):
            await until_held(room.way(HOUR), 2)
        (file,) = (tmp_path / "sending").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        assert [kept[4] for kept in orjson.loads(file.read_bytes())["state"]["tallies"]] == [2]

        again = room_of(site, tmp_path)
        assert again.left_over([]) == {HOUR}
        stage = again.way(HOUR)
        assert isinstance(stage, AggregateStage)
        await stage.finish()
        (tally,) = stage._aggregator._all()
        assert tally.messages == 2


async def until_held(stage: Stage | None, count: int) -> None:
    assert stage is not None
    while stage.status().in_flight < count:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.005)


async def test_a_file_of_a_route_that_is_gone_goes_when_nothing_is_in_it(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        room = room_of(site, tmp_path)
        await put(site, HOUR, 1)
        async with living(site, room, HOUR):
            await until_held(room.way(HOUR), 1)
        (file,) = (tmp_path / "sending").iterdir()
        kept = orjson.loads(file.read_bytes())
        file.write_bytes(orjson.dumps({**kept, "state": {**kept["state"], "tallies": []}}))
        assert room_of(site, tmp_path).left_over([HOUR]) == frozenset()
        assert file.exists()
    async with Site.open(tmp_path / "other") as other:
        room = SendingRoom(other.store, tmp_path, EDGE, other.events.append)
        assert room.left_over([]) == frozenset()
        assert not file.exists()


async def test_a_damaged_file_is_set_aside_and_said(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        room = room_of(site, tmp_path)
        await put(site, HOUR, 1)
        async with living(site, room, HOUR):
            await until_held(room.way(HOUR), 1)
        (file,) = (tmp_path / "sending").iterdir()
        for damaged in (b"{", b'{"stage":["r","h"],"state":{"format":9}}'):
            file.write_bytes(damaged)
            again = room_of(site, tmp_path)
            assert isinstance(again.way(HOUR), AggregateStage)
            assert not file.exists()
            assert file.with_suffix(".damaged").read_bytes() == damaged
        assert len([event for event in site.events if isinstance(event, SendingNotRead)]) == 2


async def test_what_cannot_finish_is_left_for_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "FINISH_S", 0.5)
    async with Site.open(tmp_path) as site:
        room = room_of(site, tmp_path)
        await put(site, HOUR, 1)
        (tmp_path / "sending").write_text("in the way")
        started_at = time.monotonic()
        async with living(site, room, HOUR):
            await until_held(room.way(HOUR), 1)
        assert time.monotonic() - started_at < PATIENCE_S
        assert site.store.status().messages == 1


async def test_a_store_that_is_nearly_full_presses(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        room = room_of(site, tmp_path)
        assert not room._is_pressed()
        site.store.use(max_bytes=100, when_full=WhenFull.REFUSE)
        await put_large(site)
        assert room._is_pressed()


async def put_large(site: Site) -> None:
    results: list[AppendResult] = []
    site.store.append([(told("x" * 500), (UP,))], results.append)
    await site.store.flush()
    assert results == [AppendResult.FULL]
