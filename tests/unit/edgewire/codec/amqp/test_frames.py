from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.amqp import frames
from edgewire.codec.amqp.frames import Frame, FrameReader, FrameType, write_by_table, write_frame
from edgewire.codec.amqp.performatives import Close, Flow, Open, SaslOutcome, Transfer
from edgewire.errors import ProtocolError, UsageError
from support.amqp_reading import TRACES, Row, changed, frames_of, refusal_of, rows
from support.mqtt_reading import agrees, as_row

ROWS = rows("amqp_frames")
GOOD = [row for row in ROWS if not row.refused]
CLOSE = bytes.fromhex("0000000c 02000000 00531845")


@pytest.mark.parametrize("row", GOOD, ids=str)
def test_what_the_specification_has_is_read_and_written(row: Row) -> None:
    [frame] = frames_of(row.wire)
    assert type(frame.performative).__name__ == row.made
    if frame.performative is None:
        assert row.wire == frames.EMPTY_FRAME
        return
    assert agrees(as_row(frame.performative), row.fields), as_row(frame.performative)
    written = write_frame(frame.channel, frame.performative, frame.payload)
    assert frames_of(written) == [frame]
    assert (written == row.wire) != row.longer


@pytest.mark.parametrize("row", [row for row in ROWS if row.refused], ids=str)
def test_what_the_specification_has_not_is_refused_with_its_condition(row: Row) -> None:
    with pytest.raises(ProtocolError) as caught:
        frames_of(row.wire)
    assert row.says in str(caught.value)
    assert caught.value.reply == row.reply


@pytest.mark.parametrize("row", GOOD, ids=str)
def test_a_frame_that_comes_in_pieces_is_the_same(row: Row) -> None:
    [whole] = frames_of(row.wire)
    for cut in range(len(row.wire) + 1):
        reader = FrameReader(1000)
        reader.push(row.wire[:cut])
        assert (reader.next() is None) == (cut < len(row.wire))
        reader.push(row.wire[cut:] + CLOSE[:5])
        found = [frame for frame in (reader.next(), reader.next()) if frame is not None]
        assert found == ([whole] if cut < len(row.wire) else [])
        assert reader.held == 5
        reader.push(CLOSE[5:])
        assert reader.next() == Frame(0, FrameType.AMQP, Close(), b"")


@pytest.mark.parametrize("row", GOOD, ids=str)
def test_a_body_cut_anywhere_is_refused(row: Row) -> None:
    for end in range(1, len(row.wire) - 4 * row.wire[4]):
        body = row.wire[4 * row.wire[4] :][:end]
        found = refusal_of(partial(frames.read_body, 0, row.wire[5], body))
        # What follows a transfer's list is its payload, which may end anywhere.
        assert found is not None or row.made == "Transfer"


@pytest.mark.parametrize("trace", TRACES, ids=lambda path: path.name)
def test_what_real_clients_sent_is_read_and_written_back(trace: Path) -> None:
    readers: dict[str, FrameReader] = {}
    count = 0
    for line in trace.read_text().splitlines():
        connection, digits = line.split()
        reader = readers.setdefault(connection, FrameReader(1_000_000))
        data = bytes.fromhex(digits)
        reader.push(data)
        if data.startswith(b"AMQP"):
            assert reader.next_header() in {frames.AMQP_HEADER, frames.SASL_HEADER}
        for frame in iter(reader.next, None):
            count += 1
            assert frame.performative is not None
            assert frames_of(write_frame(frame.channel, frame.performative, frame.payload)) == [frame]
            assert frames_of(write_by_table(frame.channel, frame.performative, frame.payload)) == [frame]
    assert count > 4
    assert not any(reader.held for reader in readers.values())


def test_there_are_traces() -> None:
    assert len(TRACES) > 20


@given(st.sampled_from([row.wire for row in GOOD]).flatmap(changed))
def test_a_changed_frame_is_read_waited_for_or_refused(data: bytes) -> None:
    reader = FrameReader(1000)
    reader.push(data)
    refusal_of(lambda: list(iter(reader.next, None)))


@given(st.binary(min_size=1, max_size=60), st.sampled_from([0, 1]), st.sampled_from([b"", b"\0\x53\x12\xc0\x14\x07"]))
def test_garbage_in_a_frame_is_read_or_refused(body: bytes, kind: int, before: bytes) -> None:
    refusal_of(lambda: frames.read_body(0, kind, before + body))


@pytest.mark.parametrize("header", [frames.AMQP_HEADER, frames.SASL_HEADER, frames.TLS_HEADER, b"AMQP\0\0\x09\x01"])
def test_a_protocol_header_may_come_in_pieces_and_with_more(header: bytes) -> None:
    for cut in range(9):
        reader = FrameReader(1000)
        reader.push(header[:cut])
        found = reader.next_header()
        assert (found is None) == (cut < 8)
        reader.push(header[cut:] + CLOSE)
        assert (found or reader.next_header()) == header
        assert reader.next() == Frame(0, FrameType.AMQP, Close(), b"")


@pytest.mark.parametrize("data", [b"G", b"AMQ ", b"GET / HTTP/1.1", b"\x16\x03\x01"])
def test_what_is_no_protocol_header_is_refused_at_its_first_wrong_byte(data: bytes) -> None:
    reader = FrameReader(1000)
    reader.push(data)
    error = refusal_of(reader.next_header)
    assert error is not None
    assert error.reply == "amqp:connection:framing-error"


def test_the_largest_frame_counts_its_header() -> None:
    for limit, refused in ((len(CLOSE), False), (len(CLOSE) - 1, True)):
        assert (refusal_of(partial(frames_of, CLOSE, limit)) is not None) == refused


def test_many_small_pieces_are_copied_once() -> None:
    frame = write_frame(0, Transfer(0, 0, b"t", 0), bytes(60_000))
    reader = FrameReader(65_536)
    for at in range(0, len(frame), 100):
        assert reader.next() is None
        reader.push(frame[at : at + 100])
    assert reader.next() is not None


def test_what_has_arrived_can_be_forgotten() -> None:
    reader = FrameReader(100)
    reader.push(CLOSE[:9])
    assert reader.next() is None
    reader.drop()
    assert reader.held == 0


@pytest.mark.parametrize(
    ("channel", "performative"),
    [
        (70_000, Close()),
        (0, Transfer(-1, 0, b"t", 0)),
        (0, Transfer(0, 1 << 32, b"t", 0)),
        (0, Transfer(0, 0, b"t", 1 << 40)),
        (0, Transfer(0, 0, b"t" * 300, 0)),
        (0, Open(container_id=None)),  # type: ignore[arg-type]  # what is refused
        (0, Open(container_id="c", properties={1.5: 1})),
        (0, SaslOutcome(300)),
        (0, "no performative"),
    ],
    ids=str,
)
def test_a_frame_that_cannot_be_is_our_fault(channel: int, performative: Any) -> None:
    with pytest.raises(UsageError):
        write_frame(channel, performative)


def test_performatives_are_written_at_full_length() -> None:
    # Azure's pure-Python client reads fields by index and fails where trailing nulls are left out.
    for made in (Open(container_id="c"), Flow(incoming_window=1, next_outgoing_id=1, outgoing_window=1), Close()):
        assert write_frame(0, made)[13] == len(fields(made)), made
