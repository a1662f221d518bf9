import asyncio
import itertools
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgewire.iothub.twins import Document, merged
from edgewire.message import Identity, identity
from gateway.dispatch import twins as module
from gateway.dispatch.twin_desk import TWINS_NOT_SERVED, TwinReply
from gateway.dispatch.twins import TwinRefusedError, Twins
from gateway.observe.events import Event
from gateway.observe.twin import (
    TwinChangeUnreadable,
    TwinNotKept,
    TwinPlace,
    TwinRead,
    TwinReported,
    TwinReportRefused,
    TwinReportsSent,
)
from gateway.twin.mirror import Mirror
from gateway.twin.opening import open_store
from gateway.twin.store import TwinStore, TwinStoreError
from support.twin_cloud import FakeTwinCloud

D1 = identity("d1")
D2 = identity("d2")


class Watcher:
    """A connected device."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def desired(self, patch: bytes, version: int) -> None:
        change = orjson.loads(patch)
        assert change["$version"] == version
        self.told.append(change)


class Site:
    """Twins, their store and their cloud; restarted on demand."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.events: list[Event] = []
        self.sent = asyncio.Event()
        self.twins = Twins(self._on_event)
        self.cloud = FakeTwinCloud(self.twins)
        self.store: TwinStore
        self._running: asyncio.Task[None]

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, TwinReportsSent):
            self.sent.set()

    async def start(self) -> None:
        self.store = await open_store(self._path, None, lambda _: None)
        self.twins.use(self.cloud)
        self.twins.keep_in(self.store)
        self._running = asyncio.create_task(self.twins.run())

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self.store.close()

    async def restart(self) -> None:
        await self.stop()
        self.twins = Twins(self._on_event)
        cloud = FakeTwinCloud(self.twins)
        cloud.twins, cloud.up = self.cloud.twins, self.cloud.up
        self.cloud = cloud
        await self.start()

    async def get(self, who: Identity = D1) -> TwinReply:
        return await asked(lambda answer: self.twins.get(who, answer))

    async def report(self, patch: Document | bytes, who: Identity = D1) -> TwinReply:
        body = patch if isinstance(patch, bytes) else orjson.dumps(patch)
        return await asked(lambda answer: self.twins.report(who, body, answer))

    async def settled(self, who: Identity = D1) -> None:
        """All that was begun for `who` is done."""
        for _ in itertools.repeat(None, 10_000):
            if who not in self.twins._jobs:  # what is under way is nobody else's to know
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it does not end")


async def asked(ask: Any) -> TwinReply:
    answered: asyncio.Future[TwinReply] = asyncio.get_running_loop().create_future()
    ask(answered.set_result)
    async with asyncio.timeout(30):
        return await answered


def document(reply: TwinReply) -> Any:
    assert reply.status == 200
    return orjson.loads(reply.document)


def failure(reply: TwinReply) -> tuple[int, Any]:
    said = orjson.loads(reply.document)
    assert set(said) == {"errorCode", "message"}
    assert said["errorCode"] == reply.status * 1000
    return reply.status, said["message"]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path / "twins.db")
    await site.start()
    yield site
    await site.stop()


# --- reading ---


async def test_with_the_cloud_there_a_twin_is_read_through(site: Site) -> None:
    site.cloud.desire(D1, {"d": 1})
    assert document(await site.get()) == {"desired": {"d": 1, "$version": 2}, "reported": {"$version": 1}}
    site.cloud.desire(D1, {"d": 2})
    assert document(await site.get())["desired"] == {"d": 2, "$version": 3}


async def test_with_the_cloud_away_the_last_reading_answers_after_a_restart_too(site: Site) -> None:
    site.cloud.desire(D1, {"d": 1})
    before = await site.get()
    site.cloud.go_away()
    assert await site.get() == before
    await site.settled()
    await site.restart()
    assert await site.get() == before


async def test_a_link_that_breaks_under_a_reading_is_a_cloud_that_is_away(site: Site) -> None:
    before = await site.get()
    await site.settled()
    site.cloud.breaks_after = 0
    assert await site.get() == before
    assert not site.cloud.up


