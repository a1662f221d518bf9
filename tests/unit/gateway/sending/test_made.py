import json
from typing import Any

import pytest

from edgewire.message import Envelope, Message, identity
from gateway.sending.how import Items
from gateway.sending.made import as_it_is, item, made_message, shown_time
from gateway.store.values import Entry
from support.staged import JSON, NOON_MS, entry, told


def raw(body: bytes, **system: str) -> Entry:
    return entry(Message(Envelope(sender=identity("d1"), properties={}, system=system), body), 7)


def test_an_item_tells_sender_id_time_properties_and_the_body_as_it_came() -> None:
    found = item(entry(told({"t": 20.5}, kind="climate"), 7, at_ms=NOON_MS + 5), Items.MESSAGES)
    assert json.loads(found) == {
        "deviceId": "d1",
        "messageId": "s-7",
        "enqueuedTime": "2027-01-15T12:00:00.005Z",
        "properties": {"kind": "climate"},
        "body": {"t": 20.5},
    }


def test_an_item_has_the_devices_own_message_id_and_the_other_system_properties() -> None:
    system = {"connectionDeviceId": "d1", "connectionModuleId": "m", "messageId": "mine", "cid": "c", **JSON}
    message = Message(Envelope(sender=identity("d1", "m"), properties={"empty": None}, system=system), b"{}")
    found = json.loads(item(entry(message, 1), Items.MESSAGES))
    assert (found["moduleId"], found["messageId"]) == ("m", "mine")
    assert found["systemProperties"] == {"cid": "c"}
    assert found["properties"] == {"empty": None}


@pytest.mark.parametrize(
    ("body", "system", "shown"),
    [
        (b"on", {}, {"body": "on"}),
        (b"", {}, {"body": ""}),
        (b"\xff\x00", {}, {"bodyBase64": "/wA="}),
        (b'{"a": ', JSON, {"body": '{"a": ', "systemProperties": JSON}),
        (b'{"a":1}', {}, {"body": '{"a":1}'}),
        (b"[NaN]", JSON, {"body": "[NaN]", "systemProperties": JSON}),
    ],
)
def test_a_body_that_is_no_json_stands_there_as_text_or_base64(
    body: bytes, system: dict[str, str], shown: dict[str, Any]
) -> None:
    found = json.loads(item(raw(body, **system), Items.MESSAGES))
    assert {name: found[name] for name in ("body", "bodyBase64", "systemProperties") if name in found} == shown


def test_json_keeps_every_digit_and_stands_on_one_line() -> None:
    body = b'{\r\n "n": 12345678901234567890123.10,\n "s": "a\\nb"}'
    found = item(raw(body, **JSON), Items.BODIES)
    assert b"12345678901234567890123.10" in found
    assert b"\n" not in found
    assert json.loads(found)["s"] == "a\nb"


@pytest.mark.parametrize(("body", "shown"), [(b"on", b'"on"'), (b"\xff", b'{"bodyBase64":"/w=="}')])
def test_a_body_alone_is_json_too(body: bytes, shown: bytes) -> None:
    assert item(raw(body), Items.BODIES) == shown


def test_half_a_surrogate_pair_in_a_property_does_not_stop_a_batch() -> None:
    message = Message(Envelope(sender=identity("d1"), properties={"p": "\ud83d"}, system={}), b"x")
    assert json.loads(item(entry(message, 1), Items.MESSAGES))["properties"] == {"p": "\ud83d"}


def test_a_message_that_goes_as_it_is_has_an_id_by_which_a_repetition_is_known() -> None:
    made = as_it_is(raw(b"x", connectionDeviceId="d1"))
    assert made.message.envelope.system == {"connectionDeviceId": "d1", "messageId": "s-7"}
    own = raw(b"x", messageId="mine")
    assert as_it_is(own).message is own.message


def test_a_made_message_says_what_it_is() -> None:
    made = made_message(
        identity("d", "m"), b"[]", message_id="i", content_type="application/json", properties={"a": "b"}
    )
    assert made.envelope.sender == identity("d", "m")
    assert made.envelope.system == {
        **JSON,
        "connectionDeviceId": "d",
        "connectionModuleId": "m",
        "messageId": "i",
    }


def test_times_are_utc_to_the_millisecond() -> None:
    assert shown_time(0) == "1970-01-01T00:00:00.000Z"
