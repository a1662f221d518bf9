from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Described, Symbol, ULong
from edgewire.codec.amqp.performatives import Map
from edgewire.errors import ProtocolError
from standin.eventhub_selector import (
    FILTER,
    FROM_START,
    MAX_SELECTOR_CHARS,
    Field,
    Selector,
    parse_selector,
    read_filter,
    start_of,
)
from standin.events import EventLog
from support.event_log import keep_all, message

T0 = 1_700_000_000.5


@pytest.fixture
async def log(tmp_path: Path) -> Iterator[EventLog]:  # type: ignore[misc]  # an async fixture that yields
    path = tmp_path / "events.db"
    log = EventLog(path, partitions=1)
    for second in range(5):
        await keep_all(log, path, [message(b"x")], T0 + second)
    yield log
    log.close()


@pytest.mark.parametrize(
    ("text", "field", "inclusive", "value"),
    [
        ("amqp.annotation.x-opt-offset > '-1'", Field.OFFSET, False, "-1"),
        ("amqp.annotation.x-opt-offset >= '17'", Field.OFFSET, True, "17"),
        ("amqp.annotation.x-opt-offset > '@latest'", Field.OFFSET, False, "@latest"),
        ("amqp.annotation.x-opt-sequence-number>='3'", Field.SEQUENCE_NUMBER, True, "3"),
        (" amqp.annotation.x-opt-sequence-number > 3 ", Field.SEQUENCE_NUMBER, False, "3"),
        ("amqp.annotation.x-opt-enqueued-time > '1700000000500'", Field.ENQUEUED_TIME, False, "1700000000500"),
    ],
)
def test_selectors_are_read_as_clients_write_them(text: str, field: Field, value: str, *, inclusive: bool) -> None:
    assert parse_selector(text) == Selector(field=field, inclusive=inclusive, value=value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "amqp.annotation.x-opt-offset < '1'",
        "amqp.annotation.x-opt-offset = '1'",
        "amqp.annotation.x-opt-partition-key > '1'",
        "amqp.annotation.x-opt-offset > '1' AND 1=1",
        "amqp.annotation.x-opt-offset > '" + "1" * MAX_SELECTOR_CHARS + "'",
    ],
)
def test_other_selectors_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_selector(text)
    assert caught.value.reply == conditions.ARGUMENT_ERROR


@pytest.mark.parametrize(
    "value",
    [
        Described(Symbol(FILTER), "amqp.annotation.x-opt-offset > '2'"),  # azure-eventhub
        Described(ULong(0x468C00000004), "amqp.annotation.x-opt-offset > '2'"),  # @azure/event-hubs
        "amqp.annotation.x-opt-offset > '2'",
    ],
)
def test_the_filter_is_read_whatever_describes_it(value: object) -> None:
    assert read_filter({Symbol(FILTER): value}) == Selector(field=Field.OFFSET, inclusive=False, value="2")


@pytest.mark.parametrize("filters", [None, {}])
def test_a_link_without_a_filter_reads_all(filters: Map | None) -> None:
    assert read_filter(filters) == FROM_START


@pytest.mark.parametrize(
    ("filters", "reply"),
    [
        ({Symbol("jms-selector"): "x"}, conditions.NOT_IMPLEMENTED),
        ({Symbol(FILTER): 7}, conditions.ARGUMENT_ERROR),
    ],
)
def test_other_filters_are_refused(filters: Map, reply: Symbol) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_filter(filters)
    assert caught.value.reply == reply


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("x-opt-offset > '-1'", 0),
        ("x-opt-offset > '2'", 2),  # offsets count from 1, numbers from 0
        ("x-opt-offset >= '2'", 1),
        ("x-opt-offset > '5'", 5),
        ("x-opt-offset > '@latest'", 5),
        ("x-opt-sequence-number > '-1'", 0),
        ("x-opt-sequence-number > '2'", 3),
        ("x-opt-sequence-number >= '2'", 2),
        ("x-opt-sequence-number > '4'", 5),
        ("x-opt-sequence-number >= '5'", 5),
        ("x-opt-enqueued-time > '0'", 0),
        ("x-opt-enqueued-time > '1700000002500'", 3),
        ("x-opt-enqueued-time >= '1700000002500'", 2),
        ("x-opt-enqueued-time > '1700000002499'", 2),
        ("x-opt-enqueued-time > '1900000000000'", 5),
    ],
)
async def test_a_reader_begins_where_its_selector_says(log: EventLog, text: str, start: int) -> None:
    assert start_of(parse_selector(f"amqp.annotation.{text}"), log, 0) == start


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("x-opt-offset > 'here'", conditions.ARGUMENT_ERROR),
        ("x-opt-sequence-number > '@latest'", conditions.ARGUMENT_ERROR),
        ("x-opt-offset > '6'", conditions.ARGUMENT_OUT_OF_RANGE),
        ("x-opt-sequence-number > '5'", conditions.ARGUMENT_OUT_OF_RANGE),
        ("x-opt-sequence-number >= '6'", conditions.ARGUMENT_OUT_OF_RANGE),
    ],
)
async def test_a_value_that_is_none_or_behind_the_end_is_refused(log: EventLog, text: str, reply: Symbol) -> None:
    with pytest.raises(ProtocolError) as caught:
        start_of(parse_selector(f"amqp.annotation.{text}"), log, 0)
    assert caught.value.reply == reply


@pytest.mark.parametrize("text", ["x-opt-offset > '-1'", "x-opt-offset > '@latest'", "x-opt-sequence-number >= '0'"])
async def test_an_empty_partition_is_waited_at(tmp_path: Path, text: str) -> None:
    log = EventLog(tmp_path / "empty.db")
    assert start_of(parse_selector(f"amqp.annotation.{text}"), log, 0) == 0
    log.close()
