import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import main

ALL = "FROM /messages/* INTO $upstream"
SENDS = {
    "change": {"onChangeOf": "$body.t", "deadBand": 1},
    "mean": {"aggregate": {"windowSecs": 60, "values": {"t": "$body.t"}}},
    "many": {"batch": {"maxMessages": 2, "items": "bodies", "format": "ndjson"}},
}


def run(folder: Path, route: str, case: dict[str, Any]) -> int:
    file = folder / "settings.json"
    routes = {route: {"route": ALL, "send": SENDS[route]}}
    file.write_text(json.dumps({"routes": routes, "tests": [{"name": "case", **case}]}))
    return main(["test", str(file)])


def at(*pairs: tuple[float, Any], **more: Any) -> list[dict[str, Any]]:
    return [{"at": at_s, "body": {"t": value}, **more} for at_s, value in pairs]


UP = ["$upstream"]


@pytest.mark.parametrize(
    ("route", "case"),
    [
        (
            "change",
            {"messages": [*at((0, 20), expect=UP), *at((1, 20.5), expect=[]), *at((2, 22), expect=UP)], "made": []},
        ),
        (
            "mean",
            {
                "messages": at((0, 20), (30, 22), expect=UP),
                "made": [{"body": {"count": 2, "values": {"t": {"mean": 21}}}}],
            },
        ),
        (
            "many",
            {
                "messages": at((0, 1), (1, 2), (2, 3)),
                "made": [{"body": [{"t": 1}, {"t": 2}]}, {"endpoint": "$upstream"}],
            },
        ),
    ],
)
def test_a_case_that_comes_out_as_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], route: str, case: dict[str, Any]
) -> None:
    assert run(tmp_path, route, case) == 0
    assert capsys.readouterr().out == "ok    case\n1 case, all passed\n"


@pytest.mark.parametrize(
    ("route", "case", "fault"),
    [
        (
            "change",
            {"messages": at((0, 20), expect=[])},
            "message 1, at 0 s, goes on to $upstream, which is not expected",
        ),
        ("change", {"messages": at((0, 20), (1.5, 20), expect=UP)}, "message 2, at 1.5 s, does not go on to $upstream"),
        ("mean", {"messages": at((0, 1)), "made": []}, "1 messages are made, not 0"),
        ("mean", {"messages": at((0, 1)), "made": []}, 'also made: {"deviceId":"device"'),
        ("mean", {"messages": at((0, 1)), "made": [{"body": {"count": 2}}]}, "differs: body.count is 1, not 2"),
        ("mean", {"messages": at((0, 1)), "made": [{"body": {"sum": 2}}]}, "differs: body has no 'sum'"),
        ("many", {"messages": at((0, 1)), "made": [{"body": [{"t": 2}]}]}, "differs: body[0].t is 1, not 2"),
        ("many", {"messages": at((0, 1)), "made": [{"body": []}]}, 'differs: body is [{"t": 1}], not []'),
        (
            "many",
            {"messages": at((0, 1)), "made": [{"endpoint": "/modules/m/inputs/i"}]},
            "what is made, number 1, goes to $upstream, not to /modules/m/inputs/i",
        ),
        (
            "many",
            {"messages": at((0, 1)), "made": [{"properties": {"sendCount": "2"}}]},
            "has 'sendCount' = '1', not '2'",
        ),
    ],
)
def test_a_case_that_does_not_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], route: str, case: dict[str, Any], fault: str
) -> None:
    assert run(tmp_path, route, case) == 1
    assert fault in capsys.readouterr().out
