import asyncio
import uuid

import pytest

from edgewire.message import Identity, identity
from gateway.dispatch import methods as limits
from gateway.dispatch.methods import MethodError, MethodFault, MethodResult, Methods, Watcher
from gateway.observe.dispatch import IgnoredAnswer, MethodAnswerIgnored, MethodCalls, MethodOutcome
from gateway.observe.events import Event
from support.gateway_site import until

DEVICE = identity("d1")
OTHER = identity("d2")


class RecordedCallee:
    def __init__(self, *, takes: bool = True) -> None:
        self.calls: list[tuple[str, str, bytes]] = []
        self.called = asyncio.Event()
        self._takes = takes

    def call(self, rid: str, name: str, payload: bytes) -> bool:
        self.calls.append((rid, name, payload))
        self.called.set()
        return self._takes

    async def rid(self) -> str:
        await asyncio.wait_for(self.called.wait(), 30)
        self.called.clear()
        return self.calls[-1][0]


class Site:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.methods = Methods(self.events.append)
        self.callee = RecordedCallee()
        self.methods.subscribe(DEVICE, self.callee)

    def begin(
        self, who: Identity = DEVICE, *, name: str = "reboot", payload: bytes = b"{}", connect_timeout_s: float = 0
    ) -> "asyncio.Task[MethodResult]":
        return asyncio.create_task(
            self.methods.invoke(who, name, payload, connect_timeout_s=connect_timeout_s, response_timeout_s=30)
        )

    def outcomes(self) -> dict[MethodOutcome, int]:
        self.events.clear()
        self.methods.report()
        return {event.outcome: event.count for event in self.events if isinstance(event, MethodCalls)}


async def test_a_call_goes_to_who_takes_calls_and_its_answer_back() -> None:
    site = Site()
    calling = site.begin()
    rid = await site.callee.rid()
    assert str(uuid.UUID(rid)) == rid
    assert site.callee.calls == [(rid, "reboot", b"{}")]
    site.methods.answered(DEVICE, rid, 201, b'{"a":1}')
    assert await calling == MethodResult(201, b'{"a":1}')
    assert site.outcomes() == {MethodOutcome.ANSWERED: 1}


async def fault_of(calling: "asyncio.Task[MethodResult]") -> MethodFault:
    with pytest.raises(MethodError) as caught:
        await calling
    assert str(caught.value) == caught.value.what
    return caught.value.fault


async def test_a_device_that_takes_no_calls_is_not_found() -> None:
    site = Site()
    assert await fault_of(site.begin(OTHER)) is MethodFault.NOT_FOUND
    assert await fault_of(site.begin(OTHER, connect_timeout_s=0.001)) is MethodFault.NOT_FOUND
    assert site.outcomes() == {MethodOutcome.NOT_FOUND: 2}


async def test_a_call_that_cannot_be_brought_is_not_found() -> None:
    site = Site()
    site.methods.subscribe(OTHER, RecordedCallee(takes=False))
    assert await fault_of(site.begin(OTHER)) is MethodFault.NOT_FOUND


async def test_a_call_can_wait_for_its_device() -> None:
    site, late = Site(), RecordedCallee()
    calling = site.begin(OTHER, connect_timeout_s=300)
    await asyncio.sleep(0)
    site.methods.subscribe(OTHER, late)
    site.methods.answered(OTHER, await late.rid(), 200, b"")
    assert (await calling).status == 200


async def test_a_device_that_goes_at_once_is_waited_for_again() -> None:
    site, late = Site(), RecordedCallee()
    calling = site.begin(OTHER, connect_timeout_s=300)
    await asyncio.sleep(0)
    site.methods.subscribe(OTHER, site.callee)
    site.methods.unsubscribe(OTHER, site.callee)
    for _ in range(3):
        await asyncio.sleep(0)
    site.methods.subscribe(OTHER, late)
    site.methods.answered(OTHER, await late.rid(), 200, b"")
    assert (await calling).status == 200
    assert site.callee.calls == []


async def test_a_device_that_does_not_answer_in_time_costs_the_caller_its_time_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MIN_RESPONSE_TIMEOUT_S", 0.0)
    site = Site()
    calling = asyncio.create_task(
        site.methods.invoke(DEVICE, "reboot", b"", connect_timeout_s=0, response_timeout_s=0.001)
    )
    assert await fault_of(calling) is MethodFault.TIMED_OUT
    site.methods.answered(DEVICE, await site.callee.rid(), 200, b"")
    assert site.events == [MethodAnswerIgnored("d1", IgnoredAnswer.UNKNOWN_CALL)]
    assert site.outcomes() == {MethodOutcome.TIMED_OUT: 1}


@pytest.mark.parametrize(
    ("name", "payload", "connect_timeout_s", "response_timeout_s"),
    [
        ("", b"", 0, 30),
        ("n" * 101, b"", 0, 30),
        ("n", b"x" * 131_073, 0, 30),
        ("n", b"", -1, 30),
        ("n", b"", 301, 30),
        ("n", b"", 0, 4.9),
        ("n", b"", 0, 301),
        ("n", b"", float("nan"), 30),
    ],
)
async def test_a_call_that_the_hub_would_not_take_is_refused(
    name: str, payload: bytes, connect_timeout_s: float, response_timeout_s: float
) -> None:
    site = Site()
    with pytest.raises(MethodError) as caught:
        await site.methods.invoke(
            DEVICE, name, payload, connect_timeout_s=connect_timeout_s, response_timeout_s=response_timeout_s
        )
    assert caught.value.fault is MethodFault.BAD_REQUEST
    assert site.callee.calls == []


