import pytest

from edgewire.codec.amqp import kinds as k
from edgewire.codec.amqp import writing
from edgewire.errors import UsageError

ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "value",
    [
        k.UByte(256),
        k.UShort(-1),
        k.UInt(-1),
        k.UInt(1 << 32),
        k.ULong(1 << 64),
        k.ULong(-1),
        k.Byte(128),
        k.Short(1 << 15),
        k.Int(1 << 31),
        1 << 63,
        k.Timestamp(1 << 63),
        k.Float(1e300),
        k.Decimal32(b"12345"),
        k.Char("ab"),
        k.Char("\ud800"),
        "\ud800",
        k.Symbol("ü"),
        k.Array((1, "a")),
        k.Array((object(),)),
        k.Array(({k.UInt(-1): 1},)),
        {"a": object()},
        (1, 2),
        ENDLESS,
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:20]!a}",
)
def test_a_value_that_amqp_cannot_hold_is_our_fault(value: object) -> None:
    with pytest.raises(UsageError):
        writing.write_value(value)


def test_a_subclass_is_written_as_what_it_is_like() -> None:
    class Mine(k.Symbol):
        pass

    assert writing.write_value(Mine("a")) == b"\xa3\x01a"
    assert writing.write_value(k.Array((Mine("a"),))) == b"\xe0\x07\x01\xb3\x00\x00\x00\x01a"


def test_what_does_not_fit_the_small_form_has_the_large_one() -> None:
    assert writing.write_value([None] * 256)[:9] == b"\xd0\x00\x00\x01\x04\x00\x00\x01\x00"
    assert writing.write_value(["x" * 253])[:9] == b"\xd0\x00\x00\x01\x03\x00\x00\x00\x01"
    assert writing.write_value(["x" * 252])[:3] == b"\xc0\xff\x01"
    assert writing.write_value({"k": "x" * 300})[:1] == b"\xd1"
    assert writing.write_value(k.Array((k.Array(("x" * 300,)),)))[:1] == b"\xf0"
    assert writing.write_value(b"x" * 256)[:5] == b"\xb0\x00\x00\x01\x00"


def test_a_flag_that_is_no_boolean_is_refused() -> None:
    with pytest.raises(TypeError):
        writing.write_boolean(1)  # type: ignore[arg-type]  # what is refused
