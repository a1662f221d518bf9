"""One connection of azure-iot-device, used once: open it, send on it, close it or leave it.

Why once, with the SDK's own reconnect switched off (read in azure-iot-device 2.14.0 and paho-mqtt 1.6.1):
- after a drop the SDK keeps cancelled packet ids as "early" acknowledgements; 65,535 messages later a new message
  with such an id counts as acknowledged though nobody has it;
- paho keeps messages it could not send and sends them after a reconnect, beside ours;
- a reconnect by the SDK gives up for good on some errors, and nobody is told.
A new client has none of this behind it.

Why below the SDK's client classes (`_mqtt_pipeline`):
- the asynchronous client starts each send on a pool of threads, so two sends can change places; the other one waits
  for each acknowledgement. The pipeline below takes a callback, keeps the order, and costs a quarter of the CPU;
- everything the SDK does runs in one thread for all clients of the process. When that thread hangs, only replacing it
  (`_abandon`) lets a new client work;
- paho's network thread may die in silence (`_guard`), and cannot use descriptors above 1,023 (`wide_select`).
`tests/peers/test_upstream_module.py` notices when an update of the SDK changes what is used here.
"""

import asyncio
import gc
import logging
import queue
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

from azure.iot.device import IoTHubModuleClient, MethodResponse
from azure.iot.device import Message as SdkMessage
from azure.iot.device.common.pipeline import pipeline_thread
from azure.iot.device.iothub.pipeline import constant
from paho.mqtt import client as paho_mqtt

from gateway.upstream.proxy import Document, MethodReply, NotConnectedError
from gateway.upstream.wide_select import WideSelect

KEEP_ALIVE_S: Final = 30
"""An idle link that is dead is noticed after two of these. Also how long the SDK waits in a TLS handshake."""
TOKEN_TTL_S: Final = 3600
_FEATURES: Final = (constant.METHODS, constant.TWIN, constant.TWIN_PATCHES)
_SDK_THREADS: Final = ("pipeline", "callback")

Answer = Callable[[MethodReply], None]
Done = Callable[[BaseException | None], None]


class LinkListener(Protocol):
    """Who owns a link. All calls are on the event loop."""

    def on_lost(self, reason: str) -> None:
        """The link was up and is not any more."""

    def on_desired(self, patch: Document) -> None:
        """A patch of the desired properties."""

    def on_method(self, name: str, payload: Any, answer: Answer) -> None:
        """A direct method; `answer` must be called once."""


class Link(Protocol):
    """What the proxy needs of a link; `ModuleLink` is the real one."""

    async def open(self) -> None:
        """Connect and subscribe. Raises what the SDK raises; the caller keeps the deadline."""

    def send(self, message: SdkMessage, done: Done) -> None:
        """Send; `done` is called on the loop, with None once it is acknowledged."""

    async def twin(self) -> Document:
        """The module's twin."""
        ...

    async def report(self, patch: Document) -> None:
        """Patch the reported properties."""

    async def close(self, deadline_s: float) -> bool:
        """Shut down; False if the SDK did not manage in time and was left to itself."""
        ...


def create_pipeline() -> Any:
    """The SDK's pipeline for the module that the environment names. Blocks: it asks the workload API."""
    client = IoTHubModuleClient.create_from_edge_environment(
        auto_connect=False,
        connection_retry=False,
        ensure_desired_properties=False,
        keep_alive=KEEP_ALIVE_S,
        sastoken_ttl=TOKEN_TTL_S,
    )
    return client._mqtt_pipeline  # noqa: SLF001 — see the module's docstring


