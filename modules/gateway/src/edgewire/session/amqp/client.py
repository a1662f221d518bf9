"""The side of an AMQP connection that dials."""

from dataclasses import replace
from typing import Final

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.frames import AMQP_HEADER, SASL_HEADER
from edgewire.codec.amqp.performatives import FIRST, MIXED, UNSETTLED, Begin, Map, Open, SaslInit, Source, Target
from edgewire.codec.amqp.types import Symbol
from edgewire.errors import UsageError
from edgewire.session.amqp.connection import AmqpConnection
from edgewire.session.amqp.events import AmqpEvent, Opened
from edgewire.session.amqp.faults import connection_fault
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Link, Role
from edgewire.session.amqp.sasl import SaslClient
from edgewire.session.amqp.session import Session
from edgewire.session.amqp.states import ConnectionState, SaslState, Wire

__all__ = ["AmqpClient"]

_NOT_YET_OPEN: Final = (ConnectionState.START, ConnectionState.HDR_SENT, ConnectionState.OPEN_SENT)


class AmqpClient(AmqpConnection):
    """One connection to a server. It says hello at once: send `take_output` before anything has come.

    hostname: of the hub, in open and in sasl-init. sasl: a mechanism, and `response` what it shows; None for no SASL
    layer. idle_timeout_s: in place of the limit's.
    """

    __slots__ = ("_begun", "_hostname")

    def __init__(
        self,
        limits: AmqpLimits,
        now: float,
        *,
        container_id: str,
        hostname: str,
        sasl: str | None,
        response: bytes = b"",
        idle_timeout_s: float | None = None,
    ) -> None:
        if idle_timeout_s is not None:
            limits = replace(limits, idle_timeout_s=idle_timeout_s)
        super().__init__(limits, now, container_id=container_id)
        self._hostname = hostname
        self._begun: dict[int, Session] = {}
        """Sessions that the server has not answered, by our channel."""
        if sasl is None:
            self._send_header()
        else:
            init = SaslInit(mechanism=Symbol(sasl), initial_response=response or None, hostname=hostname)
            self._reader.max_frame_bytes = limits.max_sasl_frame
            self._sasl = SaslClient(self._outbox, init)

    @property
    def sessions_left(self) -> int:
        """How many more sessions the server's channels and ours allow."""
        return self._channels.left

    def begin(self) -> Session:
        """Begin a session; `SessionBegun` follows. Links may be asked for at once.

        At most `sessions_left` times. On a connection that is over or closing, the session never begins.
        """
        if self._state in _NOT_YET_OPEN:
            raise UsageError("a session on a connection that is not open yet")
        session = self._new_session(takes_attaches=False)
        if session is None:
            raise UsageError("more sessions than the server takes")
        if not self.opened:
            return session
        self._begun[session.channel] = session
        session.send_begin()
        return session

    def attach_sender(
        self,
        session: Session,
        name: str,
        address: str,
        *,
        source_address: str | None = None,
        snd_settle_mode: int = UNSETTLED,
        rcv_settle_mode: int = FIRST,
        properties: Map | None = None,
    ) -> Link:
        """Ask for a link to send on; `LinkAttached` follows, then `CreditReceived`.

        At most `session.links_left` times; of one name only one may wait for its answer. On a session that is over
        the link never attaches.
        """
        return self._attach(
            session,
            name,
            Role.SENDER,
            source=Source(address=source_address),
            target=Target(address=address),
            snd_settle_mode=snd_settle_mode,
            rcv_settle_mode=rcv_settle_mode,
            properties=properties,
        )

    def attach_receiver(
        self,
        session: Session,
        name: str,
        address: str,
        *,
        target_address: str | None = None,
        snd_settle_mode: int = MIXED,
        rcv_settle_mode: int = FIRST,
        credit: int | None = None,
        properties: Map | None = None,
    ) -> Link:
        """Ask for a link to receive on; `credit` is given as soon as it is attached."""
        link = self._attach(
            session,
            name,
            Role.RECEIVER,
            source=Source(address=address),
            target=Target(address=target_address),
            snd_settle_mode=snd_settle_mode,
            rcv_settle_mode=rcv_settle_mode,
            properties=properties,
        )
        self.grant(link, self._limits.link_credit if credit is None else credit)
        return link

    # What a client does differently.

    def _on_header(self, header: bytes) -> None:
        if header == SASL_HEADER and self._sasl is not None and self._sasl.state is SaslState.HDR_SENT:
            self._sasl.on_header()
        elif header == AMQP_HEADER and self._state is ConnectionState.HDR_SENT:
            self._received(Wire.HEADER)
            self._send_open()
        else:
            raise self._wrong_header(header)

    def _on_authenticated(self) -> None:
        self._send_header()

    def _on_opened(self, opened: Open, events: list[AmqpEvent]) -> None:
        events.append(Opened(opened))

    def _open_of_ours(self) -> Open:
        return self._open_with(hostname=self._hostname)

    def _session_of(self, channel: int, begin: Begin) -> Session:
        session = None if begin.remote_channel is None else self._begun.pop(begin.remote_channel, None)
        if session is None:
            what = f"a begin on channel {channel} that answers none of ours"
            raise connection_fault(what, condition=conditions.NOT_ALLOWED, spec="AMQP 1.0 §2.7.2")
        return session

    # Helpers.

    def _send_header(self) -> None:
        self._sent(Wire.HEADER)
        self._outbox.put(AMQP_HEADER)

    def _attach(
        self,
        session: Session,
        name: str,
        role: Role,
        *,
        source: Source,
        target: Target,
        snd_settle_mode: int,
        rcv_settle_mode: int,
        properties: Map | None,
    ) -> Link:
        return session.attach(
            name,
            role,
            source=source,
            target=target,
            snd_settle_mode=snd_settle_mode,
            rcv_settle_mode=rcv_settle_mode,
            max_message_size=self._limits.max_message_size,
            properties=properties,
        )
