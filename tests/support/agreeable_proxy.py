"""A link that is up and takes everything."""

import asyncio

from edgewire.message import Outcome
from gateway.upstream.proxy import (
    CloudListener,
    Document,
    Entry,
    LinkState,
    LinkStatus,
    NotConnectedError,
    Sent,
    Window,
)


class AgreeableProxy:
    """A link that is up and takes everything."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.all_there = asyncio.Event()
        self.expected = 0

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def connected(self) -> None:
        """Always."""

    def send(self, entry: Entry, endpoint: object) -> asyncio.Future[Sent]:
        self.sent.append(entry.message.body)
        if len(self.sent) == self.expected:
            self.all_there.set()
        done: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        done.set_result(Sent(Outcome.ACCEPTED))
        return done

    def status(self) -> LinkStatus:
        return LinkStatus(state=LinkState.CLOSED, reason="", since_at=0.0, last_success_at=None, in_flight=0)

    def window(self) -> Window:
        return Window()

    def on_wider(self, call: object) -> None:
        """It never is."""

    def listen(self, listener: CloudListener) -> None:
        """Nobody is told."""

    async def twin(self) -> Document:
        raise NotConnectedError

    async def report(self, patch: Document) -> None:
        raise NotConnectedError
