"""The side of an AMQP connection that is dialled."""

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.frames import AMQP_HEADER, SASL_HEADER
from edgewire.codec.amqp.performatives import AUTH, OK, Begin, Map, Open
from edgewire.errors import UsageError
from edgewire.session.amqp.connection import AmqpConnection, error_of
from edgewire.session.amqp.events import AmqpEvent, OpenReceived
from edgewire.session.amqp.faults import connection_fault
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Link
from edgewire.session.amqp.sasl import SaslServer
from edgewire.session.amqp.session import Session
from edgewire.session.amqp.states import ConnectionState, SaslState, Wire

__all__ = ["AmqpServer"]


class AmqpServer(AmqpConnection):
    """One connection of a client. It may begin with the SASL layer or without (AMQP 1.0 §2.2, §5.2).

    offers_external: whether TLS gave a certificate, so that SASL EXTERNAL means something.
    """

    __slots__ = ("_offers_external",)

    def __init__(self, limits: AmqpLimits, now: float, *, offers_external: bool, container_id: str) -> None:
        super().__init__(limits, now, container_id=container_id)
        self._offers_external = offers_external

    # Answers.

    def accept_sasl(self) -> None:
        """The credentials are good. What the client has sent behind them is read at the deadline, which is now."""
        self._answer_sasl(OK)

    def refuse_sasl(self, code: int = AUTH) -> None:
        """Turn the client away: the connection is dead then. Spec: AMQP 1.0 §5.3.3.6 for the codes."""
        if code == OK:
            raise UsageError("a refusal with the code for a success")
        self._answer_sasl(code)

    def open(self) -> None:
        """Answer the client's open. What it has sent behind it is read at the deadline, which is now."""
        if self._state is ConnectionState.OPEN_RCVD:
            self._send_open()
            self._early = self._reader.held > 0
        elif self._state is not ConnectionState.END:
            raise UsageError(f"open on a connection that is {self._state.value}")

    def bound_partial(self, max_partial_bytes: int | None = None) -> None:
        """Take so much of unfinished messages from now on, all together; None for what the limits say."""
        self._holdings.max_partial_bytes = max_partial_bytes or self._limits.max_partial_bytes

    def accept_link(
        self,
        link: Link,
        *,
        credit: int | None = None,
        max_message_size: int | None = None,
        snd_settle_mode: int | None = None,
    ) -> None:
        """Answer a client's attach, both ends echoed, with `credit` if it sends, and a size that is not 0.

        `snd_settle_mode`: how we send whatever it asked for (AMQP 1.0 §2.8.2: its word is a wish, ours a fact).
        Its receiving link may have credit already; and it may have detached in the meantime: nothing happens then.
        """
        if snd_settle_mode is not None:
            link.snd_settle_mode = snd_settle_mode
        if self._lives(link.session):
            link.session.accept(
                link,
                self._limits.link_credit if credit is None else credit,
                max_message_size or self._limits.max_message_size,
            )

    def refuse_link(self, link: Link, condition: str, description: str, info: Map | None = None) -> None:
        """Answer a client's attach with an end that is null and detach it; no event follows.

        `info`: what the condition asks for besides, such as where a redirect leads (AMQP 1.0 §2.8.18).
        """
        error = error_of(condition, description, info)
        if self._lives(link.session) and error is not None:
            link.session.refuse(link, error)

    # What a server does differently.

    def _on_header(self, header: bytes) -> None:
        if header == SASL_HEADER and self._sasl is None and self._state is ConnectionState.START:
            self._reader.max_frame_bytes = self._limits.max_sasl_frame
            self._sasl = SaslServer(self._outbox, offers_external=self._offers_external)
            self._sasl.on_header()
        elif header == AMQP_HEADER and (self._sasl is None or self._sasl.state is SaslState.DONE):
            self._received(Wire.HEADER)
            self._sent(Wire.HEADER)
            self._outbox.put(AMQP_HEADER)
        else:
            raise self._wrong_header(header)

    def _on_authenticated(self) -> None:
        """The outcome is ours to send; the client's header comes next."""

    def _on_opened(self, opened: Open, events: list[AmqpEvent]) -> None:
        events.append(
            OpenReceived(
                container_id=opened.container_id,
                hostname=opened.hostname,
                properties=opened.properties,
                idle_timeout_ms=opened.idle_time_out,
                max_frame_size=opened.max_frame_size,
                channel_max=opened.channel_max,
            )
        )

    def _open_of_ours(self) -> Open:
        return self._open_with(hostname=None)

    def _session_of(self, channel: int, begin: Begin) -> Session:
        if begin.remote_channel is not None:
            what = f"an answer on channel {channel} to a begin that was never sent"
            raise connection_fault(what, condition=conditions.NOT_ALLOWED, spec="AMQP 1.0 §2.7.2")
        session = self._new_session(takes_attaches=True)
        if session is None:
            raise connection_fault(
                "more sessions than the client's own channel-max has channels for",
                condition=conditions.RESOURCE_LIMIT_EXCEEDED,
                spec="AMQP 1.0 §2.7.1",
            )
        return session

    def _answer_sasl(self, code: int) -> None:
        if self._state is ConnectionState.END:
            return
        if not isinstance(self._sasl, SaslServer):
            raise UsageError("there is no SASL layer to answer")
        self._sasl.answer(code)
        if code == OK:
            self._reader.max_frame_bytes = self._limits.max_frame
            # A client may send on without waiting for the outcome (`_pyamqp`, proton).
            self._early = True
        else:
            self._die()
