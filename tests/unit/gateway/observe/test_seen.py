import base64
import json

import pytest

from edgewire.message import UPSTREAM, Delivery, Envelope, Message, identity
from gateway.observe.seen import MAX_SHOWN_BODY, MAX_SHOWN_PROPERTIES, MAX_SHOWN_VALUE, Seen, holds
from gateway.observe.tap import Routed


def seen(body: bytes = b"{}", properties: dict[str, str | None] | None = None, **system: str) -> Seen:
    envelope = Envelope(sender=identity("d1", "m1"), properties=properties or {}, system=system)
    return Seen(7, 1_800_000_000.0, Routed(Message(envelope, body), ("all",), (Delivery(UPSTREAM),)))


def test_a_row_has_all_that_a_person_looks_for() -> None:
    row = seen(b'{"t": 1}', {"kind": "a", "topic": "site/lab"}, contentType="application/json").row()
    assert row == {
        "n": 7,
        "at": "2027-01-15T08:00:00.000Z",
        "device": "d1",
        "module": "m1",
        "source": "messages",
        "topic": "site/lab",
        "contentType": "application/json",
        "contentEncoding": None,
        "properties": {"kind": "a", "topic": "site/lab"},
        "propertiesCut": False,
        "system": {"contentType": "application/json"},
        "bytes": 8,
        "body": '{"t": 1}',
        "bodyBase64": None,
        "bodyCut": False,
        "routes": ["all"],
        "endpoints": ["$upstream"],
    }


@pytest.mark.parametrize(
    ("body", "text", "cut"),
    [
        (b"", "", False),
        ("é".encode() * MAX_SHOWN_BODY, "é" * MAX_SHOWN_BODY, False),
        (b"x" * (MAX_SHOWN_BODY + 1), "x" * MAX_SHOWN_BODY, True),
        ("€".encode() * 100_000, "€" * MAX_SHOWN_BODY, True),
        ("x€".encode() * 100_000, "x€" * (MAX_SHOWN_BODY // 2), True),
    ],
)
def test_a_body_of_text_is_cut_by_characters(body: bytes, text: str, cut: bool) -> None:  # noqa: FBT001 — a table
    row = seen(body).row()
    assert (row["body"], row["bodyCut"], row["bytes"]) == (text, cut, len(body))


@pytest.mark.parametrize("body", [b"\xff\xfe", b"\xe2\x82", b"\x80" * 10_000])
def test_a_body_that_is_no_text_is_shown_as_base64(body: bytes) -> None:
    row = seen(body).row()
    assert row["body"] is None
    assert base64.b64decode(row["bodyBase64"]) == body[:MAX_SHOWN_BODY]
    assert row["bodyCut"] is (len(body) > MAX_SHOWN_BODY)


def test_properties_are_cut_in_number_and_length() -> None:
    many = {f"p{number}": "v" * 10_000 for number in range(200)}
    row = seen(b"", {"n" * 60_000: None, **many}).row()
    assert row["propertiesCut"]
    assert len(row["properties"]) == MAX_SHOWN_PROPERTIES
    assert all(len(name) <= MAX_SHOWN_VALUE + 1 for name in row["properties"])
    assert len(seen(b"x" * 200_000, {"n" * 60_000: None, **many}).written()) < 60_000


def test_half_a_character_in_a_property_is_written_out() -> None:
    row = json.loads(seen(b"", {"half": "\ud800"}).written())
    assert row["properties"] == {"half": "\ud800"}


def test_a_token_in_a_topic_is_hidden() -> None:
    row = seen(b"", {"topic": "SharedAccessSignature sig=abcdef1234567890"}).row()
    assert "abcdef" not in row["topic"]


def test_size_counts_what_grows() -> None:
    assert seen(b"x" * 1000, {"a" * 100: "b" * 100}).size >= 1200


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("D1", True),
        ("m1", True),
        ("KIND", True),
        ("climate", True),
        ("tempera", True),
        ("none", False),
        ("\ud800", False),
    ],
)
def test_text_is_looked_for_in_sender_properties_and_body(text: str, found: bool) -> None:  # noqa: FBT001 — a table
    assert holds(seen(b'{"Temperature": 1}', {"Kind": "Climate", "empty": None}).routed, text) is found
