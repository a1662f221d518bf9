"""The live flow, for whoever watches; nobody watching costs nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from edgewire.message import Delivery, Message


@dataclass(frozen=True, slots=True)
class Routed:
    """A message was taken in, and these routes matched it; no route means it ends here."""

    message: Message
    routes: tuple[str, ...]
    deliveries: tuple[Delivery, ...]


Watcher = Callable[[Routed], None]


class Tap:
    """Shows every routed message to the watchers of the moment."""

    def __init__(self) -> None:
        self.watchers: tuple[Watcher, ...] = ()

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Show the flow to `watcher` until the returned function is called."""
        self.watchers = (*self.watchers, watcher)
        return lambda: self._leave(watcher)

    def show(self, routed: Routed) -> None:
        """Show one message; call it only when there are watchers."""
        for watcher in self.watchers:
            watcher(routed)

    def _leave(self, watcher: Watcher) -> None:
        self.watchers = tuple(each for each in self.watchers if each is not watcher)
