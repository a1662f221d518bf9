import uuid

from edgewire.codec.amqp import kinds as k


def test_values_compare_as_what_they_are_in_python() -> None:
    assert {k.Symbol("a"): k.UInt(1)} == {"a": 1}
    assert k.Uuid is uuid.UUID
    assert k.Long is int


def test_a_value_keeps_no_dictionary_of_its_own() -> None:
    # Many of them come in one message: each with a dictionary would hold ten times the memory.
    for value in (k.Symbol("a"), k.Char("a"), k.UInt(1), k.Timestamp(1), k.Float(1), k.Decimal32(b"1234")):
        assert not hasattr(value, "__dict__")


def test_arrays_are_equal_if_their_elements_are() -> None:
    assert k.Array((k.Symbol("a"),), b"\xa3") == k.Array((k.Symbol("a"),), b"\xb3")
