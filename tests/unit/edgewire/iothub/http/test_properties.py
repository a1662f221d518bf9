import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import ProtocolError
from edgewire.iothub.bag import Bag, Direction
from edgewire.iothub.http.properties import Notes, read_headers, write_headers, write_notes
from project_sources import ROOT

VECTORS: dict[str, list[Any]] = json.loads((ROOT / "tests/vectors/http_device.json").read_text())


@pytest.mark.parametrize(("what", "headers", "properties", "system"), VECTORS["headers"])
def test_headers_are_properties(
    what: str, headers: list[list[str]], properties: dict[str, str], system: dict[str, str]
) -> None:
    assert read_headers((name, value) for name, value in headers) == Bag(properties, system), what


@pytest.mark.parametrize(("what", "headers"), VECTORS["refusedHeaders"])
def test_what_no_message_may_hold_is_refused(what: str, headers: list[list[str]]) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_headers((name, value) for name, value in headers)
    assert refused.value.reply == 400, what


def test_a_message_to_a_device_has_the_headers_that_clients_look_for() -> None:
    bag = Bag({"Level": "5", "null": None}, {"messageId": "m", "cid": "c", "to": "/devices/d1/messages/devicebound"})
    notes = Notes(lock_token="6d2e", sequence_number=7, enqueued_at_ms=1_600_000_000_123, delivery_count=2)
    assert write_notes(notes) + write_headers(bag) == [
        ("ETag", '"6d2e"'),
        ("iothub-sequencenumber", "7"),
        ("iothub-enqueuedtime", "2020-09-13T12:26:40.1230000Z"),
        ("iothub-deliverycount", "2"),
        ("iothub-messageid", "m"),
        ("iothub-correlationid", "c"),
        ("iothub-to", "/devices/d1/messages/devicebound"),
        ("iothub-app-Level", "5"),
        ("iothub-app-null", ""),
    ]
    assert write_notes(Notes()) == []


def test_what_no_header_can_hold_is_escaped() -> None:
    bag = Bag({"a b:": " é\r\nX: y ", "plain": "50% of a;b"}, {"userId": "ü"})
    assert write_headers(bag) == [
        ("iothub-userid", "%C3%BC"),
        ("iothub-app-a%20b%3A", "%20%C3%A9%0D%0AX: y%20"),
        ("iothub-app-plain", "50% of a;b"),
    ]


def test_a_run_of_blanks_costs_no_more_than_its_length() -> None:
    """60,000 of them took ten seconds, in which the gateway did nothing else."""
    blanks = " " * 60_000
    began_at = time.process_time()
    [(_, kept)] = write_headers(Bag({"p": f"x{blanks}x"}, {}))
    [(_, escaped)] = write_headers(Bag({"p": f" x{blanks}"}, {}))
    assert time.process_time() - began_at < 2
    assert kept == f"x{blanks}x"
    assert escaped == "%20x" + "%20" * len(blanks)


def test_each_direction_has_its_own_system_properties() -> None:
    bag = Bag({}, {"iothub-interface-id": "i", "connectionDeviceId": "d1"})
    assert write_headers(bag, Direction.TO_DEVICE) == []
    assert write_headers(bag, Direction.FROM_DEVICE) == [("iothub-interface-id", "i")]
    assert read_headers([("iothub-interface-id", "i")], Direction.TO_DEVICE) == Bag({}, {})


NAMES = st.text("abcxyz0189_.~!", min_size=1, max_size=20)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)


@given(st.dictionaries(NAMES, VALUES, max_size=8), st.dictionaries(st.sampled_from(["messageId", "cid"]), VALUES))
def test_what_is_written_can_be_read(properties: dict[str, str], system: dict[str, str]) -> None:
    bag = Bag(properties, {name: value for name, value in system.items() if value})
    assert read_headers(write_headers(bag), Direction.TO_DEVICE) == bag
