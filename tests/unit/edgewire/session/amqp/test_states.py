"""The tables hold together: every state can be reached and left, and names nothing that is not there."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest

from edgewire.session.amqp.states import (
    CONNECTION_RECEIVED,
    CONNECTION_SENT,
    LINK_RECEIVED,
    LINK_SENT,
    SASL_RECEIVED,
    SASL_SENT,
    SESSION_RECEIVED,
    SESSION_SENT,
    ConnectionState,
    LinkState,
    SaslState,
    SessionState,
    Wire,
)

Table = Mapping[tuple[Any, Wire], Any]

MACHINES = [
    (SaslState, SaslState.START, SASL_RECEIVED, SASL_SENT, {SaslState.DONE, SaslState.FAILED}),
    (ConnectionState, ConnectionState.START, CONNECTION_RECEIVED, CONNECTION_SENT, {ConnectionState.END}),
    (SessionState, SessionState.UNMAPPED, SESSION_RECEIVED, SESSION_SENT, set()),
    (LinkState, LinkState.DETACHED, LINK_RECEIVED, LINK_SENT, set()),
]


@pytest.mark.parametrize(("states", "start", "received", "sent", "ends"), MACHINES)
def test_every_state_is_reached_and_all_but_the_last_are_left(
    states: type[Enum], start: Enum, received: Table, sent: Table, ends: set[Enum]
) -> None:
    reached = {start}
    steps = [*received.items(), *sent.items()]
    while new := {after for (before, _), after in steps if before in reached} - reached:
        reached |= new
    assert reached == set(states)
    assert {before for (before, _), _ in steps} == set(states) - ends


def test_nothing_is_read_while_an_open_waits_for_its_answer() -> None:
    assert [kind for state, kind in CONNECTION_RECEIVED if state is ConnectionState.OPEN_RCVD] == []


def test_a_close_ends_from_every_state_in_which_one_can_come() -> None:
    ends = {CONNECTION_RECEIVED[step] for step in CONNECTION_RECEIVED if step[1] is Wire.CLOSE}
    assert ends == {ConnectionState.CLOSE_RCVD, ConnectionState.END}