async def test_a_twin_never_seen_is_503_while_the_cloud_is_away(site: Site) -> None:
    site.cloud.go_away()
    assert failure(await site.get()) == (
        503,
        "the cloud is away, and this gateway has not seen the twin yet; try again",
    )


async def test_what_the_cloud_refuses_is_refused_with_its_status(site: Site) -> None:
    site.cloud.refuses = TwinRefusedError(404, "no such device")
    assert failure(await site.get()) == (404, "no such device")
    assert failure(await site.report({"a": 1})) == (404, "no such device")
    assert not site.store.waiting()


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"desired":[],"reported":[]}'])
async def test_a_cloud_that_talks_nonsense_is_502(site: Site, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nonsense(_who: Identity) -> bytes:
        return answer

    monkeypatch.setattr(site.cloud, "read", nonsense)
    assert failure(await site.get())[0] == 502
    assert [type(event) for event in site.events] == [TwinChangeUnreadable]


# --- reporting ---


async def test_a_report_goes_through_with_the_hubs_version(site: Site) -> None:
    assert await site.report({"a": 1}) == TwinReply(status=204, version=2)
    assert site.cloud.twin(D1).reported == {"a": 1}
    assert not site.store.waiting()


async def test_who_listens_hears_each_report_that_was_accepted_and_no_other(site: Site) -> None:
    heard: list[tuple[Identity, Document, int | None]] = []
    site.twins.listen(lambda *report: heard.append(report))
    await site.report({"a": 1})
    site.cloud.go_away()
    await site.report({"b": 2})
    await site.report({"bad.name": 3})
    assert [(who, patch) for who, patch, _ in heard] == [(D1, {"a": 1}), (D1, {"b": 2})]
    assert None not in [version for _, _, version in heard]


async def test_a_hub_that_says_no_version_is_counted_for(site: Site) -> None:
    site.cloud.says_no_version = True
    await site.get()
    assert (await site.report({"a": 1})).version == 2
    assert (await site.report({"a": 2})).version == 3


async def test_reports_while_the_cloud_is_away_are_on_disk_when_answered_and_sent_as_one(site: Site) -> None:
    await site.report({"a": 1, "b": {"x": 1}})
    await site.get()
    site.cloud.go_away()
    assert await site.report({"b": {"y": 2}}) == TwinReply(status=204, version=3)
    await site.restart()
    assert await site.report({"a": None, "c": 3}) == TwinReply(status=204, version=3)
    assert document(await site.get())["reported"] == {"b": {"x": 1, "y": 2}, "c": 3, "$version": 3}
    await site.restart()
    site.cloud.come_back()
    await site.settled()
    assert site.cloud.calls == [("report", D1), ("read", D1)], "sent before it is read again"
    assert site.cloud.twin(D1).reported == {"b": {"x": 1, "y": 2}, "c": 3}
    assert site.cloud.twin(D1).reported_version == 3
    assert not site.store.waiting()
    assert TwinReportsSent in map(type, site.events)
    assert {type(event) for event in site.events} == {TwinRead, TwinReported, TwinReportsSent}


async def test_a_report_while_others_wait_waits_behind_them(site: Site) -> None:
    site.cloud.go_away()
    await site.report({"a": 1})
    site.cloud.up = True
    await site.report({"a": 2})
    assert site.cloud.calls == []
    assert list(site.store.waiting()) == [D1]
    site.cloud.come_back()
    await site.settled()
    assert site.cloud.twin(D1).reported == {"a": 2}


async def test_a_report_whose_answer_was_lost_is_sent_again(site: Site) -> None:
    site.cloud.breaks_after = 0
    assert (await site.report({"a": 1})).status == 204
    assert site.cloud.twin(D1).reported == {"a": 1}
    assert list(site.store.waiting()) == [D1]
    site.cloud.come_back()
    await site.settled()
    assert site.cloud.twin(D1).reported == {"a": 1}
    assert not site.store.waiting()


@pytest.mark.parametrize("status", [400, 404, 413])
async def test_reports_that_the_cloud_refuses_later_are_dropped_and_said(site: Site, status: int) -> None:
    site.cloud.go_away()
    await site.report({"a": 1})
    site.cloud.refuses = TwinRefusedError(status, "no")
    site.cloud.come_back()
    await site.settled()
    assert site.events == [TwinReported("d1", TwinPlace.MIRROR), TwinReportRefused("d1", status, "no")]
    assert not site.store.waiting()
    site.cloud.refuses = None
    assert document(await site.get())["reported"] == {"$version": 1}


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_reports_that_the_cloud_refuses_for_now_wait_and_are_tried_again(
    site: Site, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.02)
    site.cloud.go_away()
    await site.report({"a": 1})
    site.cloud.refuses = TwinRefusedError(status, "later")
    site.cloud.come_back()
    await site.settled()
    assert list(site.store.waiting()) == [D1]
    site.cloud.refuses = None
    async with asyncio.timeout(30):
        await site.sent.wait()
    assert site.cloud.twin(D1).reported == {"a": 1}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"$version":7}', 400),
        (b'{"a":[null]}', 400),
        (b'{"a":' * 5000, 400),
        (b'{"a":"' + b"x" * 65_536 + b'"}', 413),
    ],
)
async def test_what_breaks_a_limit_is_refused_whether_the_cloud_is_there_or_not(
    site: Site, body: bytes, status: int
) -> None:
    assert failure(await site.report(body))[0] == status
    site.cloud.go_away()
    assert failure(await site.report(body))[0] == status
    assert site.cloud.calls == []
    assert not len(site.store)


