"""What arrived in the stand-in, read by azure-eventhub and by @azure/event-hubs, over TCP and WebSocket."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from edgewire.iothub import sas
from edgewire.message import identity
from standin.app import StandIn
from support.amqp_peers import MESSAGES, NODE_DEVICE, PATIENCE_S, Program, Server, peer, succeed
from support.clients import Client
from support.compatibility import Seen, Table, each_of
from support.event_log import message
from support.gateway_site import KEY

AZURE_EVENTHUB: Final = (sys.executable, "programs/event_reader.py")
NODE_EVENT_HUBS: Final = ("node", "node/event_reader.js")
KEYS: Final = (sas.encode_key(KEY), sas.encode_key(KEY[::-1]))
OVER_WEBSOCKET: Final = (False, True) if os.geteuid() == 0 else (False,)
"""The clients know no port for it but 443: a privilege."""
DEVICE: Final = "d1"
BODIES: Final = ['{"n":0}', '{"n":1}', '{"n":2}', '{"n":3}', '{"n":4}']
each_way = pytest.mark.parametrize("websocket", OVER_WEBSOCKET)
CLIENTS: Final = {AZURE_EVENTHUB: Client.PYTHON_EVENTS, NODE_EVENT_HUBS: Client.NODE_EVENTS}
each_client = pytest.mark.parametrize("client", CLIENTS, ids=["python", "node"])


def over(client: Client, *, websocket: bool) -> str:
    """The row of this client in docs/compatibility.md."""
    return client.over("amqp-ws" if websocket else "amqp")


def rows_of(client: Client) -> dict[bool, str]:
    return {websocket: over(client, websocket=websocket) for websocket in OVER_WEBSOCKET}


def each_client_seen(*columns: str) -> pytest.MarkDecorator:
    """Each client over TCP, which by this test is seen to do this."""
    rows = {program: over(client, websocket=False) for program, client in CLIENTS.items()}
    return pytest.mark.parametrize("client", each_of(Table.SERVICE, rows, *columns))


class Shown:
    """What the stand-in tells its person, to wait for."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, line: str) -> None:
        self._lines.append(line)
        self._news.set()

    async def until(self, start: str, count: int = 1) -> None:
        """Wait for so many lines that begin so."""
        async with asyncio.timeout(PATIENCE_S):
            while sum(line.startswith(start) for line in self._lines) < count:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
def shown() -> Shown:
    return Shown()


@asynccontextmanager
async def running(folder: Path, certificates: Path, address: str, shown: Shown) -> AsyncIterator[StandIn]:
    async with StandIn(folder / "run", address=address, certificates=certificates, show=shown) as standin:
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


@pytest.fixture
async def standin(tmp_path: Path, certificates: Path, loopback: Iterator[str], shown: Shown) -> AsyncIterator[StandIn]:
    async with running(tmp_path, certificates, next(loopback), shown) as standin:
        standin.add_device(DEVICE, keys=KEYS)
        yield standin


async def arrive(standin: StandIn, *bodies: str, device: str = DEVICE) -> None:
    """Messages of a device arrive one after the other, each at a time of its own."""
    for body in bodies:
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        standin.hub.receive_batch([message(body.encode(), device)], kept.set_result)
        assert await kept
        await asyncio.sleep(0.002)  # the clock of events counts milliseconds


def plan_of(standin: StandIn, *reads: dict[str, Any], **more: Any) -> dict[str, Any]:
    partition = str(standin.events.partition_of(DEVICE))
    return {
        "connection": standin.event_hub_connection_string("service"),
        "ca": str(standin.directory / "trust-bundle.pem"),
        "reads": [{"partition": partition} | read for read in reads],
        **more,
    }


def read_by(said: list[dict[str, Any]]) -> list[str]:
    return [line["body"] for line in said if line["event"] == "read"]


@each_way
@each_client
async def test_a_reader_asks_what_there_is(standin: StandIn, client: Program, seen: Seen, *, websocket: bool) -> None:
    await arrive(standin, *BODIES)
    said = await succeed(client, plan_of(standin, ask=True, websocket=websocket))
    [hub] = [line for line in said if line["event"] == "hub"]
    assert (hub["name"], hub["partitions"]) == ("standin-hub", ["0", "1", "2", "3"])
    assert hub["created_at"] == int(standin.events.created_at * 1000)
    mine = standin.events.partition_of(DEVICE)
    empty = {"first": 0, "last": -1, "offset": "-1", "empty": True}
    full = {"first": 0, "last": 4, "offset": "5", "empty": False}
    assert [line for line in said if line["event"] == "partition"] == [
        {"event": "partition", "id": str(number)} | (full if number == mine else empty) for number in range(4)
    ]
    seen(Table.SERVICE, over(CLIENTS[client], websocket=websocket), "management")


@pytest.mark.parametrize("websocket", each_of(Table.SERVICE, rows_of(Client.PYTHON_EVENTS), "offsets"))
async def test_azure_eventhub_begins_wherever_it_wants_to(standin: StandIn, *, websocket: bool) -> None:
    await arrive(standin, *BODIES)
    times = [int(event.enqueued_at * 1000) for event in standin.events.read()]
    reads: list[tuple[dict[str, Any], list[str]]] = [
        ({"position": "-1"}, BODIES),
        ({"position": "2"}, BODIES[2:]),
        ({"position": "2", "inclusive": True}, BODIES[1:]),
        ({"position": 2}, BODIES[3:]),
        ({"position": 2, "inclusive": True}, BODIES[2:]),
        ({"time_ms": times[2]}, BODIES[3:]),
        ({"time_ms": times[2] - 1}, BODIES[2:]),
    ]
    if websocket:
        del reads[2:]  # what is under AMQP makes no difference to the rest, and each ends with seconds of its own
    plan = plan_of(standin, *(read | {"count": len(wanted)} for read, wanted in reads), websocket=websocket)
    assert read_by(await succeed(AZURE_EVENTHUB, plan)) == [body for _, wanted in reads for body in wanted]


