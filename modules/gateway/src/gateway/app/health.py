"""Whether the gateway lives and whether it takes messages: for a container's health check and for probes.

It lives as long as its event loop turns and its disk answers. It is ready while it listens and the store takes
messages; a cloud that is away makes it neither: that is what the store is for.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from gateway.store.values import StoreState


class Reason(Enum):
    """Why it is not ready, or does not live."""

    STARTING = "starting"
    STOPPING = "stopping"
    STORE_FULL = "store_full"
    """The byte cap or the disk: messages are refused, unacknowledged, until space comes back."""
    STORE_FAILED = "store_failed"
    """The disk refuses writes."""
    STORE_STUCK = "store_stuck"
    """A write has not come back for longer than half of GATEWAY_WATCHDOG_SECS."""
    LISTENER_CLOSED = "listener_closed"


FATAL: Final = frozenset({Reason.STORE_STUCK, Reason.LISTENER_CLOSED})
"""With these it does not live either: a restart is what helps."""
_OF_STORE: Final[Mapping[StoreState | None, Reason]] = {
    StoreState.FULL: Reason.STORE_FULL,
    StoreState.FAILED: Reason.STORE_FAILED,
}


class Health:
    """Answers from the moment the gateway runs; `look` at what it has opened."""

    def __init__(self) -> None:
        self._phase: Reason | None = Reason.STARTING
        self._store_state: Callable[[], StoreState | None] = lambda: None
        self._is_listening: Callable[[], bool] = lambda: True
        self._is_stuck: Callable[[], bool] = lambda: False

    def look_at(
        self,
        *,
        store_state: Callable[[], StoreState | None],
        is_listening: Callable[[], bool],
        is_stuck: Callable[[], bool],
    ) -> None:
        """These know how it is. `is_stuck`: whether the disk has been silent for too long."""
        self._store_state, self._is_listening, self._is_stuck = store_state, is_listening, is_stuck

    def started(self) -> None:
        """Devices may come."""
        self._phase = None

    def stopping(self) -> None:
        """It is told to stop: nobody should come any more."""
        self._phase = Reason.STOPPING

    def reasons(self) -> tuple[Reason, ...]:
        """All that is wrong, most important first; nothing for a gateway that is ready."""
        found: list[Reason] = []
        if self._is_stuck():
            found.append(Reason.STORE_STUCK)
        if self._phase is None and not self._is_listening():
            found.append(Reason.LISTENER_CLOSED)
        state = self._store_state()
        if state in _OF_STORE:
            found.append(_OF_STORE[state])
        if self._phase is not None:
            found.append(self._phase)
        return tuple(found)

    def report(self) -> Mapping[str, Any]:
        """`live`, `ready`, and the `reasons` why not, all of closed sets: whoever asks need not have logged in."""
        reasons = self.reasons()
        return {
            "live": not FATAL.intersection(reasons),
            "ready": not reasons,
            "reasons": [reason.value for reason in reasons],
        }