async def test_reports_that_together_are_too_large_are_413_and_the_first_ones_stay(site: Site) -> None:
    site.cloud.go_away()
    for number in range(8):
        assert (await site.report({f"k{number}": "x" * 4000})).status == 204
    assert failure(await site.report({"more": "x" * 4000}))[0] == 413
    site.cloud.come_back()
    await site.settled()
    assert len(site.cloud.twin(D1).reported) == 8


async def test_a_report_that_the_disk_does_not_take_is_not_acknowledged(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_who: Identity, _mirror: Mirror) -> None:
        raise TwinStoreError("the disk is full")

    monkeypatch.setattr(site.store, "save", full)
    site.cloud.go_away()
    assert failure(await site.report({"a": 1})) == (503, "the disk is full")
    assert [type(event) for event in site.events] == [TwinNotKept]
    site.cloud.up = True
    assert (await site.report({"a": 1})).status == 204, "the cloud has it"


async def test_a_disk_that_cannot_be_read_is_503(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_who: Identity) -> Mirror:
        raise TwinStoreError("the disk is broken")

    monkeypatch.setattr(site.store, "load", broken)
    assert failure(await site.get())[0] == 503
    assert failure(await site.report({"a": 1}))[0] == 503


# --- desired ---


async def test_changes_are_told_in_turn(site: Site) -> None:
    watcher = Watcher()
    site.twins.subscribe(D1, watcher)
    await site.get()
    site.cloud.desire(D1, {"d": 1})
    site.cloud.desire(D1, {"d": None, "e": 2})
    await site.settled()
    assert watcher.told == [{"d": 1, "$version": 2}, {"d": None, "e": 2, "$version": 3}]
    assert site.cloud.calls == [("read", D1)]
    site.cloud.go_away()
    assert document(await site.get())["desired"] == {"e": 2, "$version": 3}


async def test_older_and_equal_versions_are_ignored(site: Site) -> None:
    watcher = Watcher()
    site.twins.subscribe(D1, watcher)
    site.cloud.desire(D1, {"d": 1}, told=False)
    await site.get()
    for version in (2, 1, 0, -5):
        site.twins.on_desired(D1, orjson.dumps({"d": 9, "$version": version}))
    await site.settled()
    assert watcher.told == []


async def test_a_gap_is_closed_by_reading_again(site: Site) -> None:
    watcher = Watcher()
    site.twins.subscribe(D1, watcher)
    site.cloud.desire(D1, {"a": 1, "b": 1}, told=False)
    await site.get()
    site.cloud.desire(D1, {"a": None}, told=False)
    site.cloud.desire(D1, {"c": 3})
    await site.settled()
    assert watcher.told == [{"a": None, "c": 3, "$version": 4}]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"a":1}', b'{"$version":"x"}'])
