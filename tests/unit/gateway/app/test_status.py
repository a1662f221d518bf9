import json
from dataclasses import replace
from pathlib import Path

from gateway.app.configuration import Configuration
from gateway.app.status import gateway_status
from gateway.dispatch.presence import Presence
from gateway.observe.events import Event
from gateway.upstream.proxy import LinkState, LinkStatus
from support.mqtt_site import START, Site


def ignore(_event: Event) -> None:
    """No listener."""


async def test_the_status_tells_who_what_and_why_in_json(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        device = site.login()
        device.publish("devices/d1/messages/events/")
        await site.store.flush()
        site.clock.now += 5
        link = LinkStatus(
            state=LinkState.WAITING, reason="no route to host", since_at=90.0, last_success_at=None, in_flight=2
        )
        status = gateway_status(
            started_at=START - 100,
            now=site.clock.now,
            presence=site.presence,
            connections=3,
            store=site.store.status(),
            configuration=Configuration(path=tmp_path / "s.json", apply=lambda *_: None, emit=ignore),
            link=link,
            devices_link=replace(link, state=LinkState.CONNECTED, reason=""),
            link_now=100.0,
            totals={"gateway_received_messages_total": 1},
            unsent=["all"],
        )
        assert json.loads(json.dumps(status)) == status
        assert (status["devices"], status["connections"], status["uptimeSecs"]) == (1, 3, 105)
        assert status["upstream"]["state"] == "waiting"
        assert "no route to host" in status["upstream"]["sentence"]
        assert status["upstream"]["forSecs"] >= 0
        assert status["upstreamOnBehalf"]["state"] == "connected"
        assert status["settings"]["batchesWithoutSender"] == ["all"]
        (queue,) = status["store"]["queues"]
        assert (queue["endpoint"], queue["messages"], queue["oldestAgeSecs"]) == ("$upstream", 1, 5)
        assert status["counters"] == {"gateway_received_messages_total": 1}
        process = status["process"]
        assert process["tasks"] >= 1
        assert 3 < process["openFiles"] < 1000
        assert 10_000_000 < process["rssBytes"] < 2_000_000_000


async def test_a_gateway_without_upstream_says_so(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        status = gateway_status(
            started_at=START,
            now=START,
            presence=Presence(),
            connections=0,
            store=site.store.status(),
            configuration=Configuration(path=tmp_path / "s.json", apply=lambda *_: None, emit=ignore),
            link=None,
            devices_link=None,
            link_now=0.0,
            totals={},
        )
        assert status["upstream"] is None
        assert status["upstreamOnBehalf"] is None
        assert status["settings"]["lastOfferWasGood"]
