import json

import pytest

from standin.app import StandIn
from standin.faults import Faults
from support.standin_commands import run


async def test_faults_are_set_shown_and_cleared(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    said = await run(standin, capsys, "faults", "set", "throttling=on", "drop-after=7", "clock-skew-s=-60.5")
    assert said.code == 0
    assert standin.hub.faults == Faults(throttling=True, drop_after=7, clock_skew_s=-60.5)
    said = await run(standin, capsys, "faults", "set", "throttling=off")
    lines = (await run(standin, capsys, "faults", "show")).out.splitlines()
    assert "throttling                  off  no message is taken: throttled (429)" in lines
    assert any(line.split()[:2] == ["drop-after", "7"] for line in lines)
    assert json.loads((await run(standin, capsys, "faults", "show", "--json")).out)["clock_skew_s"] == -60.5
    assert (await run(standin, capsys, "faults", "clear")).out == "no faults are in force\n"
    assert standin.hub.faults == Faults()


@pytest.mark.parametrize(
    ("argument", "code", "words"),
    [
        ("stalled", 2, "NAME=VALUE"),
        ("stalled=perhaps", 1, "on or off"),
        ("no-such=1", 1, "there is no fault 'no_such'"),
    ],
)
async def test_what_is_no_fault_is_said(
    standin: StandIn, capsys: pytest.CaptureFixture[str], argument: str, code: int, words: str
) -> None:
    said = await run(standin, capsys, "faults", "set", argument)
    assert said.code == code
    assert words in said.err


async def test_connections_are_cut_once(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert (await run(standin, capsys, "faults", "drop")).out == "0 connections cut\n"
