import json

import pytest

from standin.app import StandIn
from support.standin_commands import run


async def test_event_hubs_are_made_and_listed(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert (await run(standin, capsys, "eventhubs", "add", "telemetry")).out == "telemetry with 4 partitions\n"
    await run(standin, capsys, "eventhubs", "add", "archive", "--partitions", "2")
    assert "archive                    2 partitions, 0 events" in (await run(standin, capsys, "eventhubs", "list")).out
    lines = (await run(standin, capsys, "eventhubs", "list", "--json")).out.splitlines()
    assert json.loads(lines[0]) == {"name": "telemetry", "partitions": 4, "events": 0}


async def test_a_client_is_told_how_to_reach_one(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    standin.namespace.create("telemetry")
    first = (await run(standin, capsys, "eventhubs", "connection-string", "telemetry")).out
    assert first.startswith(f"Endpoint=sb://{standin.address}/;SharedAccessKeyName=send;")
    assert first.endswith(";EntityPath=telemetry\n")
    again = await run(standin, capsys, "eventhubs", "connection-string", "telemetry", "--policy", "listen")
    assert "SharedAccessKeyName=listen;" in again.out
    changed = (await run(standin, capsys, "eventhubs", "connection-string", "telemetry", "--new-key")).out
    assert changed != first
    assert changed == standin.own_event_hub_string("telemetry", "send") + "\n"


async def test_what_cannot_be_is_said(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    said = await run(standin, capsys, "eventhubs", "add", "a/b")
    assert (said.code, "is no name" in said.err) == (1, True)
    said = await run(standin, capsys, "eventhubs", "connection-string", "other")
    assert (said.code, "no Event Hub 'other'" in said.err) == (1, True)
    said = await run(standin, capsys, "eventhubs", "connection-string", "other", "--new-key")
    assert said.code == 1
