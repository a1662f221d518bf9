import json
from typing import Any

import pytest

from standin.app import StandIn
from standin.hub import MethodResult
from support.standin_commands import run


async def test_the_answer_is_printed(
    standin: StandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    async def answer(*call: Any, **options: Any) -> MethodResult:
        calls.append((*call, options))
        return MethodResult(200, b'{"done":true}')

    monkeypatch.setattr(standin.hub, "invoke_method", answer)
    said = await run(standin, capsys, "invoke-method", "m1", "blink", '{"n":3}', "--connect-timeout", "2")
    assert json.loads(said.out) == {"status": 200, "payload": {"done": True}}
    ((who, name, payload, options),) = calls
    assert (str(who), name, payload) == ("edge-1/m1", "blink", {"n": 3})
    assert options == {"response_timeout_s": 30, "connect_timeout_s": 2}


async def test_who_is_not_connected_is_said(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    said = await run(standin, capsys, "invoke-method", "m1", "ping")
    assert said.code == 1
    assert "404103" in said.err
