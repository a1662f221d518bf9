"""The security layer in front of a connection, on each side. Spec: AMQP 1.0 §5.3.

One round trip: the server offers mechanisms, the client shows its credentials in its init, the outcome follows.
"""

from collections.abc import Mapping
from typing import Final

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.frames import SASL_HEADER, write_frame
from edgewire.codec.amqp.performatives import OK, Performative, SaslInit, SaslMechanisms, SaslOutcome
from edgewire.codec.amqp.types import Symbol
from edgewire.errors import ProtocolError, UsageError
from edgewire.session.amqp.events import AmqpEvent, SaslInitReceived, SaslOutcomeReceived
from edgewire.session.amqp.faults import connection_fault
from edgewire.session.amqp.outbox import Outbox
from edgewire.session.amqp.states import SASL_RECEIVED, SASL_SENT, SaslState, Wire

ALWAYS_OFFERED: Final = ("ANONYMOUS", "MSSBCBS", "PLAIN")
"""What edgeHub offers; the C SDK and uamqp insist on MSSBCBS."""

EXTERNAL: Final = "EXTERNAL"
"""The certificate of TLS says who it is; offered only where there is one."""

_KINDS: Final[Mapping[type[object], Wire]] = {SaslMechanisms: Wire.MECHANISMS, SaslInit: Wire.INIT}


class _Layer:
    """The machine that both sides share."""

    __slots__ = ("_outbox", "state")

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.state = SaslState.START

    def _received(self, kind: Wire) -> None:
        after = SASL_RECEIVED.get((self.state, kind))
        if after is None:
            raise refused(f"{kind.value} when the SASL layer is at: {self.state.value}")
        self.state = after

    def _sent(self, kind: Wire) -> None:
        after = SASL_SENT.get((self.state, kind))
        if after is None:
            raise UsageError(f"{kind.value} when the SASL layer is at: {self.state.value}")
        self.state = after


class SaslServer(_Layer):
    """The server's side."""

    __slots__ = ("_mechanisms",)

    def __init__(self, outbox: Outbox, *, offers_external: bool) -> None:
        super().__init__(outbox)
        self._mechanisms = (*ALWAYS_OFFERED, EXTERNAL) if offers_external else ALWAYS_OFFERED

    def on_header(self) -> None:
        """The client wants this layer: answer with what we offer."""
        self._received(Wire.SASL_HEADER)
        self._sent(Wire.SASL_HEADER)
        self._outbox.put(SASL_HEADER)
        self._sent(Wire.MECHANISMS)
        self._outbox.frame(0, SaslMechanisms(tuple(Symbol(name) for name in self._mechanisms)))

    def on_frame(self, performative: Performative | None, events: list[AmqpEvent]) -> None:
        """The client shows who it is."""
        self._received(_KINDS.get(type(performative), Wire.FRAME))
        assert isinstance(performative, SaslInit)
        mechanism = str(performative.mechanism)
        if mechanism not in self._mechanisms:
            self.answer(1)
            raise refused(f"SASL mechanism {mechanism!r}, which is not offered")
        response = performative.initial_response or b""
        events.append(SaslInitReceived(mechanism=mechanism, response=response, hostname=performative.hostname))

    def answer(self, code: int) -> None:
        """The outcome."""
        self._sent(Wire.OUTCOME_OK if code == OK else Wire.OUTCOME_FAILED)
        self._outbox.frame(0, SaslOutcome(code))


class SaslClient(_Layer):
    """The client's side; its header goes out at once."""

    __slots__ = ("_init",)

    def __init__(self, outbox: Outbox, init: SaslInit) -> None:
        super().__init__(outbox)
        self._init = init
        self._sent(Wire.SASL_HEADER)
        self._outbox.put(SASL_HEADER)

    def on_header(self) -> None:
        """The server has the layer, too: its mechanisms follow."""
        self._received(Wire.SASL_HEADER)

    def on_frame(self, performative: Performative | None, events: list[AmqpEvent]) -> None:
        """What the server offers, or its outcome."""
        if isinstance(performative, SaslOutcome):
            ok = performative.code == OK
            self._received(Wire.OUTCOME_OK if ok else Wire.OUTCOME_FAILED)
            events.append(SaslOutcomeReceived(ok=ok, code=performative.code))
            return
        self._received(_KINDS.get(type(performative), Wire.FRAME))
        assert isinstance(performative, SaslMechanisms)
        if self._init.mechanism not in performative.sasl_server_mechanisms:
            offered = ", ".join(performative.sasl_server_mechanisms)
            raise refused(f"the server does not offer SASL {self._init.mechanism}, but {offered}")
        self._sent(Wire.INIT)
        # As long as it is: a token may need more than the 512 bytes of the standard, and servers take it.
        self._outbox.put(write_frame(0, self._init))


def refused(what: str) -> ProtocolError:
    """A fault of the peer in this layer."""
    return connection_fault(what, condition=conditions.UNAUTHORIZED_ACCESS, spec="AMQP 1.0 §5.3")
