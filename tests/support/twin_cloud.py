"""A cloud for twins, in memory: up or away, refusing or slow as told, with the document it holds of each device."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson

from edgewire.iothub.twins import Document, merged
from edgewire.message import Identity
from gateway.dispatch.twins import TwinCloudAwayError, TwinRefusedError, Twins
from gateway.twin.opening import open_store

T = TypeVar("T")


class CloudTwin:
    """One twin as the cloud holds it."""

    def __init__(self) -> None:
        self.desired: Document = {}
        self.desired_version = 1
        self.reported: Document = {}
        self.reported_version = 1


class FakeTwinCloud:
    """A `TwinCloud`. What it did is in `calls`."""

    def __init__(self, twins: Twins) -> None:
        self._twins_here = twins
        self.twins: dict[Identity, CloudTwin] = {}
        self.up = True
        self.calls: list[tuple[str, Identity]] = []
        self.watched: set[Identity] = set()
        self.refuses: TwinRefusedError | None = None
        self.says_no_version = False
        self.breaks_after: int | None = None
        """Calls that still are answered; the one after them is done, and its answer is lost with the link."""
        self.gate: asyncio.Event | None = None
        """Calls wait for it."""

    def twin(self, who: Identity) -> CloudTwin:
        """The twin of `who`."""
        return self.twins.setdefault(who, CloudTwin())

    # What a person does.

    def desire(self, who: Identity, patch: Document, *, told: bool = True) -> None:
        """Patch the desired properties; whoever watches is told, unless it gets lost."""
        twin = self.twin(who)
        twin.desired = merged(twin.desired, patch)
        twin.desired_version += 1
        if told and self.up and who in self.watched:
            self._twins_here.on_desired(who, orjson.dumps({**patch, "$version": twin.desired_version}))

    def go_away(self) -> None:
        """The link breaks."""
        self.up = False

    def come_back(self) -> None:
        """The link is there again, for all that want it."""
        self.up = True
        self.breaks_after = None
        for who in self._twins_here.wanted():
            self._twins_here.on_up(who)

    # What the gateway asks.

    def is_up(self, _who: Identity) -> bool:
        """Whether calls have a chance."""
        return self.up

    async def read(self, who: Identity) -> bytes:
        """The document."""

        def answer() -> bytes:
            twin = self.twin(who)
            document: Any = {
                "desired": {**twin.desired, "$version": twin.desired_version},
                "reported": {**twin.reported, "$version": twin.reported_version},
            }
            return orjson.dumps(document)

        return await self._answer("read", who, answer)

    async def report(self, who: Identity, patch: bytes) -> int | None:
        """Merge into reported."""

        def answer() -> int | None:
            twin = self.twin(who)
            twin.reported = merged(twin.reported, orjson.loads(patch))
            twin.reported_version += 1
            return None if self.says_no_version else twin.reported_version

        return await self._answer("report", who, answer)

    def watch(self, who: Identity) -> None:
        """Changes are wanted."""
        self.watched.add(who)

    def unwatch(self, who: Identity) -> None:
        """They are not."""
        self.watched.discard(who)

    async def _answer(self, call: str, who: Identity, answer: Callable[[], T]) -> T:
        self.calls.append((call, who))
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if not self.up:
            raise TwinCloudAwayError
        if self.refuses is not None:
            raise self.refuses
        result = answer()
        if self.breaks_after is not None:
            self.breaks_after -= 1
            if self.breaks_after < 0:
                self.up = False
                raise TwinCloudAwayError
        return result


@asynccontextmanager
async def served(twins: Twins, folder: Path) -> AsyncIterator[FakeTwinCloud]:
    """Twins with a store in `folder` and a cloud, at work."""
    store = await open_store(folder / "twins.db", None, lambda _: None)
    cloud = FakeTwinCloud(twins)
    twins.use(cloud)
    twins.keep_in(store)
    running = asyncio.create_task(twins.run())
    try:
        yield cloud
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()
