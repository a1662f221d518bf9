"""The way to an endpoint by its name, whatever the settings say it is now: they may change it, or take it away."""

import asyncio
from collections.abc import Callable

from edgewire.message import Endpoint, Outcome
from gateway.upstream.proxy import Entry, LinkState, LinkStatus, MessageProxy, Sent, Window

_NO_SETTINGS = "the settings do not name it"


class EndpointSwitch:
    """A `MessageProxy` that passes everything to the one it was given last, which it runs; without one it waits."""

    def __init__(self) -> None:
        self._proxy: MessageProxy | None = None
        self._make: Callable[[], MessageProxy] | None = None
        self._changed = asyncio.Event()
        self._there = asyncio.Event()
        """A proxy runs."""
        self._ended = asyncio.Event()
        """It does no more; each has its own."""
        self._loop = asyncio.get_running_loop()
        self._since_at = self._loop.time()
        self._wider: list[Callable[[], None]] = []

    def use(self, make: Callable[[], MessageProxy] | None) -> None:
        """From now on send by the proxy that this makes; None for none. What is in flight by the last is released."""
        self._make = make
        self._since_at = self._loop.time()
        self._changed.set()

    async def run(self) -> None:
        """Run the proxy in use until cancelled."""
        while True:
            self._changed.clear()
            running = None if self._make is None else asyncio.ensure_future(self._run(self._make()))
            changed = asyncio.ensure_future(self._changed.wait())
            tasks = [changed] if running is None else [changed, running]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
            for error in ended:
                if isinstance(error, Exception):
                    raise error

    async def _run(self, proxy: MessageProxy) -> None:
        self._proxy, self._ended = proxy, asyncio.Event()
        self._there.set()
        for call in self._wider:
            proxy.on_wider(call)
        try:
            await proxy.run()
        finally:
            self._proxy = None
            self._there.clear()
            self._ended.set()

    async def connected(self) -> None:
        """Return when a link is up."""
        while True:
            await self._there.wait()
            proxy = self._proxy
            if proxy is None:
                continue
            ended = asyncio.ensure_future(self._ended.wait())
            up = asyncio.ensure_future(proxy.connected())
            try:
                await asyncio.wait([ended, up], return_when=asyncio.FIRST_COMPLETED)
                if up.done() and proxy is self._proxy:
                    return
            finally:
                ended.cancel()
                up.cancel()

    def send(self, entry: Entry, endpoint: Endpoint) -> asyncio.Future[Sent]:
        """Start sending; the future ends with what became of it."""
        if self._proxy is not None:
            return self._proxy.send(entry, endpoint)
        future: asyncio.Future[Sent] = self._loop.create_future()
        future.set_result(Sent(Outcome.RELEASED, _NO_SETTINGS))
        return future

    def status(self) -> LinkStatus:
        """How the link is."""
        if self._proxy is not None:
            return self._proxy.status()
        return LinkStatus(
            state=LinkState.CLOSED, reason=_NO_SETTINGS, since_at=self._since_at, last_success_at=None, in_flight=0
        )

    def window(self) -> Window:
        """How much suits it to have in flight."""
        return Window() if self._proxy is None else self._proxy.window()

    def on_wider(self, call: Callable[[], None]) -> None:
        """Call this whenever the window has become wider."""
        self._wider.append(call)
        if self._proxy is not None:
            self._proxy.on_wider(call)
