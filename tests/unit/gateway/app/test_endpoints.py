import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edgewire.message import Outcome, named_endpoint
from gateway.app.document import GatewaySettings
from gateway.app.endpoints import EndpointRoom
from gateway.app.settings import read_environment
from gateway.observe.endpoints import EndpointTryFailed, EndpointWithoutSettings
from gateway.observe.events import Event
from gateway.observe.upstream import LinkFault
from gateway.upstream.endpoint import EndpointSettings
from gateway.upstream.proxy import LinkState
from support.endpoint_links import stored
from support.gateway_site import until

WHERE = named_endpoint("archive")
ARCHIVE = EndpointSettings(name="archive", event_hub="t", secret="archive")
SETTINGS = GatewaySettings(endpoints={"archive": ARCHIVE})


def room(folder: Path, events: list[Event], **environ: str) -> EndpointRoom:
    named = {"GATEWAY_SECRETS_DIR": str(folder), **environ}
    return EndpointRoom(read_environment(named), named, events.append)


@asynccontextmanager
async def running(room: EndpointRoom) -> AsyncIterator[None]:
    task = asyncio.ensure_future(room.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_a_backlog_without_settings_waits_and_is_told_once(tmp_path: Path) -> None:
    events: list[Event] = []
    endpoints = room(tmp_path, events)
    proxy = endpoints.carrier(WHERE)
    assert proxy is not None
    assert endpoints.carrier(WHERE) is proxy
    assert events == [EndpointWithoutSettings("archive")]
    assert (await proxy.send(stored(1), WHERE)).outcome is Outcome.RELEASED
    assert endpoints.status()["archive"].state is LinkState.CLOSED


async def test_without_a_connection_string_it_says_what_is_missing_and_tries_again(tmp_path: Path) -> None:
    events: list[Event] = []
    endpoints = room(tmp_path, events)
    endpoints.use(SETTINGS)
    async with running(endpoints):
        await until(lambda: len(events) > 1)
    [first, *_] = events
    assert isinstance(first, EndpointTryFailed)
    assert first.fault is LinkFault.ENVIRONMENT
    assert str(tmp_path / "archive") in first.reason


async def test_a_connection_string_that_is_none_is_told_without_it(tmp_path: Path) -> None:
    events: list[Event] = []
    endpoints = room(tmp_path, events, GATEWAY_ENDPOINT_ARCHIVE_CONNECTION_STRING="SharedAccessKey=c2VjcmV0")
    async with running(endpoints):
        endpoints.use(SETTINGS)
        await until(lambda: len(events) > 0)
    assert "Endpoint is missing" in events[0].sentence()
    assert "c2VjcmV0" not in events[0].sentence()


async def test_settings_that_are_as_they_were_change_nothing(tmp_path: Path) -> None:
    events: list[Event] = []
    endpoints = room(tmp_path, events)
    endpoints.use(SETTINGS)
    async with running(endpoints):
        await until(lambda: len(events) > 0)
        since_at = endpoints.status()["archive"].since_at
        endpoints.use(GatewaySettings(endpoints={"archive": ARCHIVE}))
        await asyncio.sleep(0)
        assert endpoints.status()["archive"].since_at >= since_at
        endpoints.use(GatewaySettings())
        await until(lambda: EndpointWithoutSettings("archive") in events)
        await until(lambda: endpoints.status()["archive"].state is LinkState.CLOSED)
