"""Stages of the routes that make batches or aggregates: made when something of theirs is forwarded, and their files.

A file holds what a stage of windows has counted: `{"stage": [route, how], "state": {…}}`, in `sending/` of the data.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgewire.message import Delivery, Endpoint, Identity, identity, stage_of
from gateway.identity.locked_file import replace_file
from gateway.observe.events import Event
from gateway.observe.sending import SendingNotRead
from gateway.store.store import Store
from gateway.store.values import StoreState

if TYPE_CHECKING:
    from gateway.sending.how import Aggregate
    from gateway.sending.stage import Stage, Surroundings

FOLDER: Final = "sending"
FINISH_S: Final = 1.0
"""For stages to let go what they hold when the gateway stops; the rest is read again after the next start."""
NEARLY_FULL: Final = 0.75
"""Of the store's bytes: from there on what waits to be made into something waits shortly."""


class SendingRoom:
    """All stages. A gateway whose routes have none loads nothing of them."""

    def __init__(self, store: Store, data: Path, environ: Mapping[str, str], emit: Callable[[Event], None]) -> None:
        self._store = store
        self._folder = data / FOLDER
        self._module = own_identity(environ)
        self._emit = emit
        self._stages: dict[Endpoint, Stage] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def way(self, endpoint: Endpoint) -> "Stage | None":
        """The stage of an endpoint; None if another version of the gateway wrote what is to be made there."""
        stage = self._stages.get(endpoint)
        if stage is None and (stage := self._make(endpoint)) is not None:
            self._stages[endpoint] = stage
            if self._tasks is not None:
                self._tasks.create_task(stage.run(), name=str(endpoint))
        return stage

    def left_over(self, in_force: Iterable[Endpoint]) -> frozenset[Endpoint]:
        """Stages of earlier routes whose windows are not sent yet, though nothing of them waits in the store."""
        known = {*in_force, *self._store.endpoints()}
        found = set()
        for path in sorted(self._folder.glob("*.json")):
            kept = self._read(path)
            if kept is None:
                continue
            stage, state = kept
            if state.get("tallies"):
                found.add(stage)
            elif stage not in known:
                path.unlink()
        return frozenset(found)

    async def run(self) -> None:
        """Run the stages there are and will be, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for endpoint, stage in self._stages.items():
                tasks.create_task(stage.run(), name=str(endpoint))
            await asyncio.Event().wait()

    async def finish(self) -> None:
        """Let go what is held, before the forwarders stop: so an orderly stop repeats nothing."""
        finishing = [asyncio.ensure_future(stage.finish()) for stage in self._stages.values()]
        if finishing:
            _, late = await asyncio.wait(finishing, timeout=FINISH_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*finishing, return_exceptions=True)

    def _make(self, endpoint: Endpoint) -> "Stage | None":
        from gateway.sending.how import Batch, how_of  # noqa: PLC0415 — most routes send what they match
        from gateway.sending.stage import BatchStage  # noqa: PLC0415 — as above

        how = how_of(endpoint)
        if how is None or endpoint.name is None:
            return None
        if isinstance(how.making, Batch):
            return BatchStage(endpoint.name, how.making, how.delivery, self._surroundings())
        return self._make_windows(endpoint, endpoint.name, how.making, how.delivery)

    def _make_windows(self, endpoint: Endpoint, route: str, making: "Aggregate", delivery: Delivery) -> "Stage":
        from gateway.sending.stage import AggregateStage  # noqa: PLC0415 — as in _make

        head = json.dumps([endpoint.name, endpoint.input]).encode()
        path = self._folder / f"{hashlib.sha256(head).hexdigest()[:24]}.json"
        reader = self._store.reader(endpoint)

        def keep(state: bytes) -> None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            replace_file(path, b'{"stage":%b,"state":%b}' % (head, state))

        def caught_up() -> bool:
            return not reader.ready

        stage = AggregateStage(route, making, delivery, self._surroundings(), keep=keep, caught_up=caught_up)
        kept = self._read(path)
        if kept is not None:
            try:
                stage.restore(kept[1])
            except (ValueError, KeyError, TypeError) as error:
                self._set_aside(path, error)
        return stage

    def _surroundings(self) -> "Surroundings":
        from gateway.sending.stage import Surroundings  # noqa: PLC0415 — as in _make

        return Surroundings(
            append=self._store.append,
            pressed=self._is_pressed,
            emit=self._emit,
            now=time.monotonic,
            clock=time.time,
            module=self._module,
        )

    def _is_pressed(self) -> bool:
        status = self._store.status()
        nearly_full = status.max_bytes is not None and status.bytes > status.max_bytes * NEARLY_FULL
        return nearly_full or status.state is not StoreState.READY

    def _read(self, path: Path) -> tuple[Endpoint, dict[str, Any]] | None:
        """The stage a file is of, and its state; None if it is not there, or is of no use."""
        try:
            found = json.loads(path.read_bytes())
            (route, how), state = found["stage"], found["state"]
            return stage_of(route, how), dict(state)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._set_aside(path, error)
            return None

    def _set_aside(self, path: Path, error: Exception) -> None:
        self._emit(SendingNotRead(str(path), f"{type(error).__name__}: {error}"))
        try:
            path.replace(path.with_suffix(".damaged"))
        except OSError:
            return  # it stays, is not read again before the next start, and is written over


def own_identity(environ: Mapping[str, str]) -> Identity:
    """Who sends what is of several devices: the gateway's module, by whatever name IoT Edge gave it."""
    return identity(environ.get("IOTEDGE_DEVICEID") or "gateway", environ.get("IOTEDGE_MODULEID") or "gateway")
