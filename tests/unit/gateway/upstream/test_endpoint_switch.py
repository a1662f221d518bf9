import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edgewire.message import Outcome, named_endpoint
from gateway.upstream.endpoint_link import EndpointLink
from gateway.upstream.endpoint_proxy import ENDPOINT_WINDOW, EndpointProxy
from gateway.upstream.endpoint_switch import EndpointSwitch
from gateway.upstream.proxy import LinkState, Window
from support.endpoint_links import FakeLink, stored

WHERE = named_endpoint("archive")
PATIENCE_S = 20.0


def proxy_over(link: FakeLink) -> EndpointProxy:
    async def make_link() -> EndpointLink:
        return link

    return EndpointProxy("archive", make_link=make_link, emit=lambda _: None)


@asynccontextmanager
async def running() -> AsyncIterator[EndpointSwitch]:
    switch = EndpointSwitch()
    task = asyncio.ensure_future(switch.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield switch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_without_settings_messages_are_given_back() -> None:
    async with running() as switch:
        sent = await switch.send(stored(1), WHERE)
        assert (sent.outcome, sent.reason) == (Outcome.RELEASED, "the settings do not name it")
        assert switch.status().state is LinkState.CLOSED
        assert switch.window() == Window()


async def test_it_is_connected_when_the_proxy_in_use_is() -> None:
    async with running() as switch:
        waiting = asyncio.ensure_future(switch.connected())
        await asyncio.sleep(0)
        assert not waiting.done()
        link = FakeLink()
        switch.use(lambda: proxy_over(link))
        await waiting
        future = switch.send(stored(1), WHERE)
        (await link.calls.get()).accept()
        assert (await future).outcome is Outcome.ACCEPTED
        assert switch.window() == ENDPOINT_WINDOW
        assert switch.status().state is LinkState.CONNECTED


async def test_other_settings_end_the_link_and_release_what_was_in_flight() -> None:
    async with running() as switch:
        first, second = FakeLink(), FakeLink()
        switch.use(lambda: proxy_over(first))
        await switch.connected()
        future = switch.send(stored(1), WHERE)
        await first.calls.get()
        switch.use(lambda: proxy_over(second))
        assert (await future).outcome is Outcome.RELEASED
        await second.opened.wait()
        assert first.closed.is_set()
        await switch.connected()
        switch.send(stored(1), WHERE)
        assert (await second.calls.get()).entries


async def test_settings_that_take_it_away_are_waited_behind() -> None:
    async with running() as switch:
        link = FakeLink()
        switch.use(lambda: proxy_over(link))
        await switch.connected()
        switch.use(None)
        await link.closed.wait()
        waiting = asyncio.ensure_future(switch.connected())
        again = FakeLink()
        switch.use(lambda: proxy_over(again))
        await waiting
        assert again.opened.is_set()
