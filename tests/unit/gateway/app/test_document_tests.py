from typing import Any

import pytest

from edgewire.message import identity
from gateway.app.document import Reading, read_settings
from gateway.app.document_tests import Becomes, endpoint_name


def test_endpoints_are_named_one_way() -> None:
    for text, name in (
        ("$UPSTREAM", "$upstream"),
        ("/modules/m/inputs/i", "/modules/m/inputs/i"),
        ("modules/m/inputs/i/", "/modules/m/inputs/i"),
        ('BrokeredEndpoint("/modules/m/inputs/i")', "/modules/m/inputs/i"),
        ("endpoint('archive')", 'Endpoint("archive")'),
        ('Topic("alerts/{device}")', 'Topic("alerts/{device}")'),
        ("/modules/m", None),
        ("/modules//inputs/i", None),
    ):
        assert endpoint_name(text) == name


TOPICS = [{"match": "site/+room/+kind", "device": "{room}", "properties": {"kind": "{kind}"}}]


def read(*cases: Any) -> Reading:
    return read_settings({"routes": {"all": "FROM /messages/* INTO $upstream"}, "topics": TOPICS, "tests": list(cases)})


def test_a_case_may_begin_with_a_topic() -> None:
    case = {
        "message": {"topic": "site/lab/door", "body": "open"},
        "becomes": {"device": "lab", "properties": {"kind": "door", "unit": None}},
        "expect": ["$upstream"],
    }
    settings = read(case, {"message": {"topic": "elsewhere"}, "expect": []}).settings
    assert settings is not None
    mapped, unmapped = settings.tests
    assert mapped.becomes == Becomes(device="lab", properties={"kind": "door", "unit": None})
    assert mapped.message is not None
    assert mapped.message.envelope.sender == identity("lab")
    assert (unmapped.message, unmapped.becomes) == (None, None)
    assert unmapped.topic is not None
    assert unmapped.topic.mapped is None


@pytest.mark.parametrize(
    ("changed", "path", "words"),
    [
        ({"becomes": "lab"}, "tests[0].becomes", "must be an object"),
        ({"becomes": {"devise": "lab"}}, "tests[0].becomes.devise", "did you mean 'device'?"),
        ({"becomes": {"device": 5}}, "tests[0].becomes", "the device is a text"),
        ({"becomes": {"properties": {"n": 5}}}, "tests[0].becomes", "the properties are texts"),
        ({"becomes": {"properties": ["n"]}}, "tests[0].becomes", "the properties are texts"),
        ({"becomes": {}, "message": {"body": 1}}, "tests[0].becomes", 'give the message a "topic"'),
        ({"message": {"topic": "a/#"}}, "tests[0].message", "nobody can publish"),
        ({"become": {}}, "tests[0].become", "did you mean 'becomes'?"),
    ],
)
def test_what_is_wrong_in_a_case_is_told(changed: dict[str, Any], path: str, words: str) -> None:
    reading = read({"message": {"topic": "site/lab/door"}, "expect": [], **changed})
    found = {problem.path: f"{problem.message} | {problem.fix}" for problem in reading.problems}
    assert words in found.get(path, ""), found


def test_messages_in_time_may_be_publications_that_become_messages() -> None:
    settings = read({"messages": [{"topic": "site/lab/door", "expect": ["$upstream"]}, {"body": 1}]}).settings
    assert settings is not None
    (case,) = settings.tests
    assert case.sequence is not None
    first, second = case.sequence.steps
    assert first.message.envelope.properties["kind"] == "door"
    assert second.message.body == b"1"
    (problem,) = read({"messages": [{"topic": "elsewhere"}]}).problems
    assert problem.path == "tests[0].messages[0]"
    assert "the rules make no message of it; topics[0] ('site/+room/+kind'): level 1" in problem.message
