import json
from pathlib import Path

import pytest

from standin.app import StandIn
from support.standin_commands import run


async def test_a_twin_is_updated_from_the_command_line_or_a_file(
    standin: StandIn, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert (await run(standin, capsys, "twin", "update", "m1", '{"a":1}')).out == "edge-1/m1 has desired version 2\n"
    patch = tmp_path / "patch.json"
    patch.write_text('{"b":2}')
    await run(standin, capsys, "twin", "update", "m1", f"@{patch}")
    shown = json.loads((await run(standin, capsys, "twin", "show", "m1")).out)
    assert shown["desired"] == {"a": 1, "b": 2, "$version": 3}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("show", "nobody"), 1, "devices list"),
        (("update", "m1", "{"), 2, "not JSON"),
        (("update", "m1", "@/no/such/file"), 2, "/no/such/file"),
        (("update", "m1", '{"a.b":1}'), 1, "a.b"),
    ],
)
async def test_what_cannot_be_done_is_said(
    standin: StandIn, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    said = await run(standin, capsys, "twin", *arguments)
    assert said.code == code
    assert words in said.err
