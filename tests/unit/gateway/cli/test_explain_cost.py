import json
from pathlib import Path

import pytest

from gateway.cli.main import main

SETTINGS = {
    "routes": {
        "climate": {
            "route": "FROM /messages/* INTO $upstream",
            "send": {"onChangeOf": "$body.t", "atLeastEverySecs": 600},
        }
    }
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    settings, message = tmp_path / "settings.json", tmp_path / "m.json"
    settings.write_text(json.dumps(SETTINGS))
    message.write_text('{"body": {"t": 20}}')
    return str(settings), str(message)


def test_the_bill_of_a_day(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    settings, message = files
    assert main(["explain", settings, "--message", message, "--cost", "--devices", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "20 devices, each with a message every 10 s: 172,800 messages a day, like the 1 sample in turn"
    rows = {line[:28].strip(): line[28:].split() for line in lines[3:]}
    assert rows["messages"] == ["172,800", "2,880"]
    assert rows["metered, paid tiers (4 KB)"] == ["172,800", "2,880"]
    assert rows["of 8,000 (F1)"] == ["2,160.0%", "36.0%"]
    assert rows["of 400,000 (S1, B1)"] == ["43.2%", "0.7%"]


def test_the_bill_for_programs(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    settings, message = files
    assert main(["explain", settings, "--message", message, "--cost", "--every", "60", "--json"]) == 0
    bill = json.loads(capsys.readouterr().out)
    assert (bill["received"], bill["before"]["messages"], bill["after"]["metered"]) == (1440, 1440, 144)
    assert bill["after"]["ofDailyQuota"]["F1"] == 0.018


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--cost", "--every", "0"], "--every 0 is not possible"),
        (["--cost", "--devices", "0"], "--devices 0 is not possible: write 1 to 100000"),
        (["--devices", "5"], "--every and --devices go with --cost"),
    ],
)
def test_what_is_not_possible(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    settings, message = files
    assert main(["explain", settings, "--message", message, *options]) == 2
    assert sentence in capsys.readouterr().err


def test_a_bill_needs_a_message(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.json"
    empty.write_text("[]")
    assert main(["explain", files[0], "--message", str(empty), "--cost"]) == 2
    assert "--cost needs a message" in capsys.readouterr().err


def test_an_explanation_says_what_send_looks_at(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", files[0], "--message", files[1]]) == 0
    said = capsys.readouterr().out
    assert "    send: onChangeOf is 20; whether it goes on depends on the messages before it (gateway test)\n" in said


def test_an_explanation_says_that_messages_are_made_into_others(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    routes = {"r": {"route": "FROM /messages/* INTO $upstream", "send": {"atMostEverySecs": 5, "batch": {}}}}
    Path(files[0]).write_text(json.dumps({"routes": routes}))
    assert main(["explain", files[0], "--message", files[1]]) == 0
    said = capsys.readouterr().out
    assert "    send: whether it goes on depends on the messages before it" in said
    assert "    send: what goes on is made into batches or aggregates (gateway test)\n" in said
