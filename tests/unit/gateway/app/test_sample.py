from typing import Any

import pytest

from edgewire.message import MessageSource, identity
from gateway.app.sample import SampleError, read_sample


def test_a_text_body_is_sent_as_utf_8_and_nothing_is_assumed_of_it() -> None:
    message = read_sample({"body": '{"a":"é"}', "properties": {"k": "v", "empty": None}})
    assert message.body == '{"a":"é"}'.encode()
    assert message.envelope.sender == identity("device")
    assert message.envelope.system == {"connectionDeviceId": "device"}
    assert message.envelope.properties == {"k": "v", "empty": None}


@pytest.mark.parametrize("body", [{"a": 1}, [1, 2], 5, True, None])
def test_a_body_given_as_json_is_marked_as_json(body: Any) -> None:
    system = read_sample({"body": body}).envelope.system
    assert (system["contentType"], system["contentEncoding"]) == ("application/json", "utf-8")


def test_system_properties_win_over_what_is_assumed() -> None:
    sample = {"body": {"a": 1}, "systemProperties": {"CONTENTTYPE": "text/plain", "MessageId": "m", "to": None}}
    system = read_sample(sample).envelope.system
    assert system["contentType"] == "text/plain"
    assert system["messageId"] == "m"
    assert "to" not in system


def test_bytes_and_no_body() -> None:
    assert read_sample({"bodyBase64": "AP8="}).body == b"\x00\xff"
    assert read_sample({}).body == b""


def test_who_sent_it() -> None:
    by_keys = read_sample({"device": "d", "module": "m", "output": "o"}).envelope
    by_names = {"connectionDeviceId": "d", "connectionModuleId": "m", "outputName": "o"}
    assert by_keys == read_sample({"systemProperties": by_names}).envelope
    assert by_keys.sender == identity("d", "m")
    twin = read_sample({"source": "/twinChangeNotifications"}).envelope
    assert twin.source is MessageSource.TWIN_CHANGE
    assert read_sample({"source": "messages"}).envelope.source is MessageSource.TELEMETRY


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (5, "a message is a JSON object"),
        ({"boddy": "x"}, "did you mean 'body'?"),
        ({"quite": "x"}, "the keys are body, bodyBase64"),
        ({"body": "x", "bodyBase64": "eA=="}, "either 'body' or 'bodyBase64'"),
        ({"bodyBase64": "%"}, "not base64"),
        ({"properties": {"a": 5}}, 'properties.a: 5 is not text; write "5"'),
        ({"properties": {"a": True}}, 'write "true"'),
        ({"properties": {"a": {}}}, "must be text"),
        ({"properties": []}, "must be an object"),
        ({"properties": {"a": "1", "A": "2"}}, "differ only in case"),
        ({"systemProperties": {"messageId": 5}}, "systemProperties.messageId"),
        ({"device": 5}, "device: 5 is not text"),
        ({"source": "elsewhere"}, "'messages' or 'twinChangeNotifications'"),
    ],
)
def test_what_is_no_message_is_refused_with_the_key(sample: Any, words: str) -> None:
    with pytest.raises(SampleError) as caught:
        read_sample(sample)
    assert words in str(caught.value)
