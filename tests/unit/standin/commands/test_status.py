import json

import pytest

from standin.app import StandIn
from support.standin_commands import event, run


async def test_the_status_is_told(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    await event(standin, b"one")
    assert (await run(standin, capsys, "status")).out.splitlines() == [
        "standin-hub.test at 127.0.70.20, 1 events",
        "connected: nobody",
        "events: 1",
    ]
    assert json.loads((await run(standin, capsys, "status", "--json")).out)["events"] == 1
