"""The one interface of all ways upstream, and the values that pass it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

from edgewire.message import Endpoint, Message, Outcome

Document = Mapping[str, Any]
"""A JSON object: a twin, a part of one, a patch."""


class Entry(Protocol):
    """What a proxy needs of a stored entry; the store's own `Entry` has it."""

    @property
    def entry_id(self) -> str:
        """The same across restarts and resends."""
        ...

    @property
    def received_at_ms(self) -> int:
        """When the gateway took it, in milliseconds since 1970."""
        ...

    @property
    def message(self) -> Message:
        """The message."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one entry, and why if it was not taken."""

    outcome: Outcome
    reason: str = ""


DEFAULT_MESSAGES: Final = 64
"""Measured with azure-iot-device: on one machine 16 is as fast as 256; at 30 ms round trip 64 gives 1,200 messages a
second, and more of them would be sent twice after a drop."""
DEFAULT_BYTES: Final = 4 * 1024 * 1024
"""What a window may hold in memory: sixteen of the largest messages."""


@dataclass(frozen=True, slots=True)
class Window:
    """How much may be in flight at once."""

    max_messages: int = DEFAULT_MESSAGES
    max_bytes: int = DEFAULT_BYTES


class LinkState(Enum):
    """Where a link stands."""

    CLOSED = "closed"
    """Not opened yet, or closed for good."""
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    """A try failed; the next one is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """How a link is; times are of the proxy's clock. `last_success_at`: the last sign that the other end works."""

    state: LinkState
    reason: str
    since_at: float
    last_success_at: float | None
    in_flight: int

    def sentence(self, now: float) -> str:
        """How it is, for a person."""
        success = "nothing acknowledged yet"
        if self.last_success_at is not None:
            success = f"last sign of life {now - self.last_success_at:.0f} s ago"
        why = f": {self.reason}" if self.reason else ""
        return f"{self.state.value} for {now - self.since_at:.0f} s{why}; {success}; {self.in_flight} in flight"


@dataclass(frozen=True, slots=True)
class MethodReply:
    """The answer to a direct method: a status as in HTTP, and a JSON value."""

    status: int
    payload: Any = None


class CloudListener(Protocol):
    """Who wants to know what comes down a link. All calls are on the event loop."""

    def on_connected(self) -> None:
        """A link is up, perhaps after changes were missed: the twin must be read again."""

    def on_desired(self, patch: Document) -> None:
        """Desired properties changed; `patch` holds `$version`."""

    async def on_method(self, name: str, payload: Any) -> MethodReply:
        """Someone calls a direct method."""
        ...


class NotConnectedError(Exception):
    """There is no link now; ask again at `on_connected`."""


class CloudRefusedError(Exception):
    """The other end refused a twin operation; the text says what it answered."""


class MessageProxy(Protocol):
    """One way for messages.

    - Sends leave in the order of the calls, those of one sender at least.
    - Each future ends: accepted, rejected, or released within the proxy's stall limit.
    - After one is released, all of its sender that were sent later and are not acknowledged are released too, and
      nothing sent before is still on its way: whoever resumes in order keeps the order.
    - Messages that wait for their sender alone (it is refused, its token has ended) do not count in the window, up to
      a bound, so that nobody else waits for them; when anything is released, so are they.
    """

    async def run(self) -> None:
        """Keep a link up until cancelled; then close it within a bounded time."""

    async def connected(self) -> None:
        """Return when a link is up."""

    def send(self, entry: Entry, endpoint: Endpoint) -> asyncio.Future[Sent]:
        """Start sending; the future ends with what became of it."""
        ...

    def status(self) -> LinkStatus:
        """How the link is."""
        ...

    def window(self) -> Window:
        """How much suits it to have in flight now."""
        ...

    def on_wider(self, call: Callable[[], None]) -> None:
        """Call this whenever the window has become wider."""


class CloudProxy(MessageProxy, Protocol):
    """One way to the cloud: messages, and this module's twin and methods."""

    def listen(self, listener: CloudListener) -> None:
        """Tell `listener` from now on; call it before `run`."""

    async def twin(self) -> Document:
        """`{"desired": …, "reported": …}` of this module. Raises NotConnectedError, CloudRefusedError."""
        ...

    async def report(self, patch: Document) -> None:
        """Merge `patch` into the reported properties. Raises NotConnectedError, CloudRefusedError."""
