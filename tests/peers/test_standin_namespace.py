"""What the gateway sends to an Event Hub, read by azure-eventhub and by @azure/event-hubs; over WebSocket too."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from edgewire.iothub.partitions import partition_of_key
from edgewire.message import Outcome
from gateway.upstream.endpoint import EndpointSettings, EndpointTransport, read_connection_string
from gateway.upstream.eventhub_link import EventHubLink
from standin.app import StandIn
from support.amqp_peers import Program, succeed
from support.endpoint_links import Stored, stored

AZURE_EVENTHUB: Final = (sys.executable, "programs/event_reader.py")
NODE_EVENT_HUBS: Final = ("node", "node/event_reader.js")
HUB: Final = "telemetry"
OVER: Final = EndpointTransport.WEBSOCKET if os.geteuid() == 0 else EndpointTransport.AMQP
"""WebSocket has no port but 443: a privilege."""


@pytest.fixture
async def standin(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> AsyncIterator[StandIn]:
    async with StandIn(tmp_path / "run", address=next(loopback), certificates=certificates) as standin:
        standin.namespace.create(HUB, 4)
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


async def send(standin: StandIn, way: EndpointTransport, *entries: Stored) -> None:
    """As the gateway does; all of one device."""
    settings = EndpointSettings(name="archive", transport=way)
    access = read_connection_string(standin.own_event_hub_string(HUB, "send"))
    link = EventHubLink(settings, access, standin.directory / "trust-bundle.pem")
    await link.open()
    lane = link.lane_of(entries[0].message.envelope.sender.device)
    assert [sent.outcome for sent in await link.send(lane, entries)] == [Outcome.ACCEPTED] * len(entries)
    await link.close()


@pytest.mark.parametrize(
    ("client", "start", "way"),
    [(AZURE_EVENTHUB, "-1", EndpointTransport.AMQP), (NODE_EVENT_HUBS, {"offset": "-1"}, OVER)],
    ids=["python", "node"],
)
async def test_what_the_gateway_sends_is_read_as_it_was(
    standin: StandIn, client: Program, start: Any, way: EndpointTransport
) -> None:
    first_sent = stored(1, "d1", contentType="application/json")
    first_sent.message.body = b'{"t":31}'
    await send(standin, way, first_sent, stored(2, "d1", messageId="own"))
    partition = partition_of_key("d1", 4)
    plan = {
        "connection": standin.own_event_hub_string(HUB, "listen"),
        "ca": str(standin.directory / "trust-bundle.pem"),
        "reads": [{"partition": str(partition), "position": start, "count": 2}],
    }
    first, second = [line for line in await succeed(client, plan) if line["event"] == "read"]
    assert (first["body"], first["message_id"], second["message_id"]) == ('{"t":31}', "e1", "own")
    assert (first["number"], second["number"], first["content_type"]) == (0, 1, "application/json")
    assert first["properties"] == {
        "iothub-connection-device-id": "d1",
        "iothub-enqueuedtime": "2026-11-18T11:06:40.123Z",
    }
