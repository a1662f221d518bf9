import asyncio
import threading
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any, cast

from gateway.app.gauges import Sources
from gateway.app.operating import ListenerLostError, Operating
from gateway.app.settings import read_environment
from gateway.app.watchdog import LOOKS
from gateway.observe.metrics import Metrics
from gateway.observe.observer import Observer
from gateway.observe.process import StuckPart
from gateway.store.values import StoreState
from support.gateway_site import until

NO_SOURCES = cast("Sources", SimpleNamespace(store=lambda: SimpleNamespace(state=StoreState.READY)))


class Site:
    def __init__(self, **environment: str) -> None:
        self.faults: list[Exception] = []
        self.operating = Operating(
            read_environment({"GATEWAY_HUB_NAME": "hub.example", **environment}),
            {"IOTEDGE_DEVICEID": "edge-1"},
            Observer(),
            Metrics(),
            self.faults.append,
        )


async def answer(operating: Operating) -> Any:
    return await operating.answers["health"]({"ask": "health"})


async def test_it_answers_for_health_from_the_start() -> None:
    operating = Site().operating
    assert await answer(operating) == {"live": True, "ready": False, "reasons": ["starting"]}
    async with AsyncExitStack() as rooms:
        operating.begin(rooms)
        operating.open(NO_SOURCES, lambda: True)
        operating.health.started()
        assert await answer(operating) == {"live": True, "ready": True, "reasons": []}
    assert operating.names[:2] == ("hub.example", "edge-1")


async def test_a_listener_that_is_gone_ends_the_gateway_after_a_while() -> None:
    site = Site(GATEWAY_WATCHDOG_SECS="30")
    listening = [True, *[False] * 29, True, *[False] * 31]
    async with AsyncExitStack() as rooms:
        site.operating.begin(rooms)
        site.operating.open(NO_SOURCES, lambda: listening.pop(0))
        while listening:
            site.operating.second()
            assert len(site.faults) == (1 if len(listening) < 2 else 0)
    assert isinstance(site.faults[0], ListenerLostError)
    assert "a listener has had no socket for 30 s" in str(site.faults[0])


async def test_without_a_watchdog_nothing_ends_it() -> None:
    site = Site(GATEWAY_WATCHDOG_SECS="0")
    async with AsyncExitStack() as rooms:
        site.operating.begin(rooms)
        site.operating.open(NO_SOURCES, lambda: False)
        for _ in range(100):
            site.operating.second()
    assert site.faults == []


async def test_chores_are_done_each_second() -> None:
    done: list[int] = []
    operating = Site().operating
    operating.chores.append(lambda: done.append(1))
    operating.second()
    operating.second()
    assert done == [1, 1]


async def test_a_write_that_does_not_come_back_is_known_before_the_end() -> None:
    operating = Site(GATEWAY_WATCHDOG_SECS="3600").operating  # its thread will not look before this is over
    free = asyncio.Event()
    async with AsyncExitStack() as rooms:
        runner = operating.begin(rooms)
        operating.open(NO_SOURCES, lambda: True)
        operating.health.started()
        watchdog = operating._watchdog
        assert watchdog is not None
        assert watchdog._thread.is_alive()
        (store,) = (patience for patience in watchdog._parts if patience.part is StuckPart.STORE)
        gate = threading.Event()
        runner.submit(gate.wait, lambda _: free.set())
        await until(lambda: runner.at_work() is not None)
        for _ in range(LOOKS // 2 + 1):  # the first sees what it is at
            store.look()
            assert (await answer(operating))["live"]
        store.look()
        assert await answer(operating) == {"live": False, "ready": False, "reasons": ["store_stuck"]}
        gate.set()
        await asyncio.wait_for(free.wait(), 20)
        store.look()
        assert (await answer(operating))["live"]
        runner.close()
