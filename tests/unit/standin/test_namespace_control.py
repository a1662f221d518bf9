import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from standin.app import StandIn
from standin.client import Control, ControlError
from support.standin_commands import running


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with running(tmp_path, "127.0.70.61") as standin:
        yield standin


async def ask(standin: StandIn, method: str, path: str, body: object = None, **query: str) -> dict[str, object]:
    answer: dict[str, object] = await asyncio.to_thread(
        lambda: Control(standin.directory).ask(method, path, body, **query)
    )
    return answer


async def test_an_event_hub_has_the_partitions_that_were_asked_for(standin: StandIn) -> None:
    made = await ask(standin, "POST", "/event-hubs", {"name": "telemetry", "partitions": 2})
    assert made == {"name": "telemetry", "partitions": 2, "events": 0}
    assert await ask(standin, "GET", "/event-hubs") == {"eventHubs": [made]}


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("POST", "/event-hubs", {"name": "telemetry", "partitions": "two"}, "whole number"),
        ("POST", "/event-hubs", {"name": "telemetry", "partitions": 40}, "40 partitions cannot be"),
        ("POST", "/event-hubs/key", {"name": "telemetry", "policy": "send"}, "no Event Hub"),
        ("GET", "/event-hubs/connection-string", None, "no Event Hub"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    standin: StandIn, method: str, path: str, body: object, words: str
) -> None:
    with pytest.raises(ControlError) as refused:
        await ask(standin, method, path, body)
    assert words in refused.value.what
