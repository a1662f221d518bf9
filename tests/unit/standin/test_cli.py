from pathlib import Path

import pytest

from standin import cli
from standin.commands.terminal import UNUSABLE

WORDS = (
    *("run", "devices", "events", "monitor-events", "send-c2d", "purge-c2d", "monitor-feedback", "twin"),
    *("invoke-method", "set-modules", "sas", "connection-string", "environment", "faults", "status"),
)


def test_every_command_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for word in WORDS:
        assert f"\n    {word}" in text


@pytest.mark.parametrize("arguments", [[], ["evnts"], ["twin"], ["status", "--no-such-option"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2


def test_without_a_running_stand_in_the_code_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--dir", str(tmp_path)]) == UNUSABLE
    assert "standin run" in capsys.readouterr().err
