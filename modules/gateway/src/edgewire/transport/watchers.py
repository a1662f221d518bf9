"""What an owner of a connection may be besides, asked at run time."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class SendingWatcher(Protocol):
    """An owner that is also this hears when the peer reads slower than we send."""

    def on_sending_paused(self) -> None:
        """More than the high-water mark waits for the peer: send no more for now."""
        ...

    def on_sending_resumed(self) -> None:
        """The peer has taken most of it."""
        ...


@runtime_checkable
class StoppingWatcher(Protocol):
    """An owner that is also this may say goodbye when its listener closes."""

    def on_stopping(self) -> None:
        """The listener is closing; the pump closes after this."""
        ...
