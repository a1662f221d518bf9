"""An Event Hub as endpoint, with the store's promise: what was acknowledged arrives there, in order, whatever stops."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from standin.app import Ports, StandIn
from standin.namespace import OwnEventHub
from support.endpoint_site import EVENT_HUB, NAME, all_kept, configure, events_in, write_key
from support.gateway_site import GatewaySite, until
from support.numbered_devices import all_arrived, judge, kill_cycles, numbered, progress, sending


@pytest.fixture
async def elsewhere(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[StandIn]:
    """A second stand-in, whose namespace the gateway sends to; the hub is the site's."""
    standin = StandIn(
        tmp_path / "elsewhere", address=next(loopback), ports=Ports(mqtt=0, websocket=None), certificates=certificates
    )
    async with standin:
        yield standin


async def more_events(event_hub: OwnEventHub, count: int) -> None:
    """Return when the Event Hub has so many more than now."""
    wanted = event_hub.log.count() + count
    await until(lambda: event_hub.log.count() >= wanted, 60)


async def test_kill_9_loses_nothing_on_its_way_to_an_event_hub(site: GatewaySite) -> None:
    event_hub = configure(site, site.hub)
    devices = numbered(site, 3, burst_pause_s=0.25)
    findings = await kill_cycles(site, devices, cycles=2, seed=3)
    findings.assert_none()
    there = judge(devices, await all_kept(site, event_hub, devices))
    there.assert_none()
    await site.gateway.stop()


async def test_a_cut_line_makes_repeats_that_are_known_and_loses_nothing(site: GatewaySite) -> None:
    event_hub = configure(site, site.hub)
    devices = numbered(site, 3, burst_pause_s=0.25)
    await site.gateway.start(GATEWAY_UPSTREAM_STALL_S="5")
    async with sending(devices):
        for _ in range(2):
            await more_events(event_hub, 30)
            site.hub.hub.faults.acknowledgement_delay_s = 10
            await more_events(event_hub, 1)
            site.hub.drop_connections()
            site.hub.behave()
        await more_events(event_hub, 30)
    findings = judge(devices, await all_kept(site, event_hub, devices))
    findings.assert_none()
    assert findings.repeated > 0, "what was kept and not acknowledged came again, with the same ids"
    await site.gateway.stop()


async def test_upstream_flows_while_the_event_hub_is_away(site: GatewaySite, elsewhere: StandIn) -> None:
    event_hub = configure(site, elsewhere)
    devices = numbered(site, 3, burst_pause_s=0.25)
    await site.gateway.start()
    async with sending(devices):
        await more_events(event_hub, 1)
        await elsewhere.__aexit__(None, None, None)
        await site.gateway.said(f"link to the endpoint '{NAME}' lost")
        await site.arrived(60, after=site.hub.events.last_sequence)
        await site.gateway.said(f"cannot connect to the endpoint '{NAME}'")
        link = (await site.status())["endpoints"][NAME]
        assert link["state"] in ("waiting", "connecting")
        await progress(devices, 20)
        await elsewhere.__aenter__()
        event_hub = elsewhere.namespace.ensure(EVENT_HUB)
        await more_events(event_hub, 100)
    judge(devices, await all_kept(site, event_hub, devices)).assert_none()
    judge(devices, await all_arrived(site, devices)).assert_none()
    assert (await site.metrics())['gateway_endpoint_drops_total{fault="unreachable"}'] == 1
    await site.gateway.stop()


async def test_a_busy_event_hub_is_asked_again(site: GatewaySite, elsewhere: StandIn) -> None:
    event_hub = configure(site, elsewhere)
    devices = numbered(site, 2, burst_pause_s=0.25)
    elsewhere.throttle()
    await site.gateway.start()
    async with sending(devices):
        await site.counted('gateway_forwarding_pauses_total{endpoint_kind="endpoint"}')
        assert event_hub.log.count() == 0
        elsewhere.behave()
        await until(lambda: event_hub.log.count() > 0)
    findings = judge(devices, await all_kept(site, event_hub, devices))
    findings.assert_none()
    assert findings.repeated == 0, "what is refused was not kept"
    await site.gateway.stop()


async def test_a_new_key_is_taken_from_its_file_without_a_restart(site: GatewaySite, elsewhere: StandIn) -> None:
    event_hub = configure(site, elsewhere)
    write_key(site, elsewhere, "listen")
    devices = numbered(site, 1, burst_pause_s=0.25)
    await site.gateway.start()
    async with sending(devices):
        said = await site.gateway.said("'Send' claim(s) are required")
        assert f"cannot connect to the endpoint '{NAME}'" in said
        await progress(devices, 5)
        write_key(site, elsewhere)
        await until(lambda: event_hub.log.count() > 0, 60)
    judge(devices, await all_kept(site, event_hub, devices)).assert_none()
    assert "SharedAccessKey" not in site.gateway.transcript()
    await site.gateway.stop()


async def test_settings_take_an_endpoint_away_and_give_it_back(site: GatewaySite, elsewhere: StandIn) -> None:
    event_hub = configure(site, elsewhere)
    before, after = numbered(site, 2, burst_pause_s=0.25)
    await site.gateway.start()
    async with sending([before]):
        await until(lambda: event_hub.log.count() > 0)
    await all_kept(site, event_hub, [before])  # what is on its way when the link is closed may come again
    site.write_settings(routes={"cloud": "FROM /messages/* INTO $upstream"})
    await site.gateway.said("do not name any more")
    there = event_hub.log.count()
    async with sending([after]):
        arrived = site.hub.events.count()
        await site.arrived(arrived + 10)
        configure(site, elsewhere)
        await until(lambda: event_hub.log.count() > there)
    ids = [event.system["messageId"] for event in events_in(event_hub)]
    assert len(ids) == len(set(ids))
    await site.gateway.stop()
