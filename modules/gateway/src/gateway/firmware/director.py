"""Drives roll-outs: asks boards when it is their turn, hears what becomes of them, keeps the book.

A board is asked by the direct method `update`, which it answers at once and then restarts; what became of it, it says
in its reported properties. Boards that are away are asked when they come. Use it on the loop.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import orjson

from edgewire.message import Identity, identity
from gateway.dispatch.methods import MethodError, MethodFault, MethodResult, Methods
from gateway.firmware.boards import NOBODY, Board, model_by_id, read_board, read_report
from gateway.firmware.book import Book, read_book, text_of, write_book
from gateway.firmware.bundle import Manifest, is_name
from gateway.firmware.files import FilesError
from gateway.firmware.release import ReleaseKey, ReleaseKeyError
from gateway.firmware.rollout import GOING, Happening, Order, Progress, Rollout, Stage, Terms
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

METHOD: Final = "update"
ANSWER_S: Final = 30.0
"""For a board to answer that it will; it answers before it begins."""
KEEP_S: Final = 5.0
"""So often at most is the progress of boards written: a card of a Pi wears out."""
MAX_SHOWN_ANSWER: Final = 200
"""Characters of a board's answer in the log."""

_FAILURES: Final = {Progress.FAILED: BoardFailure.FAILED, Progress.SILENT: BoardFailure.SILENT}
_TURNS: Final = {
    Order.PAUSE: RolloutTurn.PAUSED,
    Order.RESUME: RolloutTurn.RESUMED,
    Order.ABORT: RolloutTurn.ABORTED,
    Order.SPREAD: RolloutTurn.SPREAD,
}


