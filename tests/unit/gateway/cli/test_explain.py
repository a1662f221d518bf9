import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import main

DOCUMENT = {
    "routes": {
        "alerts": {"route": "FROM /messages/* WHERE $body.kind = 'alert' INTO $upstream", "priority": 0},
        "all": "FROM /messages/* INTO BrokeredEndpoint('/modules/ai/inputs/raw')",
        "modules": "FROM /messages/modules/* INTO $upstream",
    }
}


def written(folder: Path, name: str, value: Any) -> str:
    file = folder / name
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(file)


def test_every_route_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = {"body": {"kind": "info"}, "device": "board-1"}
    arguments = ["explain", written(tmp_path, "s.json", DOCUMENT), "--message", written(tmp_path, "m.json", message)]
    assert main(arguments) == 0
    assert capsys.readouterr().out == (
        "message 1 from board-1: /modules/ai/inputs/raw\n"
        "  source /messages/, 16 bytes, properties {}\n"
        "  - alerts: not matched, the condition is false\n"
        "      $body.kind = 'alert'  is false  ($body.kind is 'info')\n"
        "  + all: matched, there is no condition\n"
        "  - modules: FROM does not match\n"
        "\n"
    )


def test_a_body_that_is_not_marked_as_json_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = {"body": '{"kind": "alert"}'}
    arguments = ["explain", written(tmp_path, "s.json", DOCUMENT), "--message", written(tmp_path, "m.json", message)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "the condition is undefined" in out
    assert "put $.ct=application%2Fjson&$.ce=utf-8 on the topic" in out


def test_one_line_of_json_for_each_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = '{"body": {"kind": "alert"}}\n{"body": {}, "module": "m", "output": "o"}\n'
    arguments = ["explain", written(tmp_path, "s.json", DOCUMENT), "--message", written(tmp_path, "m", messages)]
    assert main([*arguments, "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["message"] == 1
    assert first["routes"]["alerts"] == {
        "matched": True,
        "source": True,
        "result": "true",
        "because": {
            "text": "$body.kind = 'alert'",
            "line": 1,
            "column": 24,
            "length": 20,
            "value": "true",
            "note": "",
            "operands": [{"text": "$body.kind", "value": "'alert'"}],
        },
    }
    assert first["routes"]["modules"] == {"matched": False, "source": False, "result": "true", "because": None}
    assert first["deliveries"] == [
        {"endpoint": "$upstream", "priority": 0, "timeToLiveSecs": 7200},
        {"endpoint": "/modules/ai/inputs/raw", "priority": None, "timeToLiveSecs": 7200},
    ]
    assert second["source"] == "/messages/modules/m/outputs/o/"
    assert second["routes"]["alerts"]["result"] == "false"
    assert second["routes"]["modules"]["matched"] is True


def test_one_route_and_a_message_on_standard_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    message = written(tmp_path, "m.json", {"properties": {"level": "high"}})
    route = "FROM /messages/* WHERE level = 'high' INTO $upstream"
    assert main(["explain", "--route", route, "--message", message, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["routes"]["route"]["matched"] is True


def test_routes_with_errors_give_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    message = written(tmp_path, "m.json", {})
    assert (
        main(["explain", "--route", "FROM /messages/* WHERE a == 'b' INTO $upstream", "--message", message, "--json"])
        == 1
    )
    captured = capsys.readouterr()
    (problem,) = json.loads(captured.out)["problems"]
    assert (problem["route"], problem["line"], problem["column"]) == ("route", 1, 26)
    assert "'==' does not exist" in captured.err


def test_what_cannot_be_read_gives_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    settings = written(tmp_path, "s.json", DOCUMENT)
    assert main(["explain", settings, "--message", str(tmp_path / "none")]) == 2
    assert main(["explain", "-", "--message", "-"]) == 2
    errors = capsys.readouterr().err
    assert "cannot be read" in errors
    assert "cannot both come from standard input" in errors


def test_half_a_surrogate_pair_is_written_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    message = written(tmp_path, "m.json", '{"properties": {"level": "\\ud83d"}}')
    arguments = ["explain", "--route", "FROM /messages/* WHERE level = 'x' INTO $upstream", "--message", message]
    assert main(arguments) == 0
    assert "level is '\\ud83d'" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["routes"]["route"]["result"] == "false"
