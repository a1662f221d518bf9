import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from standin.app import StandIn
from standin.client import Control, ControlError
from support.standin_commands import running


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with running(tmp_path, "127.0.70.23") as standin:
        standin.add_device("leaf")
        yield standin


async def ask(standin: StandIn, method: str, path: str, body: object = None, **query: str | float) -> dict[str, object]:
    answer: dict[str, object] = await asyncio.to_thread(
        lambda: Control(standin.directory).ask(method, path, body, **query)
    )
    return answer


async def test_feedback_that_is_waited_for_comes_when_it_is_there(standin: StandIn) -> None:
    await ask(standin, "POST", "/c2d", {"body": "on", "ack": "negative", "messageId": "m1"}, identity="leaf")
    waiting = asyncio.ensure_future(ask(standin, "GET", "/feedback", wait_s=20))
    await ask(standin, "DELETE", "/c2d", identity="leaf")
    standin.hub.feedback.flush()
    records = (await waiting)["records"]
    assert isinstance(records, list)
    assert [record["statusCode"] for record in records] == ["Purged"]
    assert (await ask(standin, "GET", "/feedback"))["records"] == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"body": "on", "properties": []}, None),
        ({"body": "on", "properties": ["x"]}, "properties is no JSON object"),
        ({"body": "on", "ack": "perhaps"}, "ack"),
        ({"body": "on", "lifeSecs": -1}, "lifeSecs"),
        ({"body": "on", "lifeSecs": "soon"}, "lifeSecs"),
    ],
)
async def test_a_message_that_makes_no_sense_is_refused(
    standin: StandIn, body: dict[str, object], words: str | None
) -> None:
    if words is None:
        assert (await ask(standin, "POST", "/c2d", body, identity="leaf"))["sequence"] == 1
        return
    with pytest.raises(ControlError, match=words) as refused:
        await ask(standin, "POST", "/c2d", body, identity="leaf")
    assert refused.value.status == 400
