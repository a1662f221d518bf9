import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import main

ROUTES = {
    "alerts": "FROM /messages/* WHERE $body.kind = 'alert' INTO $upstream",
    "ai": "FROM /messages/* WHERE $body.kind = 'image' INTO BrokeredEndpoint('/modules/ai/inputs/raw')",
}


def written(folder: Path, *tests: Any, routes: Any = None) -> str:
    file = folder / "settings.json"
    file.write_text(json.dumps({"routes": ROUTES if routes is None else routes, "tests": list(tests)}))
    return str(file)


def case(kind: str, expect: list[str], **more: Any) -> dict[str, Any]:
    return {"name": kind, "message": {"body": {"kind": kind}}, "expect": expect, **more}


def test_all_cases_passed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = written(
        tmp_path,
        case("alert", ["$upstream"], routes=["alerts"]),
        case("image", ["BrokeredEndpoint('/modules/ai/inputs/raw')"]),
        case("noise", [], routes=[]),
    )
    assert main(["test", name]) == 0
    assert capsys.readouterr().out == "ok    alert\nok    image\nok    noise\n3 cases, all passed\n"


def test_a_failed_case_says_what_came_instead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = written(tmp_path, case("alert", ["/modules/ai/inputs/raw"], routes=["ai"]), case("noise", []))
    assert main(["test", name]) == 1
    assert capsys.readouterr().out == (
        "FAIL  alert\n"
        "      it does not go to /modules/ai/inputs/raw\n"
        "      it goes to $upstream, which is not expected\n"
        "      route 'ai' does not match\n"
        "      route 'alerts' matches, which is not expected\n"
        "      routes that match: alerts\n"
        "ok    noise\n"
        "2 cases, 1 failed; try gateway explain\n"
    )


def test_one_line_of_json_for_each_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--json", written(tmp_path, case("alert", []))]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "name": "alert",
        "passed": False,
        "endpoints": ["$upstream"],
        "routes": ["alerts"],
        "faults": ["it goes to $upstream, which is not expected"],
    }


def test_settings_without_cases_are_not_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", written(tmp_path)]) == 1
    assert 'under "tests"' in capsys.readouterr().out


def test_routes_with_errors_give_1_and_files_that_cannot_be_read_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", written(tmp_path, routes={"bad": "FROM"})]) == 1
    assert main(["test", str(tmp_path / "none.json")]) == 2
    assert "FROM needs a path" in capsys.readouterr().err
