import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import ProtocolError
from edgewire.iothub.bag import Bag
from edgewire.iothub.http.batch import Content, is_batch, read_batch, write_batch

NODE = b'[{"body": "eyJ0IjozMX0=", "properties":{"iothub-app-Kind":"a","dt-subject":"s"}},{"body": "aGk="}]'
DOCUMENTED = b'[{"body":"hi \\u00e9","base64Encoded":false,"properties":{"iothub-messageid":"m","iothub-app-p":"v"}}]'


def test_a_batch_as_node_sends_it() -> None:
    assert read_batch(NODE) == [
        Content(Bag({"Kind": "a"}, {"dt-subject": "s"}), b'{"t":31}'),
        Content(Bag({}, {}), b"hi"),
    ]


def test_a_body_may_be_a_text() -> None:
    assert read_batch(DOCUMENTED) == [Content(Bag({"p": "v"}, {"messageId": "m"}), "hi é".encode())]


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/vnd.microsoft.iothub.json", True),
        ("Application/Vnd.Microsoft.IoTHub.Json ; charset=utf-8", True),
        ("application/json", False),
        ("", False),
        (None, False),
    ],
)
def test_the_content_type_says_that_it_is_one(content_type: str | None, *, expected: bool) -> None:
    assert is_batch(content_type) is expected


@pytest.mark.parametrize(
    ("what", "payload"),
    [
        ("no JSON", b"hello"),
        ("no array", b"{}"),
        ("nothing", b"[]"),
        ("no object", b"[1]"),
        ("no body", b"[{}]"),
        ("a body that is no text", b'[{"body":{}}]'),
        ("a body that is not base64", b'[{"body":"hello!"}]'),
        ("base64 without its end", b'[{"body":"aGk"}]'),
        ("a member nobody knows", b'[{"body":"","base64encoded":false}]'),
        ("encoded or not", b'[{"body":"","base64Encoded":"no"}]'),
        ("properties that are no object", b'[{"body":"","properties":[]}]'),
        ("a property that is no text", b'[{"body":"","properties":{"iothub-app-a":1}}]'),
        ("a property twice", b'[{"body":"","properties":{"iothub-app-a":"1","iothub-app-A":"1"}}]'),
        ("a name that only the gateway gives", b'[{"body":"","properties":{"iothub-app-iothub-connection-x":"1"}}]'),
        ("a lone surrogate", b'[{"body":"\\ud800","base64Encoded":false}]'),
        ("NaN", b"[NaN]"),
        ("10,000 deep", b"[" * 10_000),
    ],
)
def test_one_bad_message_refuses_the_batch(what: str, payload: bytes) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_batch(payload)
    assert refused.value.reply == 400, what


def test_the_message_that_is_refused_is_named() -> None:
    with pytest.raises(ProtocolError, match=r"message 2 of 2 in the batch: its 'body' is not base64"):
        read_batch(b'[{"body":""},{"body":"?"}]')


def test_a_batch_has_at_most_500_messages() -> None:
    assert len(read_batch(json.dumps([{"body": ""}] * 500).encode())) == 500
    with pytest.raises(ProtocolError) as refused:
        read_batch(json.dumps([{"body": ""}] * 501).encode())
    assert refused.value.reply == 413


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_cause_nothing_but_protocol_errors(payload: bytes) -> None:
    for text in (payload, NODE[: len(payload)] + payload):
        try:
            read_batch(text)
        except ProtocolError as error:
            assert error.reply in {400, 413}  # noqa: PT017 — most texts raise, some do not


@given(st.lists(st.tuples(st.dictionaries(st.text("abc", min_size=1), st.text("xyz")), st.binary()), min_size=1))
def test_what_is_written_can_be_read(said: list[tuple[dict[str, str], bytes]]) -> None:
    contents = [Content(Bag(properties, {"messageId": "m"}), body) for properties, body in said]
    assert read_batch(write_batch(contents)) == contents