async def test_calls_of_one_device_and_of_all_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CALLS_PER_DEVICE", 2)
    monkeypatch.setattr(limits, "MAX_CALLS", 3)
    site = Site()
    site.methods.subscribe(OTHER, site.callee)
    calls = [site.begin(), site.begin(), site.begin(OTHER)]
    await asyncio.sleep(0)
    assert await fault_of(site.begin()) is MethodFault.BUSY
    assert await fault_of(site.begin(OTHER)) is MethodFault.BUSY
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    again = site.begin()
    await asyncio.sleep(0)
    site.methods.answered(DEVICE, await site.callee.rid(), 200, b"")
    assert (await again).status == 200


async def test_a_call_that_nobody_waits_for_any_more_gives_way_to_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device hung under a service that asks it every few seconds; then it is well again, and must not be busy."""
    monkeypatch.setattr(limits, "MAX_CALLS_PER_DEVICE", 2)
    monkeypatch.setattr(limits, "MAX_CALLS", 3)
    site = Site()
    site.methods.subscribe(OTHER, site.callee)
    first, second, others = site.begin(), site.begin(), site.begin(OTHER)
    await asyncio.sleep(0)
    first_rid = site.callee.calls[0][0]
    monkeypatch.setattr(limits, "GIVES_WAY_S", 0.0)
    new = site.begin()
    assert await fault_of(first) is MethodFault.TIMED_OUT
    await until(lambda: len(site.callee.calls) == 4)
    site.methods.answered(DEVICE, first_rid, 200, b"too late")
    site.methods.answered(DEVICE, site.callee.calls[3][0], 200, b"")
    assert (await new).status == 200
    last = site.begin(OTHER)  # there is room for it as one device's, and none for it in all
    await asyncio.sleep(0)
    monkeypatch.setattr(limits, "MAX_CALLS_PER_DEVICE", 20)
    newest = site.begin(OTHER)
    assert await fault_of(second) is MethodFault.TIMED_OUT  # the earliest of all
    for call in (others, last, newest):
        call.cancel()
    await asyncio.wait([others, last, newest])
    outcomes = site.outcomes()
    assert outcomes[MethodOutcome.TIMED_OUT] == 2
    assert MethodOutcome.BUSY not in outcomes


async def test_a_caller_that_gives_up_leaves_nothing_behind() -> None:
    site = Site()
    calls = [site.begin(), site.begin(OTHER, connect_timeout_s=300)]
    rid = await site.callee.rid()
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    site.methods.answered(DEVICE, rid, 200, b"")
    assert site.events == [MethodAnswerIgnored("d1", IgnoredAnswer.UNKNOWN_CALL)]
    site.methods.subscribe(OTHER, site.callee)


@pytest.mark.parametrize(
    ("who", "payload", "why"),
    [
        (OTHER, b"", IgnoredAnswer.FOREIGN_DEVICE),
        (identity("d1", "m"), b"", IgnoredAnswer.FOREIGN_DEVICE),
        (DEVICE, b"x" * 131_073, IgnoredAnswer.TOO_LARGE),
    ],
)
async def test_an_answer_that_is_not_the_callees_is_ignored_and_its_own_still_counts(
    who: Identity, payload: bytes, why: IgnoredAnswer
) -> None:
    site = Site()
    calling = site.begin()
    rid = await site.callee.rid()
    site.methods.answered(who, rid, 200, payload)
    assert site.events == [MethodAnswerIgnored(str(who), why)]
    site.methods.answered(DEVICE, rid, 204, b"")
    assert (await calling).status == 204


async def test_a_second_answer_is_ignored() -> None:
    site = Site()
    calling = site.begin()
    rid = await site.callee.rid()
    for status in (200, 500, 501):
        site.methods.answered(DEVICE, rid, status, b"")
    assert (await calling).status == 200
    site.methods.answered(DEVICE, rid, 502, b"")
    assert site.events == [MethodAnswerIgnored("d1", IgnoredAnswer.UNKNOWN_CALL)] * 3


async def test_a_device_that_was_cut_off_may_answer_by_its_next_connection() -> None:
    site = Site()
    calling = site.begin()
    rid = await site.callee.rid()
    site.methods.unsubscribe(DEVICE, site.callee)
    site.methods.subscribe(DEVICE, RecordedCallee())
    site.methods.answered(DEVICE, rid, 200, b"")
    assert (await calling).status == 200


async def test_watchers_hear_who_takes_calls_and_no_takeover() -> None:
    site, told, newer = Site(), list[tuple[object, ...]](), RecordedCallee()
    watcher: Watcher = lambda *said: told.append(said)  # noqa: E731 — a function would take a bare boolean
    site.methods.watch(watcher)
    site.methods.subscribe(OTHER, site.callee)
    site.methods.subscribe(OTHER, newer)
    site.methods.unsubscribe(OTHER, site.callee)
    assert set(site.methods.listeners()) == {DEVICE, OTHER}
    site.methods.unsubscribe(OTHER, newer)
    assert told == [(OTHER, True), (OTHER, False)]
    site.methods.unwatch(watcher)
    site.methods.subscribe(OTHER, newer)
    assert len(told) == 2
