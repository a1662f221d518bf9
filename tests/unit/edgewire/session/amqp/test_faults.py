"""How far a fault reaches is its class."""

from edgewire.codec.amqp import conditions
from edgewire.errors import ProtocolError
from edgewire.session.amqp.faults import LinkError, SessionError, connection_fault
from support.amqp_wire import linked


def test_a_fault_of_the_connection_is_a_protocol_error_with_a_condition() -> None:
    fault = connection_fault("x", condition=conditions.ILLEGAL_STATE, spec="AMQP 1.0 §2.4.6")
    assert isinstance(fault, ProtocolError)
    assert (fault.reply, str(fault)) == ("amqp:illegal-state", "x [AMQP 1.0 §2.4.6]")


def test_the_others_never_leave_the_engine() -> None:
    _, link = linked()
    session = SessionError("s", condition=conditions.ERRANT_LINK)
    of_link = LinkError(link, "l", condition=conditions.STOLEN)
    assert not isinstance(session, ProtocolError)
    assert (session.what, session.condition) == ("s", "amqp:session:errant-link")
    assert (of_link.link, of_link.what, of_link.condition) == (link, "l", "amqp:link:stolen")
