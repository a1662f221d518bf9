import argparse
import io
from pathlib import Path

import pytest

from edgewire.message import UPSTREAM, Delivery, Message
from gateway.cli.routes_input import (
    EXIT_UNREADABLE,
    InputError,
    add_document_options,
    complain,
    delivery_json,
    plural,
    read_document,
    read_json,
    read_messages,
)


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_document_options(parser)
    return parser.parse_args(given)


def refusal(name: str) -> str:
    with pytest.raises(InputError) as caught:
        read_json(name)
    return str(caught.value)


def test_one_route_or_one_file() -> None:
    reading = read_document(arguments("--route", "FROM /messages/* INTO $upstream"))
    assert reading.settings is not None
    assert list(reading.settings.routes) == ["route"]
    for wrong in (arguments(), arguments("file.json", "--route", "FROM")):
        with pytest.raises(InputError, match="either a FILE or --route"):
            read_document(wrong)


def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(str(tmp_path / "none.json"))
    file = tmp_path / "bad.json"
    file.write_bytes(b'{"a":\n  1,,}')
    assert "line 2, column 5" in refusal(str(file))
    file.write_bytes(b"{\xff}")
    assert "no text in UTF-8: byte 2" in refusal(str(file))
    file.write_text('{"routes": {"r": "x", "r": "y"}}')
    assert "the key 'r' stands twice" in refusal(str(file))
    for text in ('{"tests": "\\ud800"}', '{"limits": 99999999999999999999}', '{"a":' * 300 + "1" + "}" * 300):
        file.write_text(text)  # which the gateway would refuse
        assert "is JSON that cannot be kept" in refusal(str(file))
    file.write_text("[" * 100_000)
    assert str(file) in refusal(str(file))


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(str(file)) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "bodies"),
    [
        ('{"body": "a"}', [b"a"]),
        ('[{"body": "a"}, {"body": "b"}]', [b"a", b"b"]),
        ('{"body": "a"}\n\n{"body": "b"}\n', [b"a", b"b"]),
        ('{\n "body":\n "a"}', [b"a"]),
        ("[]", []),
    ],
)
def test_one_message_an_array_or_one_in_each_line(
    text: str, bodies: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert [isinstance(message, Message) and message.body for message in read_messages("-")] == bodies


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("{", "is no JSON: line 1"),
        ('{"body": "a"}\n{"body"', "line 2 is no JSON"),
        ('[{"body": "a"}, {"bod": "b"}]', "message 2: bod: a message has no 'bod'"),
        ('{"bod": "b"}', "-: bod: a message has no 'bod'; did you mean 'body'?"),
    ],
)
def test_messages_that_are_none(text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    with pytest.raises(InputError) as caught:
        read_messages("-")
    assert words in str(caught.value)


def test_small_things(capsys: pytest.CaptureFixture[str]) -> None:
    assert delivery_json(Delivery(UPSTREAM)) == {"endpoint": "$upstream", "priority": None, "timeToLiveSecs": None}
    assert delivery_json(Delivery(UPSTREAM, 0, 5))["priority"] == 0
    assert [plural(count, "route") for count in (0, 1, 2)] == ["0 routes", "1 route", "2 routes"]
    assert complain(InputError("x cannot be read")) == EXIT_UNREADABLE
    assert capsys.readouterr().err == "gateway: x cannot be read\n"
