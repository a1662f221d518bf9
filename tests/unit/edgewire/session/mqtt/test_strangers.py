"""Who has not logged in yet may send a little, whatever others do; all together may hold no more than a bound."""

import pytest

from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.errors import ProtocolError
from edgewire.session.mqtt.limits import ServerLimits
from edgewire.session.mqtt.server import ServerSession
from edgewire.session.mqtt.strangers import ALWAYS_BYTES, MAX_BYTES, Strangers

LARGE = b"\x10\x80\x80\x08" + bytes(100_000)
"""The beginning of a CONNECT."""
SMALL = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c"


def crowd(strangers: Strangers) -> list[ServerSession]:
    """As many as find room for so much."""
    sessions = []
    for _ in range(MAX_BYTES // len(LARGE)):
        sessions.append(ServerSession(ServerLimits(), 0.0, strangers))
        assert sessions[-1].receive(LARGE, 0.0) == []
    return sessions


def test_all_together_hold_no_more_than_a_bound() -> None:
    strangers = Strangers()
    sessions = crowd(strangers)
    one_more = ServerSession(ServerLimits(), 0.0, strangers)
    with pytest.raises(ProtocolError) as raised:
        one_more.receive(LARGE, 0.0)
    assert raised.value.reply is ReasonCode.QUOTA_EXCEEDED
    assert one_more.dead
    assert strangers.held == len(sessions) * len(LARGE)
    sessions.pop().connection_lost()
    ServerSession(ServerLimits(), 0.0, strangers).receive(LARGE, 0.0)


def test_who_holds_little_is_let_in_all_the_same() -> None:
    strangers = Strangers()
    _ = crowd(strangers)
    assert not strangers.hold(0, ALWAYS_BYTES + 100_000)
    session = ServerSession(ServerLimits(), 0.0, strangers)
    before = strangers.held
    (event,) = session.receive(SMALL, 0.0)
    assert strangers.held == before + len(SMALL)
    session.accept(session_present=False)
    assert strangers.held == before, event


def test_what_waits_behind_connect_counts_until_the_answer() -> None:
    strangers = Strangers()
    for end in (ServerSession.connection_lost, lambda session: session.disconnect(ReasonCode.SERVER_SHUTTING_DOWN)):
        session = ServerSession(ServerLimits(), 0.0, strangers)
        session.receive(SMALL, 0.0)
        session.receive(bytes(1_000), 0.0)
        assert strangers.held == len(SMALL) + 1_000
        end(session)
        assert strangers.held == 0
