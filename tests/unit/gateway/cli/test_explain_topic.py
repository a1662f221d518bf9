import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import main

DOCUMENT: dict[str, Any] = {
    "routes": {
        "hot": "FROM /messages/* WHERE is_number($body.temperature) AND $body.temperature > 30 INTO $upstream",
        "doors": "FROM /messages/* WHERE kind = 'door' INTO BrokeredEndpoint(\"/modules/ai/inputs/doors\")",
    },
    "topics": [
        {"match": "site/+room/door", "device": "{room}", "properties": {"kind": "door"}},
        {
            "match": "site/+room/+kind",
            "device": "{room}",
            "properties": {"kind": "{kind}"},
            "contentType": "application/json",
            "contentEncoding": "utf-8",
        },
    ],
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    return written(tmp_path, DOCUMENT)


def written(folder: Path, document: Any) -> str:
    path = folder / "settings.json"
    path.write_text(json.dumps(document))
    return str(path)


def test_a_topic_is_followed_from_the_rule_to_the_routes(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", file, "--topic", "site/lab/climate", "--body", '{"temperature": 31}']) == 0
    out = capsys.readouterr().out
    for words in (
        "publication 1 to 'site/lab/climate' (plain): taken by topics[1] 'site/+room/+kind'",
        '(room is "lab", kind is "climate")',
        "device lab, contentType application/json, contentEncoding utf-8",
        "it must be registered: gateway devices add lab --no-login",
        "message 1 from lab: $upstream",
        '"topic": "site/lab/climate"',
        "+ hot: matched",
    ):
        assert words in out


def test_a_body_that_the_rule_leaves_alone_is_not_read(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", file, "--topic", "site/lab/door", "--body", "open"]) == 0
    out = capsys.readouterr().out
    assert 'routes do not read the body; for JSON the rule says "contentType": "application/json"' in out
    assert "message 1 from lab: /modules/ai/inputs/doors" in out


def test_a_topic_that_no_rule_takes_says_what_differs(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", file, "--topic", "Site/lab/door", "--listener", "broker"]) == 0
    out = capsys.readouterr().out
    assert "publication 1 to 'Site/lab/door' (broker): no rule takes it" in out
    assert "topics[0] ('site/+room/door'): level 1 is 'Site', not 'site', in other letters" in out


def test_an_id_that_cannot_be_is_refused(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", file, "--topic", "site/a b/door"]) == 0
    assert "refused, no message: 'a b' is no id of a device: it has a character" in capsys.readouterr().out


def test_devices_that_are_made_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, {**DOCUMENT, "topicDevices": {"create": True, "atMost": 7}})
    assert main(["explain", file, "--topic", "site/lab/door"]) == 0
    assert "made on first contact, if there are fewer than 7" in capsys.readouterr().out


def test_messages_and_publications_may_be_mixed(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = tmp_path / "samples.json"
    samples.write_text(json.dumps([{"topic": "site/lab/door"}, {"properties": {"kind": "door"}}, {"topic": "x"}]))
    assert main(["explain", file, "--message", str(samples), "--json"]) == 0
    mapped, plain, unmatched = map(json.loads, capsys.readouterr().out.splitlines())
    assert mapped["publication"]["rule"] == "topics[0]"
    assert mapped["publication"]["becomes"] == {
        "device": "lab",
        "systemProperties": {},
        "properties": {"topic": "site/lab/door", "kind": "door"},
    }
    assert [delivery["endpoint"] for delivery in mapped["deliveries"]] == ["/modules/ai/inputs/doors"]
    assert "publication" not in plain
    assert unmatched["publication"]["rule"] is None
    assert (unmatched["deliveries"], unmatched["routes"]) == ([], {})
    assert len(unmatched["publication"]["reasons"]) == 2


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--topic", "a/+"], "--topic: nobody can publish to a topic with + or #"),
        (["--topic", "a", "--listener", "borker"], "--listener: did you mean 'broker'?"),
        (["--message", "-", "--body", "x"], "--body and --listener go with --topic"),
    ],
)
def test_wrong_usage_gives_2(file: str, capsys: pytest.CaptureFixture[str], words: list[str], error: str) -> None:
    assert main(["explain", file, *words]) == 2
    assert error in capsys.readouterr().err


def test_cases_beside_routes_try_topics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    door = {"topic": "site/lab/door", "body": "open"}
    cases = [
        {
            "message": door,
            "becomes": {"device": "lab", "properties": {"kind": "door", "unit": None}},
            "expect": ["/modules/ai/inputs/doors"],
        },
        {"message": {"topic": "elsewhere"}, "expect": []},
        {"message": door, "becomes": {"device": "hall", "properties": {"kind": "gate", "unit": "C"}}, "expect": []},
        {"message": {"topic": "elsewhere"}, "becomes": {"device": "lab"}, "expect": []},
        {"message": {"topic": "site/../x"}, "expect": ["$upstream"]},
    ]
    assert main(["test", written(tmp_path, {**DOCUMENT, "tests": cases})]) == 1
    out = capsys.readouterr().out
    assert out.startswith("ok    case 1\nok    case 2\nFAIL  case 3\n")
    for words in (
        "its device is 'lab', not 'hall'",
        "its property 'kind' is 'door', not 'gate'",
        "its property 'unit' is not there, not 'C'",
        "topic 'elsewhere' becomes no message, no rule takes it",
        "topic 'site/../x' becomes no message, it is refused",
        "it has only dots",
        "5 cases, 3 failed",
    ):
        assert words in out


def test_check_counts_the_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, DOCUMENT)
    assert main(["check", file]) == 0
    assert "2 routes, 2 topic rules, 0 errors, 0 warnings" in capsys.readouterr().out
    assert main(["check", "--json", file]) == 0
    assert json.loads(capsys.readouterr().out)["topics"] == 2
