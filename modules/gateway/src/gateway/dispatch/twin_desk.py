"""Where the heads ask for twins; and the desk of a gateway that serves none, which is all that most gateways load."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import orjson

from edgewire.message import Identity

OK: Final = 200
NO_CONTENT: Final = 204
TOO_LARGE: Final = 413
TOO_MANY: Final = 429
NOT_SERVED: Final = 501
AWAY: Final = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinReply:
    """The answer to a request: `document` is the twin of a reading, nothing, or what went wrong."""

    status: int
    document: bytes = b""
    version: int | None = None
    """Of the reported properties, after a report."""


Answer = Callable[[TwinReply], None]


def failed(status: int, what: str) -> TwinReply:
    """An answer that says no. Node's SDK looks only at the body (iothub_wire.md §1.6), Python's at the status."""
    return TwinReply(status=status, document=orjson.dumps({"errorCode": status * 1000, "message": what}))


TWINS_NOT_SERVED: Final = failed(
    NOT_SERVED, "this gateway does not serve twins of leaf devices: it has no way upstream on their behalf"
)


Hearer = Callable[[Identity, bytes], None]
"""Hears a patch that an identity has reported."""


class TwinWatcher(Protocol):
    """A connected device that wants changes of its desired properties."""

    def desired(self, patch: bytes, version: int) -> None:
        """A change; `$version` stands in the patch, too."""
        ...


class TwinDesk(Protocol):
    """What a head asks for."""

    @property
    def is_served(self) -> bool:
        """Whether there is a way upstream on behalf of devices; without one, every request is answered 501."""
        ...

    def get(self, who: Identity, answer: Answer) -> None:
        """Read the twin of `who`; `answer` is called once."""
        ...

    def report(self, who: Identity, patch: bytes, answer: Answer) -> None:
        """Patch the reported properties of `who`; `answer` is called once, with 204 when cloud or disk has it."""
        ...

    def subscribe(self, who: Identity, watcher: TwinWatcher) -> None:
        """Tell `watcher` of changes of the desired properties of `who`; the newest watcher of an identity is told."""
        ...

    def unsubscribe(self, who: Identity, watcher: TwinWatcher) -> None:
        """Tell `watcher` no more; somebody who took over stays."""
        ...


class NoTwins:
    """The desk of a gateway without a way upstream on behalf of devices: every request is answered 501."""

    is_served = False

    def __init__(self) -> None:
        self.hearer: Hearer | None = None
        """Hears what is reported though it is not kept: a board says so how its update went."""

    def get(self, _who: Identity, answer: Answer) -> None:
        """Say no."""
        answer(TWINS_NOT_SERVED)

    def report(self, who: Identity, patch: bytes, answer: Answer) -> None:
        """Say no."""
        answer(TWINS_NOT_SERVED)
        if self.hearer is not None:
            self.hearer(who, patch)

    def subscribe(self, _who: Identity, _watcher: TwinWatcher) -> None:
        """There is nothing to tell."""

    def unsubscribe(self, _who: Identity, _watcher: TwinWatcher) -> None:
        """There was nothing to tell."""
