from typing import Any

import pytest

from gateway.app.document import read_settings
from gateway.app.document_sequences import MAX_MESSAGES, MadeWanted, Sequence

ROUTES = {"r": "FROM /messages/* INTO $upstream"}


def said(case: dict[str, Any]) -> list[str]:
    found = read_settings({"routes": ROUTES, "tests": [case]})
    return [f"{problem.path}: {problem.message}; {problem.fix}" for problem in found.problems]


def sequence(case: dict[str, Any]) -> Sequence:
    found = read_settings({"routes": ROUTES, "tests": [case]})
    assert found.settings is not None, found.problems
    (test,) = found.settings.tests
    assert test.sequence is not None
    return test.sequence


def test_messages_come_at_their_time_or_a_second_after_the_one_before() -> None:
    found = sequence({"name": "n", "messages": [{"body": 1}, {"body": 2}, {"at": 60.5, "body": 3, "expect": []}]})
    assert [step.at_s for step in found.steps] == [0, 1, 60.5]
    assert [step.endpoints for step in found.steps] == [None, None, frozenset()]
    assert found.made is None


def test_what_must_be_made() -> None:
    made = [{"endpoint": "$Upstream", "body": {"count": 2}, "properties": {"sendCount": "2"}}, {}]
    assert sequence({"messages": [{"body": 1}], "made": made}).made == (
        MadeWanted(endpoint="$upstream", body={"count": 2}, properties={"sendCount": "2"}),
        MadeWanted(endpoint=None, body=None, properties={}),
    )


ONE = [{"body": 1}]


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ({"messages": 5}, f"tests[0].messages: this must be a list of 1 to {MAX_MESSAGES} messages; write ["),
        ({"messages": []}, "tests[0].messages: this must be a list"),
        ({"messages": [5]}, "tests[0].messages[0]: a message is an object"),
        ({"messages": [{"bdy": 1}]}, "tests[0].messages[0]: bdy: a message has no 'bdy'; did you mean 'body'?"),
        ({"messages": [{"at": "5"}]}, "tests[0].messages[0].at: '5' is no time from 0 on; write seconds, in order"),
        ({"messages": [{"at": 5}, {"at": 4}]}, "tests[0].messages[1].at: 4 is no time from 5 on"),
        ({"messages": [{"expect": "up"}]}, "tests[0].messages[0].expect: this must be a list of endpoints"),
        (
            {"messages": ONE, "expect": []},
            "tests[0].expect: a case with 'messages' has no 'expect'; each of the messages",
        ),
        ({"messages": ONE, "message": {}}, "tests[0].message: a case with 'messages' has no 'message'; write a case"),
        ({"messages": ONE, "made": {}}, "tests[0].made: this must be a list of objects; write ["),
        ({"messages": ONE, "made": [{"bdy": 1}]}, "tests[0].made[0].bdy: there is no 'bdy'; did you mean 'body'?"),
        ({"messages": ONE, "made": [{"endpoint": "up"}]}, "tests[0].made[0].endpoint: 'up' is no endpoint"),
        ({"messages": ONE, "made": [{"properties": {"a": 1}}]}, "tests[0].made[0].properties: these must be texts"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(case: dict[str, Any], sentence: str) -> None:
    problems = said(case)
    assert any(problem.startswith(sentence) for problem in problems), problems
