import json
from typing import Any

import pytest

from edgewire.errors import ProtocolError
from edgewire.iothub.http.methods import (
    Invocation,
    read_caller,
    read_invocation,
    write_invocation,
    write_result,
)
from edgewire.message import identity


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"methodName": "m", "payload": ""}, Invocation(name="m", payload=b'""')),
        (
            {"methodName": "m", "payload": None, "responseTimeoutInSeconds": 5, "connectTimeoutInSeconds": 300},
            Invocation(name="m", payload=b"null", response_timeout_s=5, connect_timeout_s=300),
        ),
        ({"methodName": "m"}, Invocation(name="m", payload=b"null")),
        ({"methodName": "m", "responseTimeoutInSeconds": None}, Invocation(name="m", payload=b"null")),
        ({"methodName": "m", "payload": {"a": [1, "ü"]}}, Invocation(name="m", payload='{"a":[1,"ü"]}'.encode())),
    ],
)
def test_a_call_is_read_as_the_clients_write_it(body: dict[str, Any], expected: Invocation) -> None:
    assert read_invocation(json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"m",
        b"[]",
        b"{}",
        b'{"methodName":1}',
        b'{"methodName":""}',
        b'{"methodName":"a\\nb"}',
        json.dumps({"methodName": "m" * 101}).encode(),
        json.dumps({"methodName": "m", "payload": "x" * 131_071}).encode(),
        b'{"methodName":"m","responseTimeoutInSeconds":4}',
        b'{"methodName":"m","responseTimeoutInSeconds":301}',
        b'{"methodName":"m","responseTimeoutInSeconds":30.5}',
        b'{"methodName":"m","responseTimeoutInSeconds":true}',
        b'{"methodName":"m","responseTimeoutInSeconds":"30"}',
        b'{"methodName":"m","connectTimeoutInSeconds":-1}',
        b'{"methodName":"m","connectTimeoutInSeconds":301}',
    ],
)
def test_a_call_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_invocation(body)
    assert refused.value.reply == 400


def test_what_is_written_can_be_read() -> None:
    invocation = Invocation(name="m", payload=b'{"a":1}', response_timeout_s=7, connect_timeout_s=8)
    assert read_invocation(write_invocation(invocation)) == invocation


@pytest.mark.parametrize(
    ("payload", "expected"),
    [(b'{"a":1}', {"a": 1}), (b"", None), (b"null", None), (b"no JSON", "no JSON"), (b"\xff", "\ufffd")],
)
def test_a_result_is_json_whatever_the_device_has_sent(payload: bytes, expected: Any) -> None:
    assert json.loads(write_result(207, payload)) == {"status": 207, "payload": expected}


def test_a_module_says_who_it_is() -> None:
    assert read_caller("edge-1/caller") == identity("edge-1", "caller")


@pytest.mark.parametrize("text", ["", "edge-1", "edge-1/", "/caller", "a/b/c", "edge 1/caller", "edge-1/\u00e9"])
def test_any_other_word_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_caller(text)
    assert refused.value.reply == 400