async def test_a_change_that_cannot_be_read_is_said(site: Site, body: bytes) -> None:
    site.twins.on_desired(D1, body)
    await site.settled()
    assert [type(event) for event in site.events] == [TwinChangeUnreadable]


async def test_what_was_missed_while_the_cloud_was_away_is_told_when_it_is_back(site: Site) -> None:
    watcher = Watcher()
    site.twins.subscribe(D1, watcher)
    site.cloud.desire(D1, {"a": 1}, told=False)
    await site.get()
    site.cloud.go_away()
    site.cloud.desire(D1, {"a": {"b": 2}})
    site.cloud.desire(D1, {"c": 3})
    site.cloud.come_back()
    await site.settled()
    assert watcher.told == [{"a": {"b": 2}, "c": 3, "$version": 4}]
    site.cloud.come_back()
    await site.settled()
    assert len(watcher.told) == 1, "nothing is new"


async def test_a_device_whose_reading_found_nothing_hears_all_when_the_cloud_is_back(site: Site) -> None:
    watcher = Watcher()
    site.cloud.desire(D1, {"a": 1})
    site.cloud.go_away()
    site.twins.subscribe(D1, watcher)
    assert (await site.get()).status == 503
    site.cloud.come_back()
    await site.settled()
    assert watcher.told == [{"a": 1, "$version": 2}]


async def test_the_newest_watcher_is_told_and_an_older_ones_goodbye_changes_nothing(site: Site) -> None:
    first, second = Watcher(), Watcher()
    await site.get()
    site.twins.subscribe(D1, first)
    site.twins.subscribe(D1, second)
    site.twins.unsubscribe(D1, first)
    site.cloud.desire(D1, {"a": 1})
    await site.settled()
    assert (len(first.told), len(second.told)) == (0, 1)
    site.twins.unsubscribe(D1, second)
    assert site.cloud.watched == set()


async def test_who_is_wanted(site: Site) -> None:
    site.twins.subscribe(D1, Watcher())
    site.cloud.go_away()
    await site.report({"a": 1}, D2)
    assert set(site.twins.wanted()) == {D1, D2}


async def test_a_flood_of_changes_is_read_at_once(site: Site) -> None:
    watcher = Watcher()
    site.twins.subscribe(D1, watcher)
    await site.get()
    site.cloud.gate = asyncio.Event()
    site.twins.on_up(D1)
    for number in range(500):
        site.cloud.desire(D1, {"n": number})
    assert len(site.twins._jobs[D1]) <= module.MAX_WAITING_JOBS + 1
    site.cloud.gate.set()
    await site.settled()
    view: Document = {}
    for change in watcher.told:
        view = merged(view, change)
    assert view == {"n": 499, "$version": 501}


# --- all of it ---


async def test_without_a_way_upstream_every_request_is_501() -> None:
    twins = Twins(lambda _: None)
    assert await asked(lambda answer: twins.get(D1, answer)) == TWINS_NOT_SERVED
    assert await asked(lambda answer: twins.report(D1, b"{}", answer)) == TWINS_NOT_SERVED
    assert failure(TWINS_NOT_SERVED)[0] == 501
    assert not twins.is_served


async def test_before_the_file_is_open_requests_are_503_and_say_why() -> None:
    twins = Twins(lambda _: None)
    cloud = FakeTwinCloud(twins)
    twins.use(cloud)
    twins.closed_because("the key is not there")
    reply = await asked(lambda answer: twins.get(D1, answer))
    assert failure(reply) == (503, "twins are not served now: the key is not there")
    twins.on_desired(D1, b"{}")
    twins.forget(D1)
    cloud.come_back()
    assert cloud.calls == []


async def test_requests_that_come_before_it_is_known_whether_the_file_opens_wait_for_that(tmp_path: Path) -> None:
    site = Site(tmp_path / "twins.db")
    site.twins.use(site.cloud)
    early = asyncio.ensure_future(site.get())
    await asyncio.sleep(0)
    assert not early.done()
    await site.start()
    assert (await early).status == 200
    await site.stop()


