import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.line.envelopes import EnvelopeReader, read_envelope, write_envelope
from edgewire.message import Envelope, MessageSource, identity

ENVELOPE = Envelope(
    sender=identity("d", "m"),
    properties={"a": None, "b": ""},
    system={"connectionDeviceId": "d"},
    source=MessageSource.TWIN_CHANGE,
)
# source 1; "d"; value "m"; 2 properties: "a" none, "b" empty; 1 system property
GOLDEN = bytes.fromhex("01 0164 026d 02 0161 00 0162 01 01 12") + b"connectionDeviceId" + bytes.fromhex("0264")

TEXTS = st.text(max_size=200)
ENVELOPES = st.builds(
    lambda device, module, properties, system, source: Envelope(
        sender=identity(device, module), properties=properties, system=system, source=source
    ),
    TEXTS,
    st.none() | TEXTS,
    st.dictionaries(TEXTS, st.none() | TEXTS, max_size=4),
    st.dictionaries(TEXTS, TEXTS, max_size=4),
    st.sampled_from(MessageSource),
)


def test_envelope_bytes_are_version_1() -> None:
    assert write_envelope(ENVELOPE) == GOLDEN
    assert read_envelope(GOLDEN) == ENVELOPE


@given(ENVELOPES)
def test_every_envelope_comes_back(envelope: Envelope) -> None:
    assert read_envelope(write_envelope(envelope)) == envelope


def test_half_a_surrogate_pair_comes_back() -> None:
    envelope = Envelope(sender=identity("d"), properties={"\ud800": "\udfff"}, system={})
    assert read_envelope(write_envelope(envelope)) == envelope


def test_cut_bytes_are_refused_at_every_length() -> None:
    for end in range(len(GOLDEN)):
        with pytest.raises((ValueError, IndexError)):
            read_envelope(GOLDEN[:end])
    with pytest.raises(ValueError, match="another length"):
        read_envelope(GOLDEN + b"x")


@given(st.binary(max_size=60))
def test_other_bytes_are_refused_or_read_and_nothing_else(data: bytes) -> None:
    try:
        read_envelope(data)
    except (ValueError, IndexError):
        return


def test_equal_bytes_give_the_same_object() -> None:
    reader = EnvelopeReader()
    assert reader.read(GOLDEN) is reader.read(bytes(bytearray(GOLDEN)))


def test_the_cache_of_what_is_read_is_bounded() -> None:
    reader = EnvelopeReader(max_bytes=20_000)
    for number in range(1000):
        envelope = Envelope(sender=identity(f"{number}"), properties={}, system={})
        assert reader.read(write_envelope(envelope)) == envelope
    assert len(reader._cache) < 40


@pytest.mark.parametrize("properties", [0, 25, 250])
def test_what_is_read_takes_no_more_memory_than_it_may(properties: int) -> None:
    """Small properties take many times the bytes that they have on disk."""
    most = 200_000
    reader = EnvelopeReader(max_bytes=most)
    pairs: dict[str, str | None] = {f"{name}": "1" for name in range(properties)}
    tracemalloc.start()
    try:
        for number in range(400):
            reader.read(write_envelope(Envelope(sender=identity(f"{number}"), properties=pairs, system={})))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * most
