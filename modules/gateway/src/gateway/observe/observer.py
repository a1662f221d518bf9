"""One place where events go in, and every listener gets them."""

from collections.abc import Callable

from gateway.observe.events import Event

Listener = Callable[[Event], None]


class Observer:
    """Takes events from all rooms to the listeners, in the order they joined.

    Call it from the event loop's thread; `app` wraps it for threads of the SDK.
    """

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """From now on `listener` gets every event."""
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        """Say that `event` happened."""
        for listener in self._listeners:
            listener(event)
