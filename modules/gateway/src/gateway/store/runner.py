"""Where the store's blocking work runs: one named thread, and back to the event loop with the result."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")

Job = Callable[[], Callable[[], None]]
"""Runs on the thread; what it returns runs on the loop."""


class Runner(Protocol):
    """Runs jobs one after the other, in the order they came."""

    def submit(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run `job` on the thread, then `then` with its result on the loop."""

    def background(self, step: Callable[[], bool]) -> None:
        """Call `step` on the thread whenever no job waits, until it returns False."""

    def soon(self, callback: Callable[[], None]) -> None:
        """Run `callback` on the loop, after what is due now."""

    def later(self, delay_s: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Run `callback` on the loop after `delay_s`; the result cancels that."""

    def close(self) -> None:
        """End the thread once its jobs are done."""


class ThreadRunner:
    """The runner of a running gateway."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str = "store") -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._step: Callable[[], bool] | None = None
        self._begun = 0
        self._at_work = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def at_work(self) -> int | None:
        """The number of the piece of work at hand, which grows; None while there is none. Any thread may ask."""
        return self._begun if self._at_work else None

    def submit(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        """See Runner."""

        def run() -> Callable[[], None]:
            result = job()
            return lambda: then(result)

        self._jobs.put(run)

    def background(self, step: Callable[[], bool]) -> None:
        """See Runner."""

        def start() -> Callable[[], None]:
            self._step = step
            return _nothing

        self._jobs.put(start)

    def soon(self, callback: Callable[[], None]) -> None:
        """See Runner."""
        self._loop.call_soon(callback)

    def later(self, delay_s: float, callback: Callable[[], None]) -> Callable[[], None]:
        """See Runner."""
        return self._loop.call_later(delay_s, callback).cancel

    def close(self) -> None:
        """See Runner."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._begun += 1
            self._at_work = True
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 - a bug must reach the loop's handler, not end the thread
                result = _raiser(error)
            self._at_work = False
            try:
                self._loop.call_soon_threadsafe(result)
            except RuntimeError:
                return  # the loop is closed: nobody is left to tell

    def _next(self) -> Job | None:
        while self._step is not None:
            try:
                return self._jobs.get_nowait()
            except queue.Empty:
                self._begun += 1
                self._at_work = True
                if not self._step():
                    self._step = None
                self._at_work = False
        return self._jobs.get()


def _nothing() -> None:
    return


def _raiser(error: BaseException) -> Callable[[], None]:
    def again() -> None:
        raise error

    return again