class ModuleLink:
    """The real link. Its thread `upstream-link` makes all calls that may block; nothing of it blocks the loop."""

    def __init__(self, listener: LinkListener, create: Callable[[], Any] = create_pipeline) -> None:
        self._listener = listener
        self._create = create
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._posts: deque[Callable[[], None]] = deque()
        self._posted = False
        self._outbox: deque[tuple[SdkMessage, Done]] = deque()
        self._flushing = False
        self._closing = False
        self._open_requests: set[asyncio.Future[Any]] = set()
        self._pipeline: Any = None

    async def open(self) -> None:
        """Connect, and subscribe to the twin and to methods."""
        logging.getLogger("azure.iot.device").setLevel(logging.CRITICAL)  # it logs what its callers are told as well
        paho_mqtt.select = WideSelect()
        threading.Thread(target=self._work, name="upstream-link", daemon=True).start()
        await self._request(self._prepare)
        await self._request(lambda done: self._pipeline.connect(callback=done))
        for feature in _FEATURES:
            await self._request(partial(self._enable, feature))

    def send(self, message: SdkMessage, done: Done) -> None:
        """Send after all that was given before."""
        self._outbox.append((message, done))
        if not self._flushing:
            self._flushing = True
            self._jobs.put(self._flush)

    def _flush(self) -> None:
        """Hand all messages over in one visit to the SDK's thread: a visit costs more than a message."""
        self._flushing = False
        pipeline_thread.invoke_on_pipeline_thread(self._send_all)()

    def _send_all(self) -> None:
        while self._outbox:
            self._send(*self._outbox.popleft())

    def _send(self, message: SdkMessage, done: Done) -> None:
        def finished(error: BaseException | None = None) -> None:
            self._post(partial(done, error))

        try:
            self._pipeline.send_output_message(message, callback=finished)
        except Exception as error:  # noqa: BLE001 — whatever the SDK raises, the message did not go
            finished(error)

    async def twin(self) -> Document:
        """The module's twin."""
        twin: Document = await self._request(
            lambda done: self._pipeline.get_twin(callback=lambda twin, error=None: done(error=error, result=twin))
        )
        return twin

    async def report(self, patch: Document) -> None:
        """Patch the reported properties."""
        await self._request(lambda done: self._pipeline.patch_twin_reported_properties(dict(patch), callback=done))

    async def close(self, deadline_s: float) -> bool:
        """Shut the SDK's client down, or leave it after `deadline_s`."""
        self._closing = True
        for future in list(self._open_requests):
            if not future.done():
                future.set_exception(NotConnectedError("the link was closed meanwhile"))
        try:
            async with asyncio.timeout(deadline_s):
                await self._request(self._shut_down)
        except TimeoutError:
            self._abandon()
            return False
        except Exception:  # noqa: BLE001 — a client that fails to shut down is gone once its socket is
            self._cut()
            return True
        finally:
            self._jobs.put(None)
        return True

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        # The SDK's client is a knot around a socket and a TLS context: they would wait for the collector, which is
        # seldom called here, with a descriptor each. This one is still held, those of earlier links are not.
        gc.collect()

    def _prepare(self, done: Callable[..., None]) -> None:
        """Make the SDK's client and take its events; runs in the thread."""
        self._pipeline = pipeline = self._create()
        paho = _paho_client(pipeline)
        # paho sends 20 at once and holds the rest; the window is the forwarder's business.
        paho.max_inflight_messages_set(0)
        paho._thread_main = partial(self._guard, paho._thread_main)  # noqa: SLF001 — see _guard
        pipeline.on_connected = lambda: None
        pipeline.on_disconnected = lambda: self._post(self._on_lost)
        pipeline.on_background_exception = lambda _error: None
        pipeline.on_new_sastoken_required = lambda: None
        pipeline.on_twin_patch_received = lambda patch: self._post(partial(self._listener.on_desired, patch))
        pipeline.on_method_request_received = lambda request: self._post(partial(self._on_method, request))
        done()

    def _guard(self, network_loop: Callable[[], None]) -> None:
        """Run paho's network thread, and tell if it dies.

        A TLS connection that is cut while it writes raises ssl.SSLEOFError, which paho 1.6.1 does not expect: its
        thread ends, the SDK hears nothing, and its client says "connected" for ever.
        """
        try:
            network_loop()
        except Exception:  # noqa: BLE001 — whatever it died of, the link is gone
            self._post(self._on_lost)

    def _enable(self, feature: str, done: Callable[..., None]) -> None:
        self._pipeline.enable_feature(feature, callback=done)

    def _shut_down(self, done: Callable[..., None]) -> None:
        if self._pipeline is None:
            done()
        else:
            self._pipeline.shutdown(callback=done)

    def _on_lost(self) -> None:
        if not self._closing:
            self._listener.on_lost("the other end closed the connection, or did not answer a ping")

    def _on_method(self, request: Any) -> None:
        self._listener.on_method(request.name, request.payload, partial(self._answer, request))

    def _answer(self, request: Any, reply: MethodReply) -> None:
        """Answer a method; if the link is gone meanwhile, the caller has its time-out."""
        response = MethodResponse.create_from_method_request(request, reply.status, reply.payload)

        def start() -> None:
            with suppress(Exception):
                self._pipeline.send_method_response(response, callback=lambda **_: None)

        self._jobs.put(start)

    async def _request(self, start: Callable[[Callable[..., None]], None]) -> Any:
        """Run `start` in the thread with a callback, and wait for what the callback gets."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def finish(error: BaseException | None, result: Any) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def done(error: BaseException | None = None, result: Any = None) -> None:
            self._post(partial(finish, error, result))

        def job() -> None:
            try:
                start(done)
            except Exception as error:  # noqa: BLE001 — raised where it is waited for
                done(error=error)

        self._jobs.put(job)
        self._open_requests.add(future)
        try:
            return await future
        finally:
            self._open_requests.discard(future)

    def _post(self, call: Callable[[], None]) -> None:
        """Call on the loop, from any thread; one wake-up serves all calls that came since the last."""
        self._posts.append(call)
        if not self._posted:
            self._posted = True
            with suppress(RuntimeError):  # the loop is closed: the process ends, nobody waits for it
                self._loop.call_soon_threadsafe(self._take_posts)

    def _take_posts(self) -> None:
        self._posted = False
        while self._posts:
            self._posts.popleft()()

    def _abandon(self) -> None:
        """Leave a client that hangs: cut its socket, and let the next client have threads of its own."""
        for name in _SDK_THREADS:
            pipeline_thread._executors.pop(name, None)  # noqa: SLF001 — there is no other way to be rid of them
        self._cut()

    def _cut(self) -> None:
        with suppress(Exception):
            _paho_client(self._pipeline).socket().shutdown(socket.SHUT_RDWR)


def _paho_client(pipeline: Any) -> Any:
    """The paho client at the bottom of the SDK's pipeline."""
    stage = pipeline._pipeline  # noqa: SLF001 — the SDK has no setting for what is needed of paho
    while stage.next is not None:
        stage = stage.next
    return stage.transport._mqtt_client  # noqa: SLF001
