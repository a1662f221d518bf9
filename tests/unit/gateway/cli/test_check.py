import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import main

GOOD = {"routes": {"all": "FROM /messages/* INTO $upstream"}}
TRAP = {"routes": {"hot": "FROM /messages/* WHERE $body.x > 5 INTO $upstream"}}
BAD = {"routes": {"hot": "FROM /messages/* WHERE lenght(x) > 5 INTO $upstream"}, "topics": {}}


def written(folder: Path, document: Any) -> str:
    file = folder / "settings.json"
    file.write_text(json.dumps(document))
    return str(file)


def test_good_settings_give_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = written(tmp_path, GOOD)
    assert main(["check", name]) == 0
    assert capsys.readouterr().out == f"{name}: 1 route, 0 errors, 0 warnings\n"


def test_warnings_give_0_and_with_strict_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = written(tmp_path, TRAP)
    assert main(["check", name]) == 0
    assert "warning: route 'hot', column 24" in capsys.readouterr().out
    assert main(["check", "--strict", name]) == 1


def test_errors_give_1_with_the_place_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", written(tmp_path, BAD)]) == 1
    out = capsys.readouterr().out
    assert "error: topics: this must be a list" in out
    assert (
        "error: route 'hot', column 24: unknown function 'lenght'; did you mean 'length'?\n"
        "  FROM /messages/* WHERE lenght(x) > 5 INTO $upstream\n"
        "                         ^^^^^^\n"
        "  write length(…)\n"
    ) in out
    assert "2 errors, 0 warnings" in out


def test_the_answer_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", written(tmp_path, BAD)]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert answer["problems"][1] == {
        "route": "hot",
        "line": 1,
        "column": 24,
        "length": 6,
        "path": "routes.hot",
        "message": "unknown function 'lenght'; did you mean 'length'?",
        "fix": "write length(…)",
    }
    assert main(["check", "--json", written(tmp_path, TRAP)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["routes"], len(answer["warnings"])) == (True, ["hot"], 1)


def test_one_route_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--route", "FROM /messages/* INTO $upstream"]) == 0
    assert main(["check", "--route", "FROM /messages/*"]) == 1
    assert "the route has no INTO" in capsys.readouterr().out


def test_a_route_alone_may_name_any_endpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--strict", "--route", 'FROM /messages/* INTO Endpoint("archive")']) == 0
    assert main(["check", "--route", 'FROM /messages/* INTO Endpoint("an archive")']) == 1
    assert "a name has 1 to 64 letters" in capsys.readouterr().out


def test_what_cannot_be_read_gives_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "none.json")]) == 2
    assert main(["check"]) == 2
    errors = capsys.readouterr().err
    assert "cannot be read" in errors
    assert "either a FILE or --route" in errors


def test_the_shipped_deployment_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    template = Path(__file__).parents[4] / "deployment.template.json"
    assert main(["check", "--strict", str(template)]) == 0
    assert "of module 'gateway'" in capsys.readouterr().out


def test_an_endpoint_without_a_connection_string_here_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    routes = {"all": 'FROM /messages/* INTO Endpoint("archive")'}
    name = written(tmp_path, {"routes": routes, "endpoints": {"archive": {"type": "eventhub", "eventHub": "t"}}})
    monkeypatch.setenv("GATEWAY_SECRETS_DIR", str(tmp_path))
    assert main(["check", name]) == 0
    assert f"warning: endpoints.archive: there is no connection string for it: {tmp_path}" in capsys.readouterr().out
    assert main(["check", "--strict", name]) == 1
    (tmp_path / "archive").write_text("Endpoint=sb://ns/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0")
    capsys.readouterr()
    assert main(["check", "--strict", name]) == 0
    assert "c2VjcmV0" not in capsys.readouterr().out
