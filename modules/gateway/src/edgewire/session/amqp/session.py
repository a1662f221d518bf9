"""One session: its channel, its windows, its links. Spec: AMQP 1.0 §2.5, §2.6."""

from typing import Any, Final

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.performatives import (
    FIRST,
    RECEIVER,
    SECOND,
    SENDER,
    Attach,
    Begin,
    Coordinator,
    Detach,
    Disposition,
    End,
    Error,
    Flow,
    Map,
    Performative,
    Source,
    Target,
    Transfer,
)
from edgewire.codec.amqp.types import Described
from edgewire.errors import UsageError
from edgewire.session.amqp.events import (
    AmqpEvent,
    AttachReceived,
    CreditReceived,
    LinkAttached,
    LinkDetached,
    LinkDrained,
    SessionBegun,
    SessionEnded,
)
from edgewire.session.amqp.faults import LinkError, SessionError, connection_fault
from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.amqp.link import Link, Role
from edgewire.session.amqp.numbers import Numbers
from edgewire.session.amqp.outbox import Outbox
from edgewire.session.amqp.receiving import Holdings, Incoming
from edgewire.session.amqp.sending import Outgoing
from edgewire.session.amqp.serial import MASK, distance
from edgewire.session.amqp.states import (
    LINK_RECEIVED,
    LINK_SENT,
    SESSION_RECEIVED,
    SESSION_SENT,
    LinkState,
    SessionState,
    Wire,
)

_KINDS: Final = {Begin: Wire.BEGIN, End: Wire.END}


