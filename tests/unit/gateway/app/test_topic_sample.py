from typing import Any

import pytest

from gateway.app.document import read_settings
from gateway.app.sample import SampleError
from gateway.app.topic_sample import TopicSample, is_topic_sample, read_topic_sample
from gateway.topics.mapping import TopicMap

RULES = [
    {"listener": "plain", "match": "site/+room/+kind", "device": "{room}", "properties": {"kind": "{kind}"}},
    {"listener": "broker", "match": "zigbee/+device", "device": "{device}", "contentType": "text/plain"},
]


def topics() -> TopicMap:
    settings = read_settings({"routes": {}, "topics": RULES}).settings
    assert settings is not None
    assert settings.topics is not None
    return settings.topics


def read(**sample: Any) -> TopicSample:
    assert is_topic_sample(sample)
    return read_topic_sample(sample, topics())


def test_what_is_a_publication() -> None:
    assert not is_topic_sample({"body": "x"})
    assert not is_topic_sample("topic")


def test_the_body_is_marked_by_the_rule_alone() -> None:
    sample = read(topic="site/lab/climate", body={"t": 1}, retain=True, userProperties={"unit": "C"})
    assert sample.message is not None
    assert sample.message.body == b'{"t": 1}'
    assert sample.message.envelope.system == {"connectionDeviceId": "lab"}
    assert sample.message.envelope.properties == {
        "topic": "site/lab/climate",
        "kind": "climate",
        "unit": "C",
        "mqtt-retain": "true",
    }
    other = read(topic="zigbee/bulb", listener="broker", bodyBase64="AQI=")
    assert other.message is not None
    assert other.message.body == b"\x01\x02"
    assert other.message.envelope.system["contentType"] == "text/plain"


def test_a_topic_that_becomes_no_message_has_the_reasons() -> None:
    nobody = read(topic="zigbee/bulb")
    assert (nobody.mapped, nobody.message) == (None, None)
    assert nobody.reasons == (
        "topics[0] ('site/+room/+kind'): level 1 is 'zigbee', not 'site'",
        'topics[1] (\'zigbee/+device\'): it is for topics of "broker", and this is one of "plain"',
    )
    illegal = read(topic="site/../x")
    assert illegal.mapped is not None
    assert illegal.message is None
    assert illegal.reasons == ("'..' is no id of a device: it has only dots",)
    large = read(topic="site/lab/x", body="x" * 262_144)
    assert large.message is None
    assert "the limit is" in large.reasons[0]
    assert read_topic_sample({"topic": "a"}, None).reasons == ('the document has no rules: write them under "topics"',)


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ({"topic": 5}, "topic: 5 is not text"),
        ({"topic": ""}, "no topic is empty"),
        ({"topic": "a/+"}, "nobody can publish to a topic with + or #"),
        ({"topic": "a", "listener": "plian"}, "did you mean 'plain'?"),
        ({"topic": "a", "listener": 5}, "this must be plain or broker"),
        ({"topic": "a", "device": "lab"}, "the rule under 'topics' says it"),
        ({"topic": "a", "properties": {}}, "the rule under 'topics' says it"),
        ({"topic": "a", "bdy": 1}, "did you mean 'body'?"),
        ({"topic": "a", "userProperties": {"n": 5}}, 'userProperties.n: 5 is not text; write "5"'),
        ({"topic": "a", "userProperties": []}, "must be an object"),
        ({"topic": "a", "body": "x", "bodyBase64": ""}, "either 'body' or 'bodyBase64'"),
    ],
)
def test_what_is_no_publication_is_told(sample: dict[str, Any], words: str) -> None:
    with pytest.raises(SampleError) as caught:
        read_topic_sample(sample, topics())
    assert words in str(caught.value)
