"""The security layer: what is offered, who is let in, and what comes out of turn."""

import pytest

from edgewire.codec.amqp.frames import AMQP_HEADER, SASL_HEADER, write_frame
from edgewire.codec.amqp.performatives import (
    Open,
    Performative,
    SaslChallenge,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    SaslResponse,
)
from edgewire.codec.amqp.types import Symbol
from edgewire.errors import ProtocolError, UsageError
from edgewire.session.amqp.client import AmqpClient
from edgewire.session.amqp.events import OpenReceived, SaslInitReceived, SaslOutcomeReceived
from edgewire.session.amqp.limits import AmqpLimits
from support.amqp_wire import Wire


@pytest.mark.parametrize(
    ("offers_external", "offered"),
    [
        (False, ("ANONYMOUS", "MSSBCBS", "PLAIN")),
        (True, ("ANONYMOUS", "MSSBCBS", "PLAIN", "EXTERNAL")),
    ],
)
def test_external_is_offered_where_there_is_a_certificate(*, offers_external: bool, offered: tuple[str, ...]) -> None:
    wire = Wire(offers_external=offers_external)
    assert wire.transfer(SASL_HEADER) == []
    assert wire.inbox(headers=1) == [SaslMechanisms(offered)]
    assert wire.headers == [SASL_HEADER]


def test_the_owner_decides_and_what_was_sent_behind_the_init_waits() -> None:
    wire = Wire()
    init = SaslInit(mechanism=Symbol("PLAIN"), initial_response=b"\0u\0p", hostname="h")
    data = SASL_HEADER + write_frame(0, init) + AMQP_HEADER + write_frame(0, Open(container_id="c"))
    assert wire.transfer(data) == [SaslInitReceived(mechanism="PLAIN", response=b"\0u\0p", hostname="h")]
    assert wire.server.deadline() is None
    wire.inbox(headers=1)
    wire.server.accept_sasl()
    [opened] = wire.due()
    assert isinstance(opened, OpenReceived)
    assert wire.server.take_output() == write_frame(0, SaslOutcome(0)) + AMQP_HEADER


@pytest.mark.parametrize("code", [1, 2])
def test_a_client_that_is_refused_hears_the_code(code: int) -> None:
    wire = Wire()
    wire.sasl("PLAIN", b"x")
    wire.inbox(headers=1)
    wire.server.refuse_sasl(code)
    assert wire.inbox() == [SaslOutcome(code)]
    assert wire.server.dead
    wire.server.accept_sasl()
    assert wire.transfer(AMQP_HEADER) == []
    assert wire.inbox() == []


def test_a_mechanism_that_is_not_offered_is_refused() -> None:
    wire = Wire()
    with pytest.raises(ProtocolError, match="EXTERNAL"):
        wire.sasl("EXTERNAL")
    assert wire.inbox(headers=1)[-1] == SaslOutcome(1)


@pytest.mark.parametrize(
    "performative", [SaslMechanisms(("PLAIN",)), SaslChallenge(b""), SaslResponse(b""), SaslOutcome(0)]
)
def test_a_client_sends_nothing_but_its_init(performative: Performative) -> None:
    wire = Wire()
    with pytest.raises(ProtocolError):
        wire.transfer(SASL_HEADER + write_frame(0, performative))
    assert wire.server.dead


def test_an_init_after_the_outcome_is_refused() -> None:
    wire = Wire()
    wire.sasl()
    wire.server.accept_sasl()
    wire.transfer(AMQP_HEADER)
    with pytest.raises(ProtocolError):
        wire.send(SaslInit(mechanism=Symbol("ANONYMOUS")))


def test_the_answer_to_an_init_is_given_once() -> None:
    wire = Wire()
    wire.sasl()
    wire.server.accept_sasl()
    with pytest.raises(UsageError):
        wire.server.accept_sasl()
    with pytest.raises(UsageError):
        Wire().server.accept_sasl()
    with pytest.raises(UsageError):
        wire.server.refuse_sasl(0)


def test_a_frame_of_this_layer_may_be_longer_than_the_standard_says_but_not_by_much() -> None:
    [asked] = Wire().sasl("PLAIN", b"x" * 2_000)
    assert isinstance(asked, SaslInitReceived)
    with pytest.raises(ProtocolError):
        Wire().sasl("PLAIN", b"x" * AmqpLimits().max_sasl_frame)


def client(mechanism: str) -> AmqpClient:
    made = AmqpClient(AmqpLimits(), 0.0, container_id="c", hostname="h", sasl=mechanism, response=b"r" * 900)
    assert made.take_output() == SASL_HEADER
    return made


def test_a_client_shows_what_it_was_given_and_hears_the_outcome() -> None:
    made = client("PLAIN")
    assert made.receive(SASL_HEADER + write_frame(0, SaslMechanisms(("ANONYMOUS", "PLAIN"))), 0.0) == []
    init = SaslInit(mechanism=Symbol("PLAIN"), initial_response=b"r" * 900, hostname="h")
    assert made.take_output() == write_frame(0, init)
    assert made.receive(write_frame(0, SaslOutcome(0)), 0.0) == [SaslOutcomeReceived(ok=True, code=0)]
    assert made.take_output() == AMQP_HEADER


def test_a_client_that_is_refused_is_dead() -> None:
    made = client("PLAIN")
    made.receive(SASL_HEADER + write_frame(0, SaslMechanisms(("PLAIN",))), 0.0)
    assert made.receive(write_frame(0, SaslOutcome(2)), 0.0) == [SaslOutcomeReceived(ok=False, code=2)]
    assert made.dead


def test_a_client_does_without_none_of_its_mechanism() -> None:
    with pytest.raises(ProtocolError, match="does not offer SASL MSSBCBS, but ANONYMOUS"):
        client("MSSBCBS").receive(SASL_HEADER + write_frame(0, SaslMechanisms(("ANONYMOUS",))), 0.0)


def test_a_server_that_wants_no_sasl_is_not_talked_to() -> None:
    with pytest.raises(ProtocolError):
        client("PLAIN").receive(AMQP_HEADER, 0.0)
