import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.codec.amqp.conditions import STOLEN
from edgewire.codec.amqp.kinds import Symbol
from edgewire.message import identity
from edgewire.session.amqp.link import Link
from gateway.dispatch.presence import Ending
from gateway.head import amqp_guest
from gateway.head.amqp_guest import FAREWELLS
from gateway.observe.head import DeviceDisconnected, Leaving
from support.amqp_site import AmqpSite, Client

EVENTS = "/devices/d1/messages/events"
C2D = "/devices/d1/messages/devicebound"
TWIN = "/devices/d1/twin"
METHODS = "/devices/d1/methods/devicebound"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AmqpSite]:
    async with AmqpSite.open(tmp_path) as site:
        yield site


def channel(name: str) -> dict[Symbol, object]:
    return {Symbol("com.microsoft:channel-correlation-id"): name}


def condition(client: Client, link: Link) -> str | None:
    refusal = client.refusal_of(link)
    return None if refusal is None else refusal.condition


@pytest.mark.parametrize("ending", list(Ending))
async def test_every_end_that_dispatch_brings_has_its_reason(site: AmqpSite, ending: Ending) -> None:
    client, session = site.by_token("d1")
    links = client.telemetry(session), client.receiver(session, C2D)
    assert site.presence.end([identity("d1")], ending) == 1
    assert [condition(client, link) for link in links] == [FAREWELLS[ending].condition] * 2
    assert site.reasons(DeviceDisconnected) == [FAREWELLS[ending].leaving]
    assert not client.is_closed()


@pytest.mark.plain
async def test_links_end_when_their_token_does_and_those_of_others_stay(
    site: AmqpSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp_guest, "TOKEN_CHECK_S", 0.01)
    client, session = site.by_token("d1", "d2")
    site.clock.now += 1800
    links = client.cbs(client.begin())
    assert client.put(links, site.sas("d2")).status == 200
    ends, stays = client.telemetry(session, "d1"), client.telemetry(session, "d2")
    site.clock.now += 1800 + 301
    await client.until(lambda: condition(client, ends) is not None)
    assert condition(client, stays) is None
    assert site.reasons(DeviceDisconnected) == [Leaving.TOKEN_EXPIRED]
    assert site.presence.identities() == (identity("d2"),)
    assert condition(client, client.sender(session, EVENTS, "again")) is not None


async def test_a_clock_that_was_set_ahead_ends_expired_tokens_at_once_and_no_others(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    link = client.telemetry(session)
    site.clock.now += 1800
    site.presence.judge_again()
    assert condition(client, link) is None
    site.clock.now += 1800 + 301
    site.presence.judge_again()
    assert condition(client, link) is not None


async def test_a_second_link_of_a_kind_takes_the_place_of_the_first(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    first, c2d = client.telemetry(session), client.receiver(session, C2D)
    second = client.sender(session, EVENTS, "another")
    assert [condition(client, link) for link in (first, c2d, second)] == [STOLEN, None, None]
    assert identity("d1") in site.presence
    assert site.reasons(DeviceDisconnected) == []


@pytest.mark.parametrize("address", [TWIN, METHODS])
async def test_the_halves_of_two_channels_do_not_make_one(site: AmqpSite, address: str) -> None:
    client, session = site.by_token("d1")
    requests = client.sender(session, address, properties=channel("twin:one"))
    answers = client.receiver(session, address, properties=channel("twin:one"))
    assert [condition(client, link) for link in (requests, answers)] == [None, None]
    other = client.receiver(session, address, "another", properties=channel("twin:two"))
    assert [condition(client, link) for link in (requests, answers, other)] == [STOLEN, STOLEN, None]


async def test_the_c_sdks_channels_without_a_colon_are_pairs(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    requests = client.sender(session, METHODS, properties=channel("d1"))
    answers = client.receiver(session, METHODS, properties=channel("d1"))
    assert [condition(client, link) for link in (requests, answers)] == [None, None]


async def test_what_the_client_detaches_after_us_changes_nothing(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    first = client.telemetry(session)
    client.engine.detach(first)
    site.presence.end([identity("d1")], Ending.TAKEN_OVER)
    client.transfer()
    await asyncio.sleep(0)
    assert site.reasons(DeviceDisconnected) == [Leaving.TAKEN_OVER]
