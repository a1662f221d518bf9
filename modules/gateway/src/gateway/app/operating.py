"""Knows how the gateway does: its metrics, whether it lives and is ready, and the watchdog that ends it when stuck."""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from gateway.app.control import Answerer
from gateway.app.gauges import Gauges, Sources
from gateway.app.health import Health
from gateway.app.pulse import BEAT_S, Pulse
from gateway.app.settings import Environment
from gateway.observe.edgehub import EdgeHubMetrics
from gateway.observe.metrics import Metrics
from gateway.observe.observer import Observer
from gateway.observe.process import GatewayStuck, StuckPart
from gateway.store.runner import ThreadRunner
from gateway.store.store import Store

if TYPE_CHECKING:
    from gateway.app.watchdog import Watchdog
    from gateway.observe.ledger import Ledger

ROUND_TRIPS: Final = "From sending a message to its acknowledgement, of a sample of them"
COMMITS: Final = "Writing and syncing one batch of messages"
LAGS: Final = "How late the event loop is, asked once a second"

LastWord = Callable[[GatewayStuck], str]
"""Writes the line with which a stuck gateway ends."""


class ListenerLostError(Exception):
    """A listener takes nobody any more; the text is the gateway's last word."""


class Operating:
    """One for the gateway, from before anything is open: what counts events must hear the first.

    `on_fault` ends the gateway in good order, with this as its last word.
    """

    def __init__(
        self,
        environment: Environment,
        environ: Mapping[str, str],
        observer: Observer,
        metrics: Metrics,
        on_fault: Callable[[Exception], None],
    ) -> None:
        self._watchdog_s = environment.watchdog_secs
        self._per_device = environment.metrics_per_device
        self._metrics = metrics
        self._on_fault = on_fault
        self.names = (environment.hub_name, environ.get("IOTEDGE_DEVICEID", ""), uuid.uuid4().hex)
        self.health = Health()
        self.round_trips = metrics.histograms("gateway_round_trip_seconds", ROUND_TRIPS, ("endpoint",))
        self._commits = metrics.histograms("gateway_store_commit_seconds", COMMITS).of()
        lags = metrics.histograms("gateway_event_loop_lag_seconds", LAGS).of()
        self.pulse = Pulse(lags, min(BEAT_S, self._watchdog_s / 10) or BEAT_S)
        self._edgehub = EdgeHubMetrics(metrics, self.names, time.monotonic)
        observer.listen(self._edgehub.on_event)
        self._runner: ThreadRunner | None = None
        self._watchdog: Watchdog | None = None
        self._is_listening: Callable[[], bool] = lambda: True
        self._deaf_s = 0
        self.chores: list[Callable[[], None]] = []
        """What is to be called each second."""
        self.last_word: LastWord = GatewayStuck.sentence
        self.answers: Mapping[str, Answerer] = {"health": self._answer}

    def begin(self, rooms: AsyncExitStack) -> ThreadRunner:
        """Before all else, so that it ends last. Gives the thread that the store is to work on."""
        self.pulse.start()
        rooms.callback(self._end)
        self._runner = ThreadRunner(asyncio.get_running_loop())
        return self._runner

    def measure(self, store: Store) -> None:
        """The store is open."""
        store.measure(self._commits)

    def follow(self, received: Callable[[], int], ledger: "Ledger") -> None:
        """Where messages are counted."""
        self._edgehub.follow(received, ledger if self._per_device else None)

    def open(self, sources: Sources, is_listening: Callable[[], bool]) -> None:
        """All is open: tell what there is to know, and watch."""
        self._is_listening = is_listening
        self.health.look_at(
            store_state=lambda: sources.store().state, is_listening=is_listening, is_stuck=self._is_stuck
        )
        Gauges(sources).open(self._metrics)
        if self._watchdog_s:
            self._watch()

    def second(self) -> None:
        """To be called each second."""
        for chore in self.chores:
            chore()
        self._deaf_s = 0 if self._is_listening() else self._deaf_s + 1
        if self._watchdog_s and self._deaf_s == self._watchdog_s:
            self._on_fault(
                ListenerLostError(
                    f"a listener has had no socket for {self._deaf_s} s, and devices cannot come: the gateway ends, "
                    "so that a start opens it again. Everything acknowledged is on disk"
                )
            )

    def _watch(self) -> None:
        from gateway.app.watchdog import Watchdog, Words  # noqa: PLC0415 — it may be off

        assert self._runner is not None
        self._watchdog = Watchdog(
            self._watchdog_s,
            loop=lambda: self.pulse.beats,
            writer=self._runner.at_work,
            words=Words(line=self.last_word),
        )
        self._watchdog.start()

    def _end(self) -> None:
        self.pulse.stop()
        if self._watchdog is not None:
            self._watchdog.stop()

    def _is_stuck(self) -> bool:
        return self._watchdog is not None and self._watchdog.silent_s(StuckPart.STORE) > self._watchdog_s / 2

    async def _answer(self, _question: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.health.report()
