"""What the running gateway remembers for whoever looks at it: devices, routes, messages, events. All of it bounded."""

import time
from collections.abc import Callable

from edgewire.message import identity
from gateway.dispatch.ingress import Ingress
from gateway.identity.registry import Registry
from gateway.observe.history import History
from gateway.observe.ledger import Ledger
from gateway.observe.observer import Observer
from gateway.observe.tap import Tap
from gateway.observe.timeline import Timeline
from gateway.observe.watching import Watching


class Book:
    """Keeps it from now on. `second` has to be called each second, after what came was reported."""

    def __init__(
        self,
        *,
        observer: Observer,
        tap: Tap,
        ingress: Ingress,
        registry: Registry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self.ledger = Ledger(clock, self._is_known)
        self.history = History()
        self.timeline = Timeline(clock)
        self.watching = Watching(tap, received=lambda: ingress.received, clock=clock, sampler=self.history.keep)
        ingress.follow(self.ledger)
        observer.listen(self.ledger.on_event)
        observer.listen(self.timeline.on_event)

    def second(self) -> None:
        """A second is over."""
        self.ledger.tick()
        self.watching.second()

    def _is_known(self, name: str) -> bool:
        device, slash, module = name.partition("/")
        return self._registry.find(identity(device, module if slash else None)) is not None