class Session:
    """A session as both ends keep it. `channel`, `peer_channel` and `state` are for reading, `owner` is free.

    Its owner calls the connection, not the session: what is public here but not for reading is the connection's.
    """

    __slots__ = (
        "_awaiting",
        "_handles",
        "_holdings",
        "_limits",
        "_links",
        "_outbox",
        "_told",
        "channel",
        "incoming",
        "outgoing",
        "owner",
        "peer_channel",
        "state",
        "takes_attaches",
    )

    def __init__(
        self, channel: int, limits: AmqpLimits, outbox: Outbox, holdings: Holdings, *, takes_attaches: bool
    ) -> None:
        self.channel = channel
        self.peer_channel: int | None = None
        self.state = SessionState.UNMAPPED
        self.takes_attaches = takes_attaches
        """Whether the peer may ask for links; else only we do."""
        self.owner: Any = None
        self.incoming = Incoming(limits, outbox, holdings)
        self.outgoing = Outgoing(limits, outbox)
        self._limits = limits
        self._outbox = outbox
        self._holdings = holdings
        self._handles = Numbers(limits.handle_max)
        self._links: dict[Link, None] = {}
        self._awaiting: dict[tuple[str, Role], Link] = {}
        """Links of ours that the peer has not answered. Its attach can name them by nothing else."""
        self._told = False

    @property
    def links(self) -> tuple[Link, ...]:
        """The links that are not over; on a session that is, those that were not."""
        return tuple(self._links)

    @property
    def links_left(self) -> int:
        """How many more links the peer's handles and ours allow."""
        return self._handles.left

    @property
    def mapped(self) -> bool:
        """Both begins have gone over the wire, and no end."""
        return self.state is SessionState.MAPPED

    # What the connection hands over.

    def receive(self, performative: Performative, payload: bytes, events: list[AmqpEvent]) -> None:
        """A frame of the peer. Raises SessionError or LinkError, which are for `fail`."""
        kind = _KINDS.get(type(performative), Wire.FRAME)
        after = SESSION_RECEIVED.get((self.state, kind))
        if after is None:
            what = f"{kind.value} on a session that is {self.state.value}"
            raise connection_fault(what, condition=conditions.ILLEGAL_STATE, spec="AMQP 1.0 §2.5.5")
        self.state = after
        if after is SessionState.END_SENT or after is SessionState.DISCARDING:
            return
        self._take(performative, payload, events)

    def _take(self, performative: Performative, payload: bytes, events: list[AmqpEvent]) -> None:
        match performative:
            case Transfer():
                self.incoming.transfer(performative, payload, events)
            case Disposition():
                if performative.role is RECEIVER:
                    self.outgoing.on_disposition(performative, events)
                else:
                    self.incoming.on_disposition(performative)
            case Flow():
                self._on_flow(performative, events)
            case Attach():
                self._on_attach(performative, events)
            case Detach():
                self._on_detach(performative, events)
            case Begin():
                self._on_begin(performative, events)
            case End():
                self._on_end(performative, events)

    # Begin and end.

    def send_begin(self) -> None:
        """Begin the session, or answer the peer's begin."""
        self._send(Wire.BEGIN)
        self._outbox.frame(
            self.channel,
            Begin(
                remote_channel=self.peer_channel,
                next_outgoing_id=self.outgoing.next_id,
                incoming_window=self.incoming.window,
                outgoing_window=self._limits.outgoing_window,
                handle_max=self._limits.handle_max,
            ),
        )

    def _on_begin(self, begin: Begin, events: list[AmqpEvent]) -> None:
        self.incoming.next_id = begin.next_outgoing_id
        self.outgoing.window = begin.incoming_window
        self._handles.highest = min(self._limits.handle_max, begin.handle_max)
        if self.state is SessionState.BEGIN_RCVD:
            self.send_begin()
        events.append(SessionBegun(self))

    def _on_end(self, end: End, events: list[AmqpEvent]) -> None:
        if self.state is SessionState.END_RCVD:
            self._send(Wire.END)
            self._outbox.frame(self.channel, End())
        self.drop()
        if not self._told:
            events.append(SessionEnded(self, end.error))

    def end(self, error: Error | None) -> bool:
        """End the session; False if it is over already."""
        kind = Wire.END if error is None else Wire.ERROR_END
        if (self.state, kind) not in SESSION_SENT:
            return False
        self._send(kind)
        self._outbox.frame(self.channel, End(error))
        return True

    def fail(self, fault: SessionError | LinkError, events: list[AmqpEvent]) -> None:
        """The peer broke a rule: end the session, or the link alone, and say why."""
        if isinstance(fault, LinkError):
            self._fail_link(fault, events)
            return
        error = Error(condition=fault.condition, description=fault.what)
        self.end(error)
        self._told = True
        for link in self._links:
            self.incoming.drop_partial(link)
        events.append(SessionEnded(self, error))

    def drop(self) -> None:
        """The session is over: nothing of it is held any longer."""
        over = self.links
        for link in over:
            self._release(link)
        self._links = dict.fromkeys(over)

    # Attach and detach.

    def attach(
        self,
        name: str,
        role: Role,
        *,
        source: Source,
        target: Target,
        snd_settle_mode: int,
        rcv_settle_mode: int,
        max_message_size: int,
        properties: Map | None,
    ) -> Link:
        """Ask the peer for a link; on a session that is over, it is one that never attached."""
        if (name, role) in self._awaiting:
            raise UsageError(f"another link named {name!r} awaits its answer")
        handle = self._handles.take()
        if handle is None:
            raise UsageError(f"no handle left for {name!r}")
        attach = Attach(
            name=name,
            handle=handle,
            role=RECEIVER if role is Role.RECEIVER else SENDER,
            snd_settle_mode=snd_settle_mode,
            rcv_settle_mode=rcv_settle_mode,
            source=source,
            target=target,
            initial_delivery_count=0 if role is Role.SENDER else None,
            max_message_size=max_message_size,
            properties=properties,
        )
        link = Link(self, attach, role, LinkState.DETACHED)
        link.handle = handle
        link.max_message_size = max_message_size
        link.address = address_of(target if role is Role.SENDER else source)
        if not self._flows():
            return link
        self._hold(link)
        self._awaiting[name, role] = link
        self._write(link, Wire.ATTACH, attach)
        return link

    def accept(self, link: Link, credit: int, max_message_size: int) -> None:
        """Answer the peer's attach, and give credit if it is the sender. Both ends are echoed as they came."""
        if link.state is not LinkState.ATTACH_RCVD or self.state is not SessionState.MAPPED:
            return
        link.max_message_size = max_message_size
        self._answer(link, link.source or Source(), link.target or Target())
        link.lighten()
        if link.role is Role.RECEIVER and credit:
            self.grant(link, credit)

    def refuse(self, link: Link, error: Error) -> None:
        """Answer the peer's attach with an end that is null, then detach. Spec: AMQP 1.0 §2.6.3."""
        if link.state is LinkState.ATTACH_RCVD:
            link.told = self.detach(link, error)
            link.lighten()

    def detach(self, link: Link, error: Error | None) -> bool:
        """Close a link; False if it is over already."""
        if not self._flows():
            return False
        if link.state is LinkState.ATTACH_RCVD:
            self._answer_null(link)
        if (link.state, Wire.DETACH) not in LINK_SENT:
            return False
        self.outgoing.stop(link)
        self._write(link, Wire.DETACH, Detach(handle=our_handle(link), closed=True, error=error))
        return True

    def _on_attach(self, attach: Attach, events: list[AmqpEvent]) -> None:
        if attach.handle > self._limits.handle_max:
            what = f"handle {attach.handle} above {self._limits.handle_max}"
            raise connection_fault(what, condition=conditions.FRAMING_ERROR, spec="AMQP 1.0 §2.7.2")
        if attach.handle in self.incoming.links:
            what = f"handle {attach.handle} has a link already"
            raise SessionError(what, condition=conditions.HANDLE_IN_USE)
        if attach.role is SENDER and attach.initial_delivery_count is None:
            raise SessionError("a sender without an initial delivery count", condition=conditions.INVALID_FIELD)
        role = Role.RECEIVER if attach.role is SENDER else Role.SENDER
        link = self._awaiting.pop((attach.name, role), None)
        if link is None:
            self._on_asked(attach, role, events)
        else:
            self._on_answered(link, attach, events)

    def _on_asked(self, attach: Attach, role: Role, events: list[AmqpEvent]) -> None:
        """The peer asks for a link."""
        if self._holdings.links >= self._limits.max_links:
            what = f"more than {self._limits.max_links} links"
            raise SessionError(what, condition=conditions.RESOURCE_LIMIT_EXCEEDED)
        if len(attach.name) > self._limits.max_name_chars:
            what = f"a link name of {len(attach.name)} characters"
            raise SessionError(what, condition=conditions.RESOURCE_LIMIT_EXCEEDED)
        handle = self._handles.take()
        if handle is None:
            what = f"a handle-max of {self._handles.highest} and more links"
            raise SessionError(what, condition=conditions.RESOURCE_LIMIT_EXCEEDED)
        link = Link(self, attach, role, LinkState.ATTACH_RCVD)
        link.handle = handle
        link.address = address_of(attach.target if role is Role.RECEIVER else attach.source)
        if role is Role.RECEIVER:
            # We settle first, whatever the peer asked for: uamqp asks for second and never settles.
            link.rcv_settle_mode = FIRST
        self._hold(link)
        self._know(link, attach)
        if not self.takes_attaches:
            what = "only the client asks for links"
            self.refuse(link, Error(condition=conditions.NOT_ALLOWED, description=what))
        else:
            events.append(AttachReceived(link))

    def _on_answered(self, link: Link, attach: Attach, events: list[AmqpEvent]) -> None:
        """The peer answers an attach of ours."""
        link.state = LINK_RECEIVED[link.state, Wire.ATTACH]
        link.source, link.target, link.properties = attach.source, attach.target, attach.properties
        link.snd_settle_mode = attach.snd_settle_mode
        if link.role is Role.SENDER:
            link.rcv_settle_mode = attach.rcv_settle_mode
        self._know(link, attach)
        if link.state is LinkState.ATTACHED:
            events.append(LinkAttached(link))
            if link.role is Role.RECEIVER and link.credit and link.source is not None:
                self._send_flow(link)

    def _on_detach(self, detach: Detach, events: list[AmqpEvent]) -> None:
        link = self.incoming.links.get(detach.handle)
        if link is None:
            what = f"a detach of handle {detach.handle}, which has no link"
            raise SessionError(what, condition=conditions.UNATTACHED_HANDLE)
        asked = link.state is LinkState.ATTACH_RCVD
        link.state = LINK_RECEIVED[link.state, Wire.DETACH]
        if link.state is LinkState.DETACH_RCVD:
            if asked:
                self._answer_null(link)
            self._write(link, Wire.DETACH, Detach(handle=our_handle(link), closed=detach.closed))
        self._release(link)
        if not link.told:
            events.append(LinkDetached(link=link, error=detach.error, closed=detach.closed))

    def _fail_link(self, fault: LinkError, events: list[AmqpEvent]) -> None:
        """The peer broke a rule: detach the link and say why."""
        link = fault.link
        error = Error(condition=fault.condition, description=fault.what)
        self.incoming.drop_partial(link)
        self.detach(link, error)
        link.told = True
        events.append(LinkDetached(link=link, error=error, closed=True))

    # Flow.

    def grant(self, link: Link, credit: int) -> None:
        """Let the peer send up to `credit` messages from now; told when more than half of it is used up, or less."""
        lowered = link.credit - credit
        if link.state is LinkState.ATTACH_SENT:
            link.credit = credit
            return
        if not self._may_flow(link) or 0 <= -lowered <= credit // 2 or not lowered:
            return
        link.slack = max(0, link.slack + lowered)
        link.drain = False
        link.credit = credit
        self._send_flow(link)

    def drain(self, link: Link) -> None:
        """Ask the peer to send what it has and to give up the rest of its credit. Spec: AMQP 1.0 §2.6.7."""
        if self._may_flow(link):
            link.drain = True
            self._send_flow(link)

    def drained(self, link: Link) -> None:
        """There is nothing more to send: give up the credit. Spec: AMQP 1.0 §2.6.7."""
        if self._may_flow(link) and link.drain:
            link.delivery_count = link.delivery_count + link.credit & MASK
            link.credit = 0
            self._send_flow(link)

    def keep_window(self) -> None:
        """Tell the peer of its window anew."""
        if self.state is SessionState.MAPPED:
            self._send_flow(None)

    def _on_flow(self, flow: Flow, events: list[AmqpEvent]) -> None:
        self.outgoing.on_flow(flow, events)
        if flow.handle is None:
            if flow.echo:
                self._send_flow(None)
            return
        link = self.incoming.links.get(flow.handle)
        if link is None:
            what = f"a flow of handle {flow.handle}, which has no link"
            raise SessionError(what, condition=conditions.UNATTACHED_HANDLE)
        if link.state is LinkState.DETACH_SENT:
            return
        if link.role is Role.SENDER:
            self._on_credit(link, flow, events)
        else:
            self._on_sent(link, flow, events)
        if flow.echo and link.state is LinkState.ATTACHED:
            self._send_flow(link)

    def _on_credit(self, link: Link, flow: Flow, events: list[AmqpEvent]) -> None:
        """The receiver of a link says what it takes. Spec: AMQP 1.0 §2.6.7."""
        if flow.link_credit is None:
            return
        # Null says that the peer had not seen our attach, whose count is 0.
        on_the_way = max(0, distance(flow.delivery_count or 0, link.delivery_count))
        link.credit = max(0, flow.link_credit - on_the_way)
        link.drain = flow.drain
        if link.credit:
            events.append(CreditReceived(link=link, credit=link.credit, drain=link.drain))
        elif link.drain and link.state is LinkState.ATTACHED:
            self._send_flow(link)

    def _on_sent(self, link: Link, flow: Flow, events: list[AmqpEvent]) -> None:
        """The sender of a link says what it has; its word on credit is not asked for (`_pyamqp` gives some)."""
        link.available = flow.available or 0
        if flow.delivery_count is not None:
            given_up = distance(link.delivery_count, flow.delivery_count)
            if given_up > 0:
                link.delivery_count = flow.delivery_count
                link.credit = max(0, link.credit - given_up)
        if link.drain and not link.credit:
            link.drain = False
            events.append(LinkDrained(link))

    def _may_flow(self, link: Link) -> bool:
        return link.state is LinkState.ATTACHED and self.state is SessionState.MAPPED

    def _send_flow(self, link: Link | None) -> None:
        """The windows, and a link's credit; the peer's window is whole again with it."""
        incoming = self.incoming
        incoming.window = self._limits.incoming_window
        # Null before the peer's begin has come, which names the first.
        heard = None if self.peer_channel is None else incoming.next_id
        windows = (heard, incoming.window, self.outgoing.next_id, self._limits.outgoing_window)
        if link is None:
            flow = Flow(
                next_incoming_id=windows[0],
                incoming_window=windows[1],
                next_outgoing_id=windows[2],
                outgoing_window=windows[3],
            )
        else:
            flow = Flow(
                next_incoming_id=windows[0],
                incoming_window=windows[1],
                next_outgoing_id=windows[2],
                outgoing_window=windows[3],
                handle=link.handle,
                delivery_count=link.delivery_count,
                link_credit=link.credit,
                available=0 if link.role is Role.SENDER else None,
                drain=link.drain,
            )
        self._outbox.frame(self.channel, flow)

    # Helpers.

    def _flows(self) -> bool:
        """Whether frames of ours may go out."""
        return self.state is SessionState.MAPPED or self.state is SessionState.BEGIN_SENT

    def _send(self, kind: Wire) -> None:
        after = SESSION_SENT.get((self.state, kind))
        if after is None:
            raise UsageError(f"{kind.value} on a session that is {self.state.value}")
        self.state = after

    def _write(self, link: Link, kind: Wire, performative: Attach | Detach) -> None:
        link.state = LINK_SENT[link.state, kind]
        if not self._flows():
            return
        if not self._outbox.frame(self.channel, performative):
            what = f"an attach of more than the {self._outbox.max_frame} bytes that the peer takes"
            self.end(Error(condition=conditions.FRAME_SIZE_TOO_SMALL, description=what))

    def _answer(
        self, link: Link, source: Source | Described | None, target: Target | Coordinator | Described | None
    ) -> None:
        """Our attach to the peer's. It names a message size, as the C SDK reads null as none at all."""
        attach = link.attach
        answer = Attach(
            name=link.name,
            handle=our_handle(link),
            role=not attach.role,
            snd_settle_mode=link.snd_settle_mode,
            rcv_settle_mode=link.rcv_settle_mode,
            source=source,
            target=target,
            initial_delivery_count=0 if link.role is Role.SENDER else None,
            max_message_size=link.max_message_size or self._limits.max_message_size,
        )
        self._write(link, Wire.ATTACH, answer)

    def _answer_null(self, link: Link) -> None:
        """Our attach to one that leads to nothing: our end of it is null. Spec: AMQP 1.0 §2.6.3."""
        if link.role is Role.RECEIVER:
            self._answer(link, link.source, None)
        else:
            self._answer(link, None, link.target)

    def _hold(self, link: Link) -> None:
        """A link begins."""
        self._links[link] = None
        self._holdings.links += 1

    def _release(self, link: Link) -> None:
        """A link is over: its handles are free, its messages forgotten."""
        link.state = LinkState.DETACHED
        del self._links[link]
        self._holdings.links -= 1
        self._handles.give_back(our_handle(link))
        self.incoming.drop(link)
        self.outgoing.drop(link)

    def _know(self, link: Link, attach: Attach) -> None:
        """The peer's attach has come: its handle, its limits, its count."""
        link.peer_handle = attach.handle
        link.peer_max_message_size = attach.max_message_size or 0
        self.incoming.links[attach.handle] = link
        if link.role is Role.RECEIVER:
            link.delivery_count = attach.initial_delivery_count or 0
            if link.rcv_settle_mode == SECOND:
                self.incoming.second.add(link)


def our_handle(link: Link) -> int:
    """The handle that we gave a link."""
    assert link.handle is not None
    return link.handle


def address_of(end: Source | Target | Coordinator | Described | None) -> str | None:
    """The address of a link's end, if it is a node and has one."""
    return end.address if isinstance(end, Source | Target) else None
