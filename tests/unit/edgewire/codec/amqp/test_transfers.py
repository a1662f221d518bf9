from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.amqp import performatives as p
from edgewire.codec.amqp import transfers
from edgewire.codec.amqp.composites import AMQP, MAX_TAG_BYTES
from edgewire.codec.amqp.frames import read_body, write_by_table, write_frame
from support.amqp_reading import changed, frames_of, refusal_of

UINTS = st.sampled_from([0, 1, 255, 256, p.UINT_MAX])
STATES = st.sampled_from([None, p.ACCEPTED, p.RELEASED, p.Rejected(p.Error(condition="a:b"))])
TRANSFERS = st.builds(
    p.Transfer,
    UINTS,
    st.none() | UINTS,
    st.none() | st.binary(max_size=MAX_TAG_BYTES),
    st.none() | UINTS,
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, None, 1]),
    st.none() | STATES,
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
DISPOSITIONS = st.builds(
    p.Disposition, st.booleans(), UINTS, st.none() | UINTS, st.booleans(), STATES, st.sampled_from([False, False, True])
)


@given(TRANSFERS, st.binary(max_size=5))
def test_both_ways_to_write_a_transfer_say_the_same(transfer: p.Transfer, payload: bytes) -> None:
    [short] = frames_of(write_frame(7, transfer, payload))
    [long] = frames_of(write_by_table(7, transfer, payload))
    assert short == long
    assert short.performative == transfer
    assert short.payload == payload


@given(DISPOSITIONS)
def test_both_ways_to_write_a_disposition_say_the_same(disposition: p.Disposition) -> None:
    [short] = frames_of(write_frame(7, disposition))
    [long] = frames_of(write_by_table(7, disposition))
    assert short == long
    assert short.performative == disposition


def agree(body: bytes) -> bool:
    """Whether the short way takes this body; the long way must then find the same in it."""
    found = transfers.read_transfer(b"before!!" + body, 8 + 3, 8 + len(body))
    if found is None:
        return False
    long = read_body(0, 0, body)
    transfer, end = found
    assert long.performative == transfer
    assert long.payload == body[end - 8 :]
    return True


@given(TRANSFERS, st.binary(max_size=3))
def test_both_ways_to_read_a_transfer_agree(transfer: p.Transfer, payload: bytes) -> None:
    agree(AMQP.write(transfer) + payload)


@given(TRANSFERS.flatmap(lambda transfer: changed(AMQP.write(transfer)[3:])))
def test_both_ways_to_read_a_changed_transfer_agree(body: bytes) -> None:
    agree(b"\0\x53\x14" + body)


def test_a_transfer_cut_anywhere_is_not_taken() -> None:
    body = AMQP.write(p.Transfer(1, 300, b"tag", 0))
    assert agree(body)
    for end in range(3, len(body)):
        assert not agree(body[:end])
        assert refusal_of(lambda end=end: read_body(0, 0, body[:end])) is not None  # type: ignore[misc]  # a bound default
        padded = b"before!!" + body
        assert transfers.read_transfer(padded, 11, 8 + end) is None


def test_the_usual_transfer_goes_the_short_way() -> None:
    # As rhea, the C SDK and uamqp send it: six fields, or all of them.
    for count, rest in ((6, b""), (11, b"\x40\x40\x42\x42\x42"), (11, b"\x40\x40\x40\x40\x41")):
        fields = bytes((count,)) + b"\x52\x03\x70\x00\x01\xe2\x40\xa0\x01\x30\x43\x42\x42" + rest
        assert agree(b"\0\x53\x14\xc0" + bytes((len(fields),)) + fields + b"payload")
        wide = (len(fields) + 3).to_bytes(4, "big") + b"\0\0\0" + fields
        assert agree(b"\0\x53\x14\xd0" + wide + b"payload")


def test_what_the_short_way_cannot_say_it_leaves() -> None:
    assert transfers.write_transfer(0, p.Transfer(0, 0, b"t", 0, state=p.ACCEPTED), b"") is None
    assert transfers.write_disposition(0, p.Disposition(p.RECEIVER, 0, state=p.RELEASED)) is None