class RolloutError(Exception):
    """That cannot be done; `status` as in HTTP, the text says why and what to do."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


class Director:
    """All roll-outs of one gateway. `clock` only goes forward. Raises FilesError if the book cannot be read."""

    def __init__(
        self,
        store: FirmwareStore,
        methods: Methods,
        *,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        release_key: Callable[[], ReleaseKey | None],
    ) -> None:
        self._store = store
        self._methods = methods
        self._emit = emit
        self._clock = clock
        self._release_key = release_key
        self._book: Book = read_book(store.folder, emit)
        self._pinned_asked: set[str] = set()
        """Pinned boards that were asked since they came: once is enough."""
        self._wake = asyncio.Event()
        self._keeping = asyncio.Lock()
        self._is_news = False
        self._kept_at = -KEEP_S
        for rollout in self._book.rollouts.values():
            rollout.begin_again(clock())

    # What is told.

    def came(self, who: Identity, takes: bool) -> None:  # noqa: FBT001 — a watcher of Methods
        """A device takes calls of methods from now on, or does not any more."""
        self._pinned_asked.discard(who.device)
        if not takes or who.module is not None:
            return
        self._meet(who.device, self._book.boards.get(who.device, NOBODY))
        for rollout in self._book.rollouts.values():
            rollout.come_back(who.device, self._clock())
        self._wake.set()

    def heard(self, who: Identity, patch: Mapping[str, Any], _version: int | None = None) -> None:
        """A device has reported this."""
        if who.module is None:
            board = read_report(patch, self._book.boards.get(who.device, NOBODY))
            if board is not None:
                self._meet(who.device, board)

    def met(self, device: str, model: str) -> None:
        """A board has said by another way which model it is."""
        before = self._book.boards.get(device, NOBODY)
        if is_name(model) and before.model != model:
            self._meet(device, read_board({"model": model}, before))

    def _meet(self, device: str, board: Board) -> None:
        """Keep how a board is now, and what follows for its roll-out."""
        if not board.model:
            model = model_by_id(device, self._known_models())
            if not model:
                return  # some device, no board
            board = read_board({"model": model}, board)
        before = self._book.boards.get(device)
        if before is not None and before.model != board.model and before.model in self._book.rollouts:
            self._book.rollouts[before.model].drop(device)
        self._book.note(device, board)
        self._is_news |= board != before
        rollout = self._book.rollouts.get(board.model)
        if rollout is None or device in self._book.pins:
            return
        if device not in rollout.boards:
            rollout.admit(device, board)
            self._is_news = True
        else:
            self._follow(rollout, device, rollout.hear(device, board, self._clock()))
        self._wake.set()

    def _known_models(self) -> frozenset[str]:
        return self._store.models() | self._book.rollouts.keys()

    # What boards may have.

    def meant_for(self, device: str, model: str) -> Manifest | None:
        """The manifest of the version that a board of this model should run; None if there is none.

        That is its pin, else the roll-out's if it is the board's turn, else the last that came through one.
        """
        version = self._book.pins.get(device)
        rollout = self._book.rollouts.get(model)
        if version is None and rollout is not None and rollout.is_meant_for(device):
            version = rollout.version
        if version is None:
            version = self._book.released.get(model)
        return None if version is None else self._store.find(model, version)

    # What operators tell.

    async def start(self, version: str, model: str | None, terms: Terms) -> Mapping[str, Any]:
        """Begin to roll out a version. Raises RolloutError."""
        manifest = self._manifest(version, model)
        self._check_signature(manifest)
        before = self._book.rollouts.get(manifest.model)
        if before is not None and before.stage is not Stage.ABORTED and not before.is_complete:
            raise RolloutError(
                409,
                f"the roll-out of {before.version} to boards '{before.model}' is {before.stage.value}; abort it before "
                "another begins",
            )
        rollout = Rollout(model=manifest.model, version=version, serial=manifest.serial, terms=terms)
        self._book.rollouts[manifest.model] = rollout
        for device in self._connected():
            self._meet(device, self._book.boards.get(device, NOBODY))
        for device, board in self._book.boards.items():
            if board.model == manifest.model and device not in self._book.pins:
                rollout.admit(device, board)
        self._say(rollout, RolloutTurn.STARTED)
        return await self._done(rollout)

    async def order(self, order: Order, model: str | None) -> Mapping[str, Any]:
        """Pause, resume or abort a roll-out. Raises RolloutError."""
        rollout = self._rollout(model)
        if not rollout.obey(order):
            raise RolloutError(
                409, f"the roll-out of {rollout.version} is {rollout.stage.value}: there is nothing to {order.value}"
            )
        self._say(rollout, _TURNS[order])
        return await self._done(rollout)

    async def pin(self, device: str, version: str) -> Mapping[str, Any]:
        """Keep a board at a version, whatever is rolled out. Raises RolloutError."""
        board = self._book.boards.get(device, NOBODY)
        model = board.model or model_by_id(device, self._store.models())
        if not model:
            raise RolloutError(404, f"no board '{device}' has been seen, and its id does not begin with a model's name")
        manifest = self._manifest(version, model)
        self._check_signature(manifest)
        if board.serial > manifest.serial:
            raise RolloutError(
                409,
                f"'{device}' runs {board.version}, which is newer, and would refuse {version}: pack the older program "
                "anew with a larger serial",
            )
        self._book.pins[device] = version
        for rollout in self._book.rollouts.values():
            rollout.drop(device)
        self._pinned_asked.discard(device)
        await self._keep_now()
        return {"device": device, "pinned": version}

    async def unpin(self, device: str) -> Mapping[str, Any]:
        """Let a board follow the roll-outs again. Raises RolloutError."""
        if self._book.pins.pop(device, None) is None:
            raise RolloutError(404, f"'{device}' is not pinned")
        board = self._book.boards.get(device)
        if board is not None:
            self._meet(device, board)
        await self._keep_now()
        return {"device": device, "pinned": None}

    def status(self) -> Mapping[str, Any]:
        """All roll-outs, which versions boards run, and pins."""
        versions: dict[str, dict[str, int]] = {}
        for board in self._book.boards.values():
            of_model = versions.setdefault(board.model, {})
            of_model[board.version or "unknown"] = of_model.get(board.version or "unknown", 0) + 1
        return {
            "rollouts": [_shown(rollout) for rollout in self._book.rollouts.values()],
            "boards": versions,
            "pins": dict(self._book.pins),
            "released": dict(self._book.released),
        }

    def _manifest(self, version: str, model: str | None) -> Manifest:
        """The one manifest of this version. Raises RolloutError."""
        if model is not None:
            found = [self._store.find(model, version)]
        else:
            found = [each for each in self._store.all() if each.version == version]
        manifests = [each for each in found if each is not None]
        of_model = "" if model is None else f" for boards '{model}'"
        if not manifests:
            raise RolloutError(
                404, f"there is no version {version}{of_model}; `gateway firmware list` shows what there is"
            )
        if len(manifests) > 1:
            models = ", ".join(each.model for each in manifests)
            raise RolloutError(400, f"version {version} is there for {models}: say for which with --model")
        return manifests[0]

    def _check_signature(self, manifest: Manifest) -> None:
        try:
            key = self._release_key()
            if key is not None:
                key.check(manifest)
        except ReleaseKeyError as error:
            raise RolloutError(409, str(error)) from error

    def _rollout(self, model: str | None) -> Rollout:
        """The roll-out of a model, or the only one that is not over. Raises RolloutError."""
        if model is None:
            open_ones = [each for each in self._book.rollouts.values() if each.stage is not Stage.ABORTED]
            if len(open_ones) > 1:
                models = ", ".join(each.model for each in open_ones)
                raise RolloutError(400, f"there are roll-outs for {models}: say which with --model")
            found = open_ones[0] if open_ones else None
        else:
            found = self._book.rollouts.get(model)
        if found is None:
            raise RolloutError(404, "there is no such roll-out; `gateway firmware status` shows all")
        return found

    async def _done(self, rollout: Rollout) -> Mapping[str, Any]:
        await self._keep_now()
        return _shown(rollout)

    # Working.

    async def run(self) -> None:
        """Work until cancelled."""
        self._methods.watch(self.came)
        try:
            for who in self._methods.listeners():
                self.came(who, True)
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._wake.clear()
                    self._step(tasks)
                    if self._is_news and self._clock() - self._kept_at >= KEEP_S:
                        await self._keep_quietly()
                    await self._rest()
        finally:
            self._methods.unwatch(self.came)

    async def close(self) -> None:
        """Keep what is not kept yet."""
        if self._is_news:
            await self._keep_quietly()

    async def _rest(self) -> None:
        """Until something happens, or is due."""
        deadlines = [rollout.deadline() for rollout in self._book.rollouts.values() if rollout.stage in GOING]
        if self._is_news:
            deadlines.append(self._kept_at + KEEP_S)
        ends = [at for at in deadlines if at is not None]
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.01, min(ends) - self._clock()) if ends else None):
                await self._wake.wait()

    def _step(self, tasks: asyncio.TaskGroup) -> None:
        now = self._clock()
        connected = self._connected()
        for rollout in self._book.rollouts.values():
            for device in rollout.overdue(now):
                self._follow(rollout, device, rollout.happen(device, Happening.OVERDUE, now))
            self._judge(rollout)
            for device in rollout.due(connected, now):
                rollout.happen(device, Happening.ASKED, now)
                tasks.create_task(self._ask_for(rollout, device), name=f"update of {device}")
        for device in connected & self._book.pins.keys() - self._pinned_asked:
            if self._book.boards.get(device, NOBODY).version != self._book.pins[device]:
                self._pinned_asked.add(device)
                tasks.create_task(self._ask_pinned(device), name=f"update of {device}")

    def _connected(self) -> set[str]:
        return {who.device for who in self._methods.listeners() if who.module is None}

    def _judge(self, rollout: Rollout) -> None:
        """Stop a roll-out that fails, spread one that came through its canaries, and see whether it is complete."""
        order = rollout.judge()
        if order is not None:
            rollout.obey(order)
            self._is_news = True
            if order is Order.STOP:
                self._emit(RolloutStopped(rollout.model, rollout.version, rollout.failures))
            else:
                self._say(rollout, _TURNS[order])
        if rollout.completes():
            self._book.released[rollout.model] = rollout.version
            self._is_news = True
            self._say(rollout, RolloutTurn.COMPLETED)

    async def _ask_for(self, rollout: Rollout, device: str) -> None:
        happening, detail = await self._ask(device, rollout.model, rollout.version)
        progress = rollout.happen(device, happening, self._clock())
        if happening is Happening.REFUSED and progress is Progress.FAILED:
            self._is_news = True
            self._emit(BoardNotUpdated(device, rollout.version, BoardFailure.REFUSED, detail))
        else:
            self._follow(rollout, device, progress)
        self._wake.set()

    async def _ask_pinned(self, device: str) -> None:
        version = self._book.pins.get(device)
        board = self._book.boards.get(device)
        if version is None or board is None:
            return
        happening, detail = await self._ask(device, board.model, version)
        if happening is Happening.REFUSED:
            self._emit(BoardNotUpdated(device, version, BoardFailure.REFUSED, detail))

    async def _ask(self, device: str, model: str, version: str) -> tuple[Happening, str]:
        """Call a board's method `update`. Returns what came of it, and what it said to a no."""
        try:
            result = await self._methods.invoke(
                identity(device),
                METHOD,
                orjson.dumps(update_of(model, version)),
                connect_timeout_s=0.0,
                response_timeout_s=ANSWER_S,
            )
        except MethodError as error:
            is_ours = error.fault is MethodFault.BAD_REQUEST
            return (Happening.REFUSED if is_ours else Happening.UNREACHED), error.what
        if _is_yes(result):
            return Happening.ACCEPTED, ""
        return Happening.REFUSED, f"{result.status} {result.payload[:MAX_SHOWN_ANSWER].decode(errors='replace')}"

    def _follow(self, rollout: Rollout, device: str, progress: Progress | None) -> None:
        """Say what became of a board."""
        if progress is None:
            return
        self._is_news = True
        if progress is Progress.DONE:
            self._emit(BoardUpdated(device, rollout.version))
        elif progress in _FAILURES:
            reason = self._book.boards.get(device, NOBODY).reason if progress is Progress.FAILED else ""
            self._emit(BoardNotUpdated(device, rollout.version, _FAILURES[progress], reason))

    def _say(self, rollout: Rollout, turn: RolloutTurn) -> None:
        self._emit(RolloutTurned(rollout.model, rollout.version, turn))

    # The book.

    async def _keep_now(self) -> None:
        """Raises RolloutError if the disk does not take it; it holds until the next start all the same."""
        self._wake.set()
        try:
            await self._keep()
        except FilesError as error:
            self._emit(RolloutsNotKept(str(error)))
            raise RolloutError(503, f"it holds until the gateway stops, for it was not kept: {error}") from error

    async def _keep_quietly(self) -> None:
        try:
            await self._keep()
        except FilesError as error:
            self._emit(RolloutsNotKept(str(error)))

    async def _keep(self) -> None:
        async with self._keeping:
            self._is_news = False
            self._kept_at = self._clock()
            await asyncio.to_thread(write_book, self._store.folder, text_of(self._book))


def update_of(model: str, version: str) -> dict[str, str]:
    """What a board is told of the version that it should run, and where its manifest is."""
    return {"version": version, "manifest": f"/firmware/v1/manifests/{model}/{version}"}


def _is_yes(result: MethodResult) -> bool:
    if result.status >= 400:
        return False
    try:
        said = orjson.loads(result.payload) if result.payload else None
    except orjson.JSONDecodeError:
        return False
    return not isinstance(said, dict) or said.get("accepted") is not False


def _shown(rollout: Rollout) -> dict[str, Any]:
    """A roll-out for operators."""
    terms = rollout.terms
    return {
        "model": rollout.model,
        "version": rollout.version,
        "serial": rollout.serial,
        "stage": rollout.stage.value,
        "complete": rollout.is_complete,
        "canary": str(terms.canary),
        "canaryBoards": rollout.canary_size,
        "maxFailures": str(terms.max_failures),
        "atOnce": terms.at_once,
        "boards": rollout.counts(),
        "notDone": rollout.named(frozenset(Progress) - {Progress.DONE, Progress.WAITING, Progress.NEWER}),
    }
