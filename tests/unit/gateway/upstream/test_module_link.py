import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from azure.iot.device import Message as SdkMessage
from azure.iot.device import MethodRequest
from azure.iot.device.common.pipeline import pipeline_thread

from gateway.upstream.module_link import Answer, ModuleLink
from gateway.upstream.proxy import Document, MethodReply, NotConnectedError

LIMIT_S = 45.0


class Paho:
    def __init__(self) -> None:
        self.inflight: int | None = None
        self.cut = False
        self.network_fault: Exception | None = None

    def _thread_main(self) -> None:
        if self.network_fault is not None:
            raise self.network_fault

    def max_inflight_messages_set(self, inflight: int) -> None:
        self.inflight = inflight

    def socket(self) -> "Paho":
        return self

    def shutdown(self, how: int) -> None:
        del how
        self.cut = True


class Stage:
    def __init__(self, below: "Stage | None", paho: Paho) -> None:
        self.next = below
        self.transport = self
        self._mqtt_client = paho


class Pipeline:
    """The part of the SDK's pipeline that a link uses; it answers at once, in the caller's thread."""

    def __init__(self) -> None:
        self.paho = Paho()
        self._pipeline = Stage(Stage(None, self.paho), self.paho)
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.sent: list[SdkMessage] = []
        self.answers: list[tuple[int, Any]] = []
        self.hangs: set[str] = set()
        self.raises: dict[str, Exception] = {}
        self.on_disconnected: Callable[[], None] = lambda: None
        self.on_twin_patch_received: Callable[[Document], None] = lambda _patch: None
        self.on_method_request_received: Callable[[MethodRequest], None] = lambda _request: None

    def _call(self, name: str, callback: Callable[..., None], **result: Any) -> None:
        self.calls.append(name)
        self.threads.add(threading.current_thread().name)
        if name in self.raises:
            raise self.raises[name]
        if name not in self.hangs:
            callback(**result)

    def connect(self, callback: Callable[..., None]) -> None:
        self._call("connect", callback)

    def enable_feature(self, feature: str, callback: Callable[..., None]) -> None:
        self._call(f"enable {feature}", callback)

    def send_output_message(self, message: SdkMessage, callback: Callable[..., None]) -> None:
        self.sent.append(message)
        self._call("send", callback)

    def get_twin(self, callback: Callable[..., None]) -> None:
        self._call("twin", callback, twin={"desired": {}})

    def patch_twin_reported_properties(self, patch: Document, callback: Callable[..., None]) -> None:
        self._call(f"report {patch}", callback)

    def send_method_response(self, response: Any, callback: Callable[..., None]) -> None:
        self.answers.append((response.status, response.payload))
        self._call("answer", callback)

    def shutdown(self, callback: Callable[..., None]) -> None:
        self._call("shutdown", callback)


class Listener:
    def __init__(self) -> None:
        self.lost: list[str] = []
        self.patches: list[Document] = []
        self.methods: list[tuple[str, Any, Answer]] = []
        self.changed = asyncio.Event()

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)
        self.changed.set()

    def on_desired(self, patch: Document) -> None:
        self.patches.append(patch)
        self.changed.set()

    def on_method(self, name: str, payload: Any, answer: Answer) -> None:
        self.methods.append((name, payload, answer))
        self.changed.set()


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[ModuleLink, Pipeline, Listener]]:
    pipeline, listener = Pipeline(), Listener()
    link = ModuleLink(listener, lambda: pipeline)
    async with asyncio.timeout(LIMIT_S):
        await link.open()
        try:
            yield link, pipeline, listener
        finally:
            if not link._closing:  # its thread may be late with what it was told
                await link.close(LIMIT_S)


async def send(link: ModuleLink, text: str) -> BaseException | None:
    """Send, and wait for what is told about it."""
    future: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    link.send(SdkMessage(text), future.set_result)
    return await future


async def test_opening_connects_and_then_subscribes() -> None:
    async with opened() as (_, pipeline, _listener):
        assert pipeline.calls == ["connect", "enable methods", "enable twin", "enable twin_patches"]


async def test_nothing_that_may_block_is_called_on_the_loop() -> None:
    async with opened() as (link, pipeline, _listener):
        await send(link, "x")
        await link.twin()

        assert pipeline.threads == {"upstream-link", "pipeline"}


async def test_the_window_is_not_held_up_by_paho() -> None:
    async with opened() as (_, pipeline, _listener):
        assert pipeline.paho.inflight == 0


async def test_messages_keep_the_order_of_the_calls() -> None:
    async with opened() as (link, pipeline, _listener):
        told: list[int] = []
        last = asyncio.Event()

        def tell(number: int) -> None:
            told.append(number)
            if number == 99:
                last.set()

        for number in range(100):
            link.send(SdkMessage(str(number)), lambda _error, number=number: tell(number))  # type: ignore[misc]  # mypy cannot type a default of a lambda
        await last.wait()

        assert [message.data for message in pipeline.sent] == [str(number) for number in range(100)]
        assert told == list(range(100))


