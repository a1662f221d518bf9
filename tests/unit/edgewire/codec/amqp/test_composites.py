import pytest
from hypothesis import given

from edgewire.codec.amqp import composites as c
from edgewire.codec.amqp import performatives as p
from edgewire.codec.amqp.kinds import Described, Symbol, ULong
from edgewire.errors import UsageError
from support.amqp_reading import VALUES, refusal_of

CODES = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18}
"""AMQP 1.0 §2.7.1 to §2.7.9."""


def test_every_performative_has_its_descriptor() -> None:
    assert {code for code in range(256) if c.AMQP.table(ULong(code))} == CODES
    assert {code for code in range(256) if c.SASL.table(ULong(code))} == set(range(0x40, 0x45))
    assert c.AMQP.table(Symbol("amqp:begin:list")) is c.AMQP.table(ULong(0x11))
    assert c.AMQP.table("amqp:begin:list") is None
    assert c.AMQP.table(0x11) is None


def test_a_state_of_another_standard_stays_as_it_is() -> None:
    # AMQP 1.0 §4.5.8: transactional-state.
    state = Described(ULong(0x34), [b"txn"])
    made = p.Disposition(p.RECEIVER, 1, state=state)
    assert c.read_performative(c.AMQP.write(made), c.AMQP)[0] == made


@given(VALUES)
def test_any_value_is_a_performative_or_refused(value: object) -> None:
    for code in CODES:
        described = Described(ULong(code), [value] * 3)
        refusal_of(lambda described=described: c.AMQP.read(described, "x"))  # type: ignore[misc]  # a bound default


def test_what_has_no_place_is_our_fault() -> None:
    with pytest.raises(UsageError, match=r"attach\.source"):
        c.AMQP.write(p.Attach(name="n", handle=0, role=True, source=p.Target()))  # type: ignore[arg-type]  # refused
    with pytest.raises(UsageError, match="without first"):
        c.AMQP.write(p.Disposition(True, None))  # type: ignore[arg-type]  # what is refused
