"""A store without a thread, for tests that decide what happens when."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from edgewire.message import UPSTREAM, Delivery, Envelope, Message, identity
from gateway.observe.events import Event
from gateway.store.errors import StoreDamaged
from gateway.store.files import Files
from gateway.store.store import Store
from gateway.store.values import AppendResult, Entry, StoreLimits

T = TypeVar("T")

TO_CLOUD = (Delivery(UPSTREAM),)


class InlineRunner:
    """Every job at once, on the caller's thread."""

    def __init__(self) -> None:
        self.steps: list[Callable[[], bool]] = []
        self.timers: list[Callable[[], None]] = []

    def submit(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        then(job())

    def background(self, step: Callable[[], bool]) -> None:
        self.steps.append(step)

    def run_background(self) -> None:
        for step in self.steps:
            while step():
                pass

    def soon(self, callback: Callable[[], None]) -> None:
        callback()

    def later(self, delay_s: float, callback: Callable[[], None]) -> Callable[[], None]:
        self.timers.append(callback)
        return lambda: self.timers.remove(callback) if callback in self.timers else None

    def close(self) -> None:
        return


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """One store on any files, with what it said."""

    def __init__(self, files: Files, limits: StoreLimits | None = None, directory: Path = Path("data/store")) -> None:
        self.files = files
        self.limits = limits if limits is not None else StoreLimits()
        self.directory = directory
        self.clock = Clock()
        self.events: list[Event] = []
        self.damage: list[StoreDamaged] = []
        self.runner = InlineRunner()
        self.store: Store = self.open()

    def open(self) -> Store:
        self.runner = InlineRunner()
        self.store = Store.open(
            self.directory,
            self.limits,
            self.events.append,
            self.clock,
            on_damage=self.damage.append,
            files=self.files,
            runner=self.runner,
        )
        return self.store

    def append(self, *bodies: bytes, deliveries: tuple[Delivery, ...] = TO_CLOUD) -> AppendResult:
        results: list[AppendResult] = []
        self.store.append([(message(body), deliveries) for body in bodies], results.append)
        (result,) = results
        return result

    def take(self, count: int = 1_000_000) -> list[Entry]:
        return self.store.reader(UPSTREAM).take(count, 1 << 40)

    def settle(self, entries: list[Entry]) -> None:
        self.store.reader(UPSTREAM).settle(entries)

    def close(self) -> None:
        finish(self.store.close())

    def reopen(self) -> Store:
        self.close()
        return self.open()

    def said(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def message(body: bytes, device: str = "dev") -> Message:
    system = {"connectionDeviceId": device}
    return Message(Envelope(sender=identity(device), properties={"kind": "t"}, system=system), body)


def bodies(entries: list[Entry]) -> list[bytes]:
    return [entry.message.body for entry in entries]
