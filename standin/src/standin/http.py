"""Plain HTTP on the stand-in's port 443: one connection's owner, and the router to the APIs behind it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol, assert_never

from edgewire.errors import ProtocolError
from edgewire.session.http.events import HeadReceived, HttpEvent, RequestReceived, TimedOut
from edgewire.session.http.limits import HttpLimits
from edgewire.session.http.server import HttpSession, Response
from edgewire.transport.pump import Peer, Pump
from standin.errors import HubError
from standin.http_errors import error_response, fault_response, malformed_response, unknown_path_response

LIMITS: Final = HttpLimits(max_body_bytes=1_048_576)
"""A bulk operation on 100 devices with twins is the largest request the service API has."""


class HttpApi(Protocol):
    """One of the APIs on the port."""

    def claims(self, request: RequestReceived) -> bool:
        """Whether the request is for this API, judged by its method, path and headers."""
        ...

    async def answer(self, request: RequestReceived, peer: Peer) -> Response:
        """Answer a request that was claimed. Cancelled when the peer goes away.

        A HubError becomes an answer with its code, a ProtocolError one with 400 or the status in its `reply`.
        """
        ...


class Router:
    """Hands a request to the first API that claims it. `on_fault` hears of a fault of the stand-in itself."""

    def __init__(self, apis: Sequence[HttpApi], on_fault: Callable[[Exception, str], None]) -> None:
        self._apis = apis
        self.on_fault = on_fault

    def accept(self, peer: Peer) -> "tuple[HttpSession, HttpConnection]":
        """A session and its owner, for a connection that has come: an `edgewire.transport.pump.Accept`."""
        loop = asyncio.get_running_loop()
        session = HttpSession(LIMITS, loop.time())
        return session, HttpConnection(self, session, peer)

    async def answer(self, request: RequestReceived, peer: Peer) -> Response:
        """The answer to a request: always one."""
        try:
            for api in self._apis:
                if api.claims(request):
                    return await api.answer(request, peer)
        except HubError as error:
            return error_response(error.code, error.what)
        except ProtocolError as error:
            return malformed_response(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost one request only
            self.on_fault(error, peer.address)
            return fault_response()
        return unknown_path_response(request)


class HttpConnection:
    """Owns one HTTP session: one request at a time, each answered by a task. Implements `transport.pump.Owner`."""

    def __init__(self, router: Router, session: HttpSession, peer: Peer) -> None:
        self._router = router
        self._session = session
        self._peer = peer
        self._pump: Pump[HttpEvent]
        self._task: asyncio.Task[None] | None = None

    def on_connected(self, pump: Pump[HttpEvent]) -> None:
        """The transport is ready; the peer speaks first."""
        self._pump = pump

    def on_events(self, events: list[HttpEvent]) -> None:
        """A request, or the end of patience."""
        for event in events:
            match event:
                case HeadReceived():
                    self._session.take_body()
                    self._pump.receive(b"")
                case RequestReceived():
                    self._task = asyncio.get_running_loop().create_task(self._answer(event))
                case TimedOut():
                    self._pump.close()
                case _:
                    assert_never(event)

    def on_failed(self, error: ProtocolError) -> None:
        """The peer broke a rule; it has been told."""

    def on_stopping(self) -> None:
        """The stand-in stops."""
        self.on_closed()

    def on_closed(self) -> None:
        """The peer is gone: whoever works on an answer for it stops."""
        if self._task is not None:
            self._task.cancel()

    async def _answer(self, request: RequestReceived) -> None:
        response = await self._router.answer(request, self._peer)
        try:
            self._session.answer(response, asyncio.get_running_loop().time())
        except Exception as error:  # noqa: BLE001 - an API has made an answer that HTTP cannot carry
            self._router.on_fault(error, self._peer.address)
            self._pump.abort()
            return
        self._pump.flush()
        if self._session.ended:
            self._pump.close()
        else:
            self._pump.receive(b"")  # what was sent ahead
