"""Twins: devices read theirs, report, and hear what is desired; the cloud is asked, or the mirror on disk answers.

What happens to one identity's twin happens one after the other, in the order in which it was asked; identities do not
wait for each other. What a mirror becomes by each is said in `gateway.twin.mirror`.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import orjson

from edgewire.iothub.twins import Document, TwinError, read_patch
from edgewire.message import Identity
from gateway.dispatch.twin_desk import (
    AWAY,
    NO_CONTENT,
    OK,
    TOO_LARGE,
    TOO_MANY,
    TWINS_NOT_SERVED,
    Answer,
    TwinReply,
    TwinWatcher,
    failed,
)
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
from gateway.twin import mirror as mirrors
from gateway.twin.mirror import BadDocumentError, DesiredPatch, Mirror, Step, TwinDocument
from gateway.twin.store import TwinStore, TwinStoreError

MAX_WAITING_REQUESTS: Final = 32
"""Requests of one identity that are not answered yet; SDKs have one or two. Others are answered 429."""
MAX_WAITING_JOBS: Final = 64
"""Requests and changes of one identity that wait; beyond it, changes are not followed one by one but read at once."""
MAX_WAITING_REQUESTS_IN_ALL: Final = 2_000
"""Of all identities; each may hold a patch of 64 KiB, most hold some hundred bytes."""
MAX_PATCH_BYTES: Final = 65_536
"""A patch as it comes: a section of 32 KiB, with brackets and escapes."""
MAX_CLOUD_CALLS: Final = 32
"""Calls to the cloud at once, of all identities: when a link is back, a thousand devices do not ask together."""
CLOUD_CALL_S: Final = 30.0
"""For the cloud to answer; the SDKs of devices wait 30 s or longer."""
RETRY_S: Final = 30.0
"""After a call that failed though the link is there; plus or minus half of it, so that devices do not try together."""


class TwinCloudAwayError(Exception):
    """There is no link for this identity now, or it broke: the request may or may not have been heard."""


class TwinRefusedError(Exception):
    """The cloud answered no, with its status."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.what = what

    @property
    def is_for_now(self) -> bool:
        """Whether the same request may be taken later: throttled, or a fault of the cloud's own."""
        return self.status in (408, TOO_MANY) or self.status >= 500


class TwinCloud(Protocol):
    """The way upstream, for twins. All is called on the loop.

    It calls `Twins.on_up` for each identity of `Twins.wanted()` whose link is there (again), and `Twins.on_desired`.
    """

    def is_up(self, who: Identity) -> bool:
        """Whether `read` and `report` have a chance now; if not, they are not called."""
        ...

    async def read(self, who: Identity) -> bytes:
        """The twin as the cloud tells devices. Raises TwinCloudAwayError, TwinRefusedError."""
        ...

    async def report(self, who: Identity, patch: bytes) -> int | None:
        """Patch the reported properties. Returns their version. Raises TwinCloudAwayError, TwinRefusedError."""
        ...

    def watch(self, who: Identity) -> None:
        """Changes of the desired properties are wanted from now on."""
        ...

    def unwatch(self, who: Identity) -> None:
        """They are wanted no more."""
        ...


Job = Callable[[], Coroutine[Any, Any, None]]
ReportListener = Callable[[Identity, Document, int | None], None]
"""Hears of each report that was accepted: whose, the patch, and the version that the device was told."""
T = TypeVar("T")