@pytest.mark.parametrize("websocket", each_of(Table.SERVICE, rows_of(Client.NODE_EVENTS), "offsets"))
async def test_nodes_client_begins_wherever_it_wants_to(standin: StandIn, *, websocket: bool) -> None:
    await arrive(standin, *BODIES)
    times = [int(event.enqueued_at * 1000) for event in standin.events.read()]
    reads: list[tuple[dict[str, Any], list[str]]] = [
        ({"offset": "-1"}, BODIES),
        ({"offset": "2"}, BODIES[2:]),
        ({"offset": "2", "isInclusive": True}, BODIES[1:]),
        ({"sequenceNumber": 2}, BODIES[3:]),
        ({"sequenceNumber": 2, "isInclusive": True}, BODIES[2:]),
        ({"enqueuedOn": times[2]}, BODIES[3:]),
    ]
    plan = plan_of(
        standin, *({"position": position, "count": len(wanted)} for position, wanted in reads), websocket=websocket
    )
    assert read_by(await succeed(NODE_EVENT_HUBS, plan)) == [body for _, wanted in reads for body in wanted]


@each_way
@each_client
async def test_a_reader_at_the_end_hears_what_comes_then(
    standin: StandIn, shown: Shown, client: Program, seen: Seen, *, websocket: bool
) -> None:
    await arrive(standin, "1", "2")
    position: Any = "@latest" if client is AZURE_EVENTHUB else {"offset": "@latest"}
    plan = plan_of(standin, {"position": position, "count": 2, "track": True}, websocket=websocket)
    async with peer(client, plan) as reader:
        await shown.until("a reader of partition")
        await arrive(standin, "3")
        await reader.until("read")
        await arrive(standin, "4")
        said = await reader.succeed()
    assert read_by(said) == ["3", "4"]
    assert [line["end"]["number"] for line in said if line["event"] == "read"] == [2, 3]
    seen(Table.SERVICE, over(CLIENTS[client], websocket=websocket), "read events")


@each_client
async def test_what_a_device_sends_is_what_its_reader_gets(standin: StandIn, client: Program) -> None:
    server = Server(hub=standin.hub_name, address=standin.address, root=standin.directory / "trust-bundle.pem")
    await succeed(NODE_DEVICE, server.node(DEVICE, messages=MESSAGES))
    position: Any = "-1" if client is AZURE_EVENTHUB else {"offset": "-1"}
    said = await succeed(client, plan_of(standin, {"position": position, "count": 2}))
    first = next(line for line in said if line["event"] == "read")
    [event, _] = standin.events.read()
    entry = standin.hub.registry.get(identity(DEVICE))
    assert entry is not None
    enqueued_at_ms = int(event.enqueued_at * 1000)
    assert (first["body"], first["properties"]) == ('{"t":31}', {"a b": "c/d&e"})
    assert (first["content_type"], first["message_id"]) == ("application/json", "m 1")
    assert (first["offset"], first["number"], first["enqueued_at_ms"]) == ("1", 0, enqueued_at_ms)
    system = {name: value for name, value in first["system"].items() if name.startswith("iothub-")}
    assert system == {
        "iothub-connection-device-id": DEVICE,
        "iothub-connection-auth-method": (
            '{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}'
        ),
        "iothub-connection-auth-generation-id": entry.generation_id,
        "iothub-enqueuedtime": enqueued_at_ms,
        "iothub-message-source": "Telemetry",
    }


@each_client_seen("owner levels")
async def test_a_higher_owner_level_takes_the_partition_over(standin: StandIn, shown: Shown, client: Program) -> None:
    latest: Any = "@latest" if client is AZURE_EVENTHUB else {"offset": "@latest"}
    low = plan_of(standin, {"position": latest, "count": 1, "level": 1})
    high = plan_of(standin, {"position": latest, "count": 1, "level": 2})
    async with peer(client, low) as loser:
        await shown.until("a reader of partition")
        async with peer(client, high) as winner:
            lost = await loser.until("read failed")
            await shown.until("a reader of partition", 2)
            await arrive(standin, "7")
            assert read_by(await winner.succeed()) == ["7"]
        assert read_by(await loser.succeed()) == []
    assert "owner level 2" in lost["message"]


@each_client
async def test_a_restart_keeps_events_offsets_and_numbers(
    tmp_path: Path, certificates: Path, loopback: Iterator[str], shown: Shown, client: Program
) -> None:
    address = next(loopback)
    async with running(tmp_path, certificates, address, shown) as standin:
        standin.add_device(DEVICE)
        await arrive(standin, "1", "2")
    async with running(tmp_path, certificates, address, shown) as standin:
        await arrive(standin, "3")
        position: Any = "1" if client is AZURE_EVENTHUB else {"offset": "1"}
        said = await succeed(client, plan_of(standin, {"position": position, "count": 2}))
    found = [(line["body"], line["offset"], line["number"]) for line in said if line["event"] == "read"]
    assert found == [("2", "2", 1), ("3", "3", 2)]


@each_client_seen("refusals")
async def test_a_key_without_the_right_reads_nothing(standin: StandIn, client: Program) -> None:
    await arrive(standin, "1")
    position: Any = "-1" if client is AZURE_EVENTHUB else {"offset": "-1"}
    plan = plan_of(standin, {"position": position, "count": 1})
    said = await succeed(client, plan | {"connection": standin.event_hub_connection_string("registryRead")})
    assert [line["event"] for line in said if "read" in line["event"] and line["event"] != "reading"] == ["read failed"]