async def test_what_the_sdk_raises_on_a_send_is_told() -> None:
    async with opened() as (link, pipeline, _listener):
        pipeline.raises["send"] = ValueError("Payload too large.")

        assert isinstance(await send(link, "x"), ValueError)


async def test_the_twin_is_read_and_patched() -> None:
    async with opened() as (link, pipeline, _listener):
        assert await link.twin() == {"desired": {}}
        await link.report({"a": None})

        assert pipeline.calls[-1] == "report {'a': None}"


async def test_what_the_sdk_raises_on_a_request_is_raised() -> None:
    async with opened() as (link, pipeline, _listener):
        pipeline.raises["twin"] = RuntimeError("not running")

        with pytest.raises(RuntimeError, match="not running"):
            await link.twin()


async def test_a_client_that_cannot_be_made_fails_the_opening() -> None:
    def create() -> Any:
        raise OSError("IoT Edge environment not configured correctly")

    link = ModuleLink(Listener(), create)
    with pytest.raises(OSError, match="not configured"):
        await link.open()

    assert await link.close(LIMIT_S)


async def test_a_loss_is_told_once_it_happens_and_never_after_closing() -> None:
    async with opened() as (link, pipeline, listener):
        pipeline.on_disconnected()
        await listener.changed.wait()
        assert len(listener.lost) == 1

        await link.close(LIMIT_S)
        pipeline.on_disconnected()
        await asyncio.sleep(0)

        assert len(listener.lost) == 1


async def test_a_network_thread_that_dies_is_a_loss() -> None:
    async with opened() as (_, pipeline, listener):
        pipeline.paho.network_fault = ssl.SSLEOFError(8, "EOF occurred in violation of protocol")

        await asyncio.to_thread(pipeline.paho._thread_main)
        await listener.changed.wait()

        assert len(listener.lost) == 1


async def test_a_network_thread_that_ends_in_order_is_none() -> None:
    async with opened() as (link, pipeline, listener):
        await asyncio.to_thread(pipeline.paho._thread_main)
        await link.twin()

        assert listener.lost == []


async def test_patches_and_methods_come_to_the_loop() -> None:
    async with opened() as (link, pipeline, listener):
        pipeline.on_twin_patch_received({"$version": 3})
        pipeline.on_method_request_received(MethodRequest("r1", "ping", {"a": 1}))
        await listener.changed.wait()
        await link.twin()

        assert listener.patches == [{"$version": 3}]
        [(name, payload, answer)] = listener.methods
        assert (name, payload) == ("ping", {"a": 1})
        answer(MethodReply(200, "pong"))
        await link.twin()
        assert pipeline.answers == [(200, "pong")]


async def test_an_answer_that_cannot_be_sent_harms_nothing() -> None:
    async with opened() as (link, pipeline, listener):
        pipeline.raises["answer"] = RuntimeError("gone")
        pipeline.on_method_request_received(MethodRequest("r1", "ping", None))
        await listener.changed.wait()
        listener.methods[0][2](MethodReply(200, None))

        assert await link.twin()


async def test_closing_ends_requests_that_wait() -> None:
    async with opened() as (link, pipeline, _listener):
        pipeline.hangs.add("twin")
        waiting = asyncio.create_task(link.twin())
        while "twin" not in pipeline.calls:  # noqa: ASYNC110 — another thread makes the call
            await asyncio.sleep(0.001)

        assert await link.close(LIMIT_S)

        with pytest.raises(NotConnectedError):
            await waiting


async def test_a_client_that_hangs_in_its_shutdown_is_left_and_the_next_gets_new_threads() -> None:
    async with opened() as (link, pipeline, _listener):
        pipeline.hangs.add("shutdown")
        before = pipeline_thread._get_named_executor("pipeline")

        assert not await link.close(0.05)

        assert pipeline.paho.cut
        assert pipeline_thread._get_named_executor("pipeline") is not before


async def test_a_shutdown_that_fails_counts_as_done() -> None:
    async with opened() as (link, pipeline, _listener):
        pipeline.raises["shutdown"] = RuntimeError("not running")

        assert await link.close(LIMIT_S)
        assert pipeline.paho.cut


async def test_the_thread_ends_with_the_link() -> None:
    others = set(threading.enumerate())
    async with opened() as (link, _pipeline, _listener):
        [thread] = [thread for thread in set(threading.enumerate()) - others if thread.name == "upstream-link"]
        await link.close(LIMIT_S)

        thread.join(LIMIT_S)
        assert not thread.is_alive()