class Twins:
    """A desk where the heads ask for twins, and where the way upstream tells of them. Use it on the loop."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._cloud: TwinCloud | None = None
        self._store: TwinStore | None = None
        self._closed_because: str | None = None
        """Why there is no store, as far as that is known."""
        self._early: list[tuple[Identity, Answer, Job]] = []
        """Requests from before it is known whether there is a store: a start takes a moment, and devices are quick."""
        self._watchers: dict[Identity, TwinWatcher] = {}
        self._jobs: dict[Identity, deque[Job]] = {}
        self._requests: dict[Identity, int] = {}
        self._requests_in_all = 0
        self._syncing: set[Identity] = set()
        self._retries: dict[Identity, asyncio.TimerHandle] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._calls = asyncio.Semaphore(MAX_CLOUD_CALLS)
        self._listeners: list[ReportListener] = []

    # The life of it.

    def use(self, cloud: TwinCloud | None) -> None:
        """Ask this cloud; None where there is no way upstream on behalf of devices."""
        self._cloud = cloud
        if cloud is not None:
            for who in self._watchers:
                cloud.watch(who)

    def listen(self, listener: ReportListener) -> None:
        """From now on `listener` hears of each report that was accepted."""
        self._listeners.append(listener)

    @property
    def is_served(self) -> bool:
        """Whether there is a way upstream on behalf of devices; without one, every request is answered 501."""
        return self._cloud is not None

    def keep_in(self, store: TwinStore) -> None:
        """Keep mirrors here; requests that came before are worked off now."""
        self._store = store
        self._end_waiting()
        for who in self.wanted():
            if self._is_up(who):
                self.on_up(who)

    def closed_because(self, why: str) -> None:
        """There is no store yet, and why: until there is, requests are answered 503."""
        self._closed_because = why
        self._end_waiting()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for who in self._jobs:
                    tasks.create_task(self._work(who), name=f"twin of {who}")
                await asyncio.get_running_loop().create_future()
        finally:
            self._tasks = None
            for retry in self._retries.values():
                retry.cancel()

    # What heads call.

    def get(self, who: Identity, answer: Answer) -> None:
        """Read the twin of `who`; `answer` is called once."""
        self._request(who, answer, partial(self._get, who, answer))

    def report(self, who: Identity, patch: bytes, answer: Answer) -> None:
        """Patch the reported properties of `who`; `answer` is called once, with 204 when cloud or disk has it."""
        if len(patch) > MAX_PATCH_BYTES:
            answer(failed(TOO_LARGE, f"the patch has {len(patch)} bytes; {MAX_PATCH_BYTES} are allowed"))
            return
        self._request(who, answer, partial(self._report, who, patch, answer))

    def subscribe(self, who: Identity, watcher: TwinWatcher) -> None:
        """Tell `watcher` of changes of the desired properties of `who`; the newest watcher of an identity is told."""
        before = self._watchers.get(who)
        self._watchers[who] = watcher
        if before is None and self._cloud is not None:
            self._cloud.watch(who)

    def unsubscribe(self, who: Identity, watcher: TwinWatcher) -> None:
        """Tell `watcher` no more; somebody who took over stays."""
        if self._watchers.get(who) is watcher:
            del self._watchers[who]
            if self._cloud is not None:
                self._cloud.unwatch(who)

    # What the app calls.

    async def mirrored(self, who: Identity) -> bytes | None:
        """The twin of `who` as it is kept here; the cloud is not asked. None if nothing is. Raises TwinStoreError."""
        kept: asyncio.Future[Mirror] = asyncio.get_running_loop().create_future()

        async def load() -> None:
            try:
                found = await self._load(who)
            except TwinStoreError as error:
                if not kept.done():
                    kept.set_exception(error)
            else:
                if not kept.done():
                    kept.set_result(found)

        if self._store is None:
            raise TwinStoreError(self._closed_because or "the gateway has just started")
        self._add(who, load)
        return mirrors.write_shown(await kept)

    # What the way upstream calls.

    def wanted(self) -> Collection[Identity]:
        """Who has something to say to the cloud or wants to hear from it: call `on_up` for each when it can."""
        waiting = () if self._store is None else self._store.waiting()
        return {*self._watchers, *waiting}

    def on_up(self, who: Identity) -> None:
        """The link of `who` is there (again): reports that wait are sent, then what was missed is told."""
        if self._cloud is not None and self._store is not None and who not in self._syncing:
            self._syncing.add(who)
            self._add(who, partial(self._sync, who))

    def on_desired(self, who: Identity, patch: bytes) -> None:
        """The desired properties of `who` have changed; `$version` stands in the patch."""
        if self._store is None:
            return  # `keep_in` reads what was missed
        if len(self._jobs.get(who, ())) >= MAX_WAITING_JOBS:
            self.on_up(who)  # reads it, instead of change by change
        else:
            self._add(who, partial(self._change, who, patch))

    def forget(self, who: Identity) -> None:
        """The device was removed: nothing of it stays."""
        if self._store is not None:
            self._add(who, partial(self._forget, who))

    # One after the other, for each identity.

    def _request(self, who: Identity, answer: Answer, job: Job) -> None:
        if self._cloud is None:
            answer(TWINS_NOT_SERVED)
        elif self._store is None:
            self._request_early(who, answer, job)
        elif not self._has_room(who):
            answer(failed(TOO_MANY, "too many requests to twins wait for their answers"))
        else:
            self._requests[who] = self._requests.get(who, 0) + 1
            self._requests_in_all += 1
            self._add(who, partial(self._counted, who, job))

    def _request_early(self, who: Identity, answer: Answer, job: Job) -> None:
        if self._closed_because is not None:
            answer(failed(AWAY, f"twins are not served now: {self._closed_because}"))
        elif len(self._early) >= MAX_WAITING_REQUESTS_IN_ALL:
            answer(failed(TOO_MANY, "too many requests to twins wait for the start of the gateway"))
        else:
            self._early.append((who, answer, job))

    def _end_waiting(self) -> None:
        """It is known now: those that came early are asked as if they came now."""
        early, self._early = self._early, []
        for request in early:
            self._request(*request)

    def _has_room(self, who: Identity) -> bool:
        return self._requests.get(who, 0) < MAX_WAITING_REQUESTS and self._requests_in_all < MAX_WAITING_REQUESTS_IN_ALL

    async def _counted(self, who: Identity, job: Job) -> None:
        try:
            await job()
        finally:
            self._requests_in_all -= 1
            self._requests[who] -= 1
            if not self._requests[who]:
                del self._requests[who]

    def _add(self, who: Identity, job: Job) -> None:
        jobs = self._jobs.get(who)
        if jobs is not None:
            jobs.append(job)
            return
        self._jobs[who] = deque([job])
        if self._tasks is not None:
            self._tasks.create_task(self._work(who), name=f"twin of {who}")

    async def _work(self, who: Identity) -> None:
        jobs = self._jobs[who]
        while jobs:
            await jobs[0]()
            jobs.popleft()
        del self._jobs[who]

    # Requests.

    async def _get(self, who: Identity, answer: Answer) -> None:
        try:
            mirror = await self._load(who)
            document = await self._read(who)
        except TwinStoreError as error:
            answer(failed(AWAY, str(error)))
        except TwinCloudAwayError:
            shown = _from_mirror(mirror)
            answer(shown)
            if shown.status == OK:
                self._emit(TwinRead(str(who), TwinPlace.MIRROR))
        except TwinRefusedError as error:
            answer(failed(error.status, error.what))
        else:
            after = mirrors.with_read(mirror, document)
            answer(_from_mirror(after))
            self._emit(TwinRead(str(who), TwinPlace.CLOUD))
            await self._keep(who, mirror, after)

    async def _report(self, who: Identity, body: bytes, answer: Answer) -> None:
        try:
            patch = read_patch(body)
            mirror = await self._load(who)
            if mirror.waiting is None and self._is_up(who):
                reply = await self._pass_on(who, mirror, patch)
            else:
                reply = await self._put_aside(who, mirror, patch)
        except (TwinError, TwinRefusedError) as error:
            reply = failed(error.status, error.what)
        except TwinStoreError as error:
            reply = failed(AWAY, str(error))
        else:
            for listener in self._listeners:
                listener(who, patch, reply.version)
        answer(reply)

    async def _pass_on(self, who: Identity, mirror: Mirror, patch: Document) -> TwinReply:
        """Give a report to the cloud; if it goes away meanwhile, keep it."""
        try:
            version = await self._send(who, patch)
        except TwinCloudAwayError:
            return await self._put_aside(who, mirror, patch)
        self._emit(TwinReported(str(who), TwinPlace.CLOUD))
        after = mirrors.with_sent(mirror, patch, version)
        await self._keep(who, mirror, after)
        return TwinReply(status=NO_CONTENT, version=mirrors.expected_version(after) if version is None else version)

    async def _put_aside(self, who: Identity, mirror: Mirror, patch: Document) -> TwinReply:
        """Keep a report until the cloud is there; the answer to it, once the disk has it."""
        after = mirrors.with_report(mirror, patch)
        try:
            await self._shelf.save(who, after)
        except TwinStoreError as error:
            self._emit(TwinNotKept(str(who), str(error)))
            raise
        self._emit(TwinReported(str(who), TwinPlace.MIRROR))
        if self._is_up(who):
            self._retry_later(who)
        return TwinReply(status=NO_CONTENT, version=mirrors.expected_version(after))

    # What the cloud starts.

    async def _sync(self, who: Identity) -> None:
        self._syncing.discard(who)
        with suppress(TwinStoreError, TwinCloudAwayError):  # said where it was seen; on_up comes again
            mirror = await self._send_waiting(who, await self._load(who))
            if mirror is not None:
                await self._catch_up(who, mirror)

    async def _send_waiting(self, who: Identity, mirror: Mirror) -> Mirror | None:
        """Send the reports that wait; the mirror after that, None if they have to wait on."""
        if mirror.waiting is None:
            return mirror
        after = mirror
        try:
            for patch in mirror.waiting.in_order():
                after = mirrors.with_sent(after, patch, await self._send(who, patch))
        except TwinRefusedError as error:
            if error.is_for_now:
                self._retry_later(who)
                return None
            self._emit(TwinReportRefused(str(who), error.status, error.what))
        else:
            self._emit(TwinReportsSent(str(who)))
        after = mirrors.without_waiting(after)
        await self._keep(who, mirror, after)
        return after

    async def _change(self, who: Identity, body: bytes) -> None:
        try:
            change = mirrors.read_desired(body)
        except BadDocumentError as error:
            self._emit(TwinChangeUnreadable(str(who), str(error)))
            return
        with suppress(TwinStoreError, TwinCloudAwayError):  # as in _sync
            mirror = await self._load(who)
            match mirrors.step_of(mirror, change.version):
                case Step.NEXT:
                    self._tell(who, change)
                    await self._keep(who, mirror, mirrors.with_desired(mirror, change))
                case Step.GAP:
                    await self._catch_up(who, mirror)
                case Step.OLD:
                    pass

    async def _catch_up(self, who: Identity, mirror: Mirror) -> None:
        """Read the twin again, and tell the device what it has missed."""
        try:
            document = await self._read(who)
        except TwinRefusedError as error:
            if error.is_for_now:
                self._retry_later(who)
            return
        missed = mirrors.missed(mirror, document)
        if missed is not None:
            # Told before it is kept: after a crash between both it is told twice, and not never.
            self._tell(who, missed)
        await self._keep(who, mirror, mirrors.with_read(mirror, document))

    def _tell(self, who: Identity, change: DesiredPatch) -> None:
        watcher = self._watchers.get(who)
        if watcher is not None:
            watcher.desired(mirrors.write_desired(change), change.version)

    async def _forget(self, who: Identity) -> None:
        with suppress(TwinStoreError):  # said by the store; a start finds devices that are gone
            await self._shelf.delete(who)

    # The cloud and the disk.

    async def _read(self, who: Identity) -> TwinDocument:
        cloud = self._cloud_of(who)
        body = await self._ask(who, partial(cloud.read, who))
        try:
            return mirrors.read_document(body)
        except BadDocumentError as error:
            self._emit(TwinChangeUnreadable(str(who), str(error)))
            raise TwinRefusedError(502, f"the cloud's answer cannot be read: {error}") from error

    async def _send(self, who: Identity, patch: Document) -> int | None:
        cloud = self._cloud_of(who)
        return await self._ask(who, partial(cloud.report, who, orjson.dumps(patch)))

    def _cloud_of(self, who: Identity) -> TwinCloud:
        if self._cloud is None or not self._cloud.is_up(who):
            raise TwinCloudAwayError
        return self._cloud

    async def _ask(self, who: Identity, call: Callable[[], Awaitable[T]]) -> T:
        """One call to the cloud, within its time. Raises TwinCloudAwayError, TwinRefusedError."""
        try:
            async with self._calls, asyncio.timeout(CLOUD_CALL_S):
                return await call()
        except TimeoutError:
            self._retry_later(who)
            raise TwinCloudAwayError from None

    async def _load(self, who: Identity) -> Mirror:
        try:
            return await self._shelf.load(who)
        except TwinStoreError as error:
            self._emit(TwinNotKept(str(who), str(error)))
            raise

    async def _keep(self, who: Identity, before: Mirror, after: Mirror) -> None:
        """Keep what the cloud has, too: if the disk does not take it, only what is answered later is older."""
        if after == before:
            return
        try:
            await self._shelf.save(who, after)
        except TwinStoreError as error:
            self._emit(TwinNotKept(str(who), str(error)))

    @property
    def _shelf(self) -> TwinStore:
        assert self._store is not None, "jobs are added only when there is a store"
        return self._store

    def _is_up(self, who: Identity) -> bool:
        return self._cloud is not None and self._cloud.is_up(who)

    def _retry_later(self, who: Identity) -> None:
        if who not in self._retries:
            delay_s = RETRY_S * random.uniform(0.5, 1.5)  # noqa: S311 - spreads tries, keeps no secret
            self._retries[who] = asyncio.get_running_loop().call_later(delay_s, self._retry, who)

    def _retry(self, who: Identity) -> None:
        del self._retries[who]
        self.on_up(who)


def _from_mirror(mirror: Mirror) -> TwinReply:
    shown = mirrors.write_shown(mirror)
    if shown is None:
        return failed(AWAY, "the cloud is away, and this gateway has not seen the twin yet; try again")
    return TwinReply(status=OK, document=shown)
