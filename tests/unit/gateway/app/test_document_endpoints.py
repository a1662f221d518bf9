from typing import Any

import pytest

from gateway.app.document_endpoints import MAX_ENDPOINTS, read_endpoints, variable_of
from gateway.upstream.endpoint import EndpointSettings, EndpointTransport, EndpointType, KafkaLogin

PLAIN = {"type": "eventhub"}


def read(given: Any) -> tuple[dict[str, EndpointSettings], list[tuple[str, str, str]]]:
    problems: list[tuple[str, str, str]] = []
    return read_endpoints(given, lambda *said: problems.append(said)), problems


def test_an_endpoint_may_say_little_or_all() -> None:
    found, problems = read(
        {
            "$version": 1,
            "removed": None,
            "little": PLAIN,
            "all": {
                "type": "eventhub",
                "eventHub": "telemetry",
                "connectionStringFile": "all.txt",
                "transport": "websocket",
                "host": "10.1.2.3:5671",
                "caFile": "ca.pem",
            },
        }
    )
    assert not problems
    assert found["little"] == EndpointSettings(name="little", secret="little")
    assert found["all"] == EndpointSettings(
        name="all",
        event_hub="telemetry",
        secret="all.txt",
        transport=EndpointTransport.WEBSOCKET,
        host="10.1.2.3:5671",
        authorities="ca.pem",
    )
    assert set(found) == {"little", "all"}


def test_a_kafka_topic_is_an_endpoint_too() -> None:
    found, problems = read(
        {"k": {"type": "kafka", "servers": ["10.1.2.3:9093", "b.example:9093"], "topic": "t", "login": "none"}}
    )
    assert not problems
    assert found["k"] == EndpointSettings(
        name="k",
        type=EndpointType.KAFKA,
        servers=("10.1.2.3:9093", "b.example:9093"),
        topic="t",
        login=KafkaLogin.NONE,
        secret="k",
    )


@pytest.mark.parametrize(
    ("given", "path", "said", "fix"),
    [
        (["archive"], "", "must be an object", "archive"),
        ({"archive": "eventhub"}, "archive", "must be an object", '"type": "eventhub"'),
        ({"an archive": PLAIN}, "an archive", "letters, digits", "rename it"),
        ({"archive": {}}, "archive.type", "it is missing", 'write "type": "eventhub"'),
        ({"archive": {"type": "eventHub"}}, "archive.type", "is none of eventhub, kafka", "did you mean 'eventhub'?"),
        ({"archive": PLAIN | {"eventhub": "t"}}, "archive.eventhub", "no setting", "did you mean 'eventHub'?"),
        ({"archive": PLAIN | {"colour": 1}}, "archive.colour", "no setting", "known here: type"),
        ({"archive": PLAIN | {"transport": 1}}, "archive.transport", "is none of amqp, websocket", '"amqp"'),
        ({"archive": PLAIN | {"eventHub": "a/b"}}, "archive.eventHub", "cannot be used", "leave it out"),
        ({"archive": PLAIN | {"host": "sb://x"}}, "archive.host", "cannot be used", "host and port"),
        (
            {"archive": PLAIN | {"connectionStringFile": "../key"}},
            "archive.connectionStringFile",
            "",
            "without a folder",
        ),
        ({"k": {"type": "kafka", "servers": ["h:1"]}}, "k.topic", "it is missing", '"topic"'),
        ({"k": {"type": "kafka", "topic": "t"}}, "k.servers", "a list of 1 to 10", "kafka.example:9093"),
        (
            {"k": {"type": "kafka", "topic": "t", "servers": ["h"]}},
            "k.servers",
            "'h' cannot be used",
            "with their ports",
        ),
        ({"k": PLAIN | {"topic": "t"}}, "k.topic", "no setting 'topic'", "known here: type"),
        ({"a-b": PLAIN, "A_b": PLAIN}, "A_b", "GATEWAY_ENDPOINT_A_B_CONNECTION_STRING", "rename one"),
        ({f"e{n}": PLAIN for n in range(MAX_ENDPOINTS + 1)}, "", "17 endpoints", "remove some"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_the_repair(given: Any, path: str, said: str, fix: str) -> None:
    _, [(where, what, repair)] = read(given)
    assert where == path
    assert said in what
    assert fix in repair


@pytest.mark.parametrize("key", ["connectionString", "sharedAccessKey", "password"])
def test_a_secret_in_the_settings_is_refused_and_not_repeated(key: str) -> None:
    _, [(where, what, repair)] = read({"archive": PLAIN | {key: "Endpoint=sb://x/;SharedAccessKey=c2VjcmV0"}})
    assert where == f"archive.{key}"
    assert "secrets do not belong" in what
    assert "GATEWAY_ENDPOINT_ARCHIVE_CONNECTION_STRING" in repair
    assert "c2VjcmV0" not in what + repair


def test_a_connection_string_in_the_wrong_place_is_not_repeated() -> None:
    _, [(_, what, _)] = read({"archive": PLAIN | {"host": "Endpoint=sb://x/;SharedAccessKey=c2VjcmV0"}})
    assert "c2VjcmV0" not in what


def test_the_variable_is_the_name_in_capitals() -> None:
    assert variable_of("my-archive") == "GATEWAY_ENDPOINT_MY_ARCHIVE_CONNECTION_STRING"