async def test_requests_that_came_early_are_503_once_the_file_did_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_REQUESTS_IN_ALL", 1)
    twins = Twins(lambda _: None)
    twins.use(FakeTwinCloud(twins))
    early: list[TwinReply] = []
    twins.get(D1, early.append)
    twins.get(D2, early.append)
    assert [reply.status for reply in early] == [429]
    twins.closed_because("the key is not there")
    assert failure(early[1]) == (503, "twins are not served now: the key is not there")


async def test_watchers_from_before_the_file_was_open_hear_what_they_missed(tmp_path: Path) -> None:
    site = Site(tmp_path / "twins.db")
    watcher = Watcher()
    site.twins.subscribe(D1, watcher)
    site.cloud.desire(D1, {"a": 1}, told=False)
    await site.start()
    await site.settled()
    assert watcher.told == [{"a": 1, "$version": 2}]
    assert site.cloud.watched == {D1}
    await site.stop()


async def test_nothing_stays_of_a_device_that_was_removed(site: Site) -> None:
    await site.get()
    site.cloud.go_away()
    await site.report({"a": 1})
    site.twins.forget(D1)
    await site.settled()
    assert not len(site.store)
    await site.restart()
    assert failure(await site.get())[0] == 503


async def test_requests_of_one_device_are_answered_in_order_and_bounded(site: Site) -> None:
    site.cloud.gate = asyncio.Event()
    replies: list[tuple[int, TwinReply]] = []

    def note(number: int, reply: TwinReply) -> None:
        replies.append((number, reply))

    for number in range(module.MAX_WAITING_REQUESTS + 5):
        site.twins.report(D1, orjson.dumps({"n": number}), partial(note, number))
    assert [failure(reply)[0] for _, reply in replies] == [429] * 5
    other = asyncio.ensure_future(site.get(D2))
    site.cloud.gate.set()
    await other
    await site.settled()
    assert [number for number, _ in replies[5:]] == list(range(module.MAX_WAITING_REQUESTS))
    assert [reply.version for _, reply in replies[5:]] == list(range(2, module.MAX_WAITING_REQUESTS + 2))
    assert site.cloud.twin(D1).reported == {"n": module.MAX_WAITING_REQUESTS - 1}


async def test_all_devices_together_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_REQUESTS_IN_ALL", 3)
    site.cloud.gate = asyncio.Event()
    waiting = [asyncio.ensure_future(site.get(identity(f"x{number}"))) for number in range(3)]
    await asyncio.sleep(0)
    assert failure(await site.get(D1))[0] == 429
    site.cloud.gate.set()
    await asyncio.gather(*waiting)
    for number in range(3):
        await site.settled(identity(f"x{number}"))
    assert (await site.get(D1)).status == 200


async def test_calls_to_the_cloud_are_bounded(site: Site) -> None:
    site.cloud.gate = asyncio.Event()
    waiting = [asyncio.ensure_future(site.get(identity(f"x{number}"))) for number in range(module.MAX_CLOUD_CALLS + 9)]
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(site.cloud.calls) == module.MAX_CLOUD_CALLS
    site.cloud.gate.set()
    await asyncio.gather(*waiting)


async def test_a_cloud_that_does_not_answer_is_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOUD_CALL_S", 0.02)
    monkeypatch.setattr(module, "RETRY_S", 0.02)
    site.cloud.gate = asyncio.Event()
    assert (await site.report({"a": 1})).status == 204
    assert list(site.store.waiting()) == [D1]
    site.cloud.gate.set()
    async with asyncio.timeout(30):
        await site.sent.wait()
    assert site.cloud.twin(D1).reported == {"a": 1}


async def test_the_mirror_is_told_without_the_cloud(site: Site) -> None:
    assert await site.twins.mirrored(D1) is None
    await site.get()
    calls = len(site.cloud.calls)
    kept = await site.twins.mirrored(D1)
    assert kept is not None
    assert orjson.loads(kept)["desired"]["$version"] == 1
    assert len(site.cloud.calls) == calls
    with pytest.raises(TwinStoreError, match="just started"):
        await Twins(lambda _: None).mirrored(D1)
    closed = Twins(lambda _: None)
    closed.closed_because("the disk is gone")
    with pytest.raises(TwinStoreError, match="the disk is gone"):
        await closed.mirrored(D1)
