"""The HTTPS head: one `HttpHead` for the gateway, one `HttpConnection` per connection.

Every request says by itself who it comes from: there is no session, nobody is connected by it, and it takes no other
connection's place. Spec: iothub_wire.md §3, edgehub.md §6.1.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from edgewire.errors import ProtocolError
from edgewire.iothub.bag import Bag
from edgewire.iothub.http.methods import CALLER, read_caller, read_invocation, write_result
from edgewire.iothub.http.paths import Action, DeviceRequest, allowed_methods, read_request
from edgewire.iothub.http.properties import Notes, write_headers, write_notes
from edgewire.message import Identity
from edgewire.session.http.events import HeadReceived, HttpEvent, RequestReceived, TimedOut
from edgewire.session.http.limits import HttpLimits
from edgewire.session.http.server import HttpSession, Response
from edgewire.transport.pump import Peer, Pump
from gateway.dispatch.delivery import Delivery, Parcel, Settlement
from gateway.dispatch.ingress import AppendResult, Ingress
from gateway.dispatch.methods import MethodError, Methods
from gateway.head.http_answers import DONE, come_again, method_refusal, method_result, refusal, status_of
from gateway.head.http_mailbox import Mailboxes, Poll, PollRefusedError
from gateway.head.http_services import Caller, HttpService, LetIn, NotLetInError, check_length
from gateway.head.http_telemetry import RefusedTelemetryError, read_messages
from gateway.identity.authenticator import Authenticator
from gateway.identity.credentials import Admitted, Claim, RefusalReason
from gateway.observe.events import Event
from gateway.observe.head import (
    HttpAction,
    HttpRequestsAnswered,
    MessageRefused,
    ProtocolBroken,
    RefusedMessage,
    RefusedRequest,
    RequestRefused,
)
from gateway.observe.identity import LoginRefused

if TYPE_CHECKING:
    from gateway.dispatch.allowance import Account, Allowances  # most sites limit nobody

VERIFIED_S: Final = 1.0
"""A verified credential is not verified again on its connection for so long: as soon as that, others who are connected
hear of a change of the registry."""

MAX_REQUESTS: Final = 1_024
"""Requests that were let in and have no answer yet; each may hold a body of 384 KiB. Beyond, they are told to come
again."""

MAX_REQUESTS_PER_SENDER: Final = 32
"""The same of one device or module: more than the calls of methods that may wait for one device."""

ACTIONS: Final[Mapping[Action, HttpAction]] = MappingProxyType(
    {
        Action.SEND: HttpAction.SEND,
        Action.RECEIVE: HttpAction.RECEIVE,
        Action.COMPLETE: HttpAction.SETTLE,
        Action.REJECT: HttpAction.SETTLE,
        Action.ABANDON: HttpAction.SETTLE,
        Action.INVOKE: HttpAction.INVOKE,
    }
)
SETTLEMENTS: Final[Mapping[Action, Settlement]] = MappingProxyType(
    {
        Action.COMPLETE: Settlement.COMPLETED,
        Action.REJECT: Settlement.REJECTED,
        Action.ABANDON: Settlement.ABANDONED,
    }
)
STORE_REFUSALS: Final[Mapping[AppendResult, RefusedMessage]] = MappingProxyType(
    {AppendResult.FULL: RefusedMessage.STORE_FULL, AppendResult.FAILED: RefusedMessage.STORE_FAILED}
)
LOGIN_STATUSES: Final[Mapping[RefusalReason, int]] = MappingProxyType(
    {RefusalReason.UPSTREAM_AWAY: 503, RefusalReason.GROUP_FULL: 503}
)
"""All other reasons look the same from outside: 401."""

Asked = DeviceRequest | HttpService
"""What a request is for: the device API, or a service beside it."""
Sender = Identity | str
"""Who a request comes from; of one that a service judges itself, the address."""


class HttpHead:
    """What all HTTP connections share. `clock` gives seconds since 1970.

    `edge_device`: the edge device this gateway runs on, whose modules may call methods; empty for none.
    `services`: what is served beside the device API; the first that claims a path has it.
    `allowances`: what devices may send, None while nobody is limited.
    """

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        ingress: Ingress,
        delivery: Delivery,
        methods: Methods,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        edge_device: str,
        limits: HttpLimits,
        services: Sequence[HttpService] = (),
        allowances: "Callable[[], Allowances | None]" = lambda: None,
    ) -> None:
        self.authenticator = authenticator
        self.ingress = ingress
        self.mailboxes = Mailboxes(delivery)
        self.methods = methods
        self.emit = emit
        self.clock = clock
        self.edge_device = edge_device
        self.limits = limits
        self.services = services
        self._allowances = allowances
        self.answered: Counter[tuple[HttpAction, int]] = Counter()
        self._busy: Counter[Sender] = Counter()
        self._total = 0

    def service_for(self, path: str) -> HttpService | None:
        """Who serves a path beside the device API."""
        return next((service for service in self.services if service.claims(path)), None)

    def account(self, who: Identity) -> "Account | None":
        """What `who` has sent and may send, where the settings limit devices."""
        allowances = self._allowances()
        return None if allowances is None else allowances.account(str(who))

    def enter(self, who: Sender) -> bool:
        """Whether a request of `who` may come whole; `leave` follows when it may."""
        if self._total >= MAX_REQUESTS or self._busy[who] >= MAX_REQUESTS_PER_SENDER:
            return False
        self._total += 1
        self._busy[who] += 1
        return True

    def leave(self, who: Sender) -> None:
        """A request of `who` has its answer, or never gets one."""
        self._total -= 1
        self._busy[who] -= 1
        if not self._busy[who]:
            del self._busy[who]

    def accept(self, peer: Peer) -> "tuple[HttpSession, HttpConnection]":
        """A session and its owner, for a connection that has come."""
        session = HttpSession(self.limits, asyncio.get_running_loop().time())
        return session, HttpConnection(self, session, peer)

    def report(self) -> None:
        """Emit what was counted since the last call."""
        answered, self.answered = self.answered, Counter()
        for (action, status), count in answered.items():
            self.emit(HttpRequestsAnswered(action, HTTPStatus(status), count))

    def close(self) -> None:
        """The gateway stops: what devices have polled and not settled is the hub's again."""
        self.mailboxes.close()


class _Verified(NamedTuple):
    """A credential that was good on this connection, and when it was looked at."""

    identity: Identity
    token: str | None
    verdict: Admitted
    at: float


class HttpConnection:
    """One connection, from its first request to its end. Implements `transport.pump.Owner`."""

    __slots__ = (
        "_asked",
        "_busy",
        "_gone",
        "_head",
        "_peer",
        "_poll",
        "_pump",
        "_session",
        "_task",
        "_timer",
        "_verified",
    )

    def __init__(self, head: HttpHead, session: HttpSession, peer: Peer) -> None:
        self._head = head
        self._session = session
        self._peer = peer
        self._pump: Pump[HttpEvent]
        self._asked: Asked | None = None
        """What the request at hand asks for, once it was let in."""
        self._busy: Sender | None = None
        """Whose request is being read or answered."""
        self._verified: _Verified | None = None
        self._poll: Poll | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gone = False

    # What the pump calls.

    def on_connected(self, pump: Pump[HttpEvent]) -> None:
        """The transport is ready; the device speaks first."""
        self._pump = pump

    def on_events(self, events: list[HttpEvent]) -> None:
        """A request's head, the whole of it, or the end of patience."""
        for event in events:
            match event:
                case HeadReceived():
                    self._judge(event)
                case RequestReceived():
                    self._serve(event)
                case TimedOut():
                    self._time_out(event)
                case _:
                    assert_never(event)

    def on_failed(self, error: ProtocolError) -> None:
        """The peer broke the protocol, and was told so."""
        self._head.emit(ProtocolBroken(self._name(), self._peer.address, str(error)))

    def on_stopping(self) -> None:
        """The gateway stops; a request without an answer is sent again elsewhere or later."""
        self.on_closed()

    def on_closed(self) -> None:
        """The connection is gone: nobody waits for an answer any more."""
        self._gone = True
        self._leave()
        if self._timer is not None:
            self._timer.cancel()
        if self._poll is not None:
            self._poll.cancel()
        if self._task is not None:
            self._task.cancel()

    # Who asks for what.

    def _judge(self, head: HeadReceived) -> None:
        """Find out what is asked, and by whom; nothing of a body is read before that."""
        self._asked = None
        service = self._head.service_for(head.path)
        if service is not None:
            self._judge_for(service, head)
            return
        try:
            asked = read_request(head.method, head.path, head.query)
            if asked is None:
                self._refuse(RefusedRequest.UNKNOWN_PATH, refusal(404, "nothing is served there"), head.path)
                return
            who = asked.identity if asked.action is not Action.INVOKE else _caller(head)
            token, host = head.headers.get("Authorization"), head.headers.get("Host") or ""
        except ProtocolError as error:
            self._refuse(RefusedRequest.MALFORMED, _malformed(error, head), error.what)
            return
        if asked.action is Action.INVOKE and who.device != self._head.edge_device:
            what = f"{who} is no module of this edge device"
            self._refuse(RefusedRequest.FOREIGN_CALLER, method_refusal(401, what), what)
            return
        self._authenticate(asked, who, token, host)

    def _judge_for(self, service: HttpService, head: HeadReceived) -> None:
        """The same for a service beside the device API."""
        try:
            check_length(head, service.max_body_bytes)
            caller = service.caller(head, self._peer)
            token = head.headers.get("Authorization")
        except ProtocolError as error:
            status = error.reply if isinstance(error.reply, int) else 400
            self._refuse(RefusedRequest.MALFORMED, service.refusal(status, error.what), error.what)
        except NotLetInError as error:
            self._answer_after(error.hold_s, service.action, service.refusal(error.status, error.what))
        else:
            match caller:
                case None:
                    self._let_in(service, self._peer.address)
                case LetIn():
                    self._let_in(service, caller.sender)
                case Caller():
                    self._authenticate(service, caller.identity, token, caller.hub)

    def _authenticate(self, asked: Asked, who: Identity, token: str | None, host: str) -> None:
        now = self._head.clock()
        verified = self._verified
        if verified is not None and (verified.identity, verified.token) == (who, token) and _is_fresh(verified, now):
            self._let_in(asked, who)
            return
        claim = Claim(
            identity=who,
            hub=host,
            token=token,
            certificates=self._peer.certificates,
            address=self._peer.address,
            now=now,
        )
        if self._head.authenticator.asks(claim, partial(self._decide_late, asked, claim)):
            self._pump.pause_reading()
        else:
            self._decide(asked, claim)

    def _decide_late(self, asked: Asked, claim: Claim) -> None:
        """The hub was asked about this device; it may have gone meanwhile."""
        if not self._gone:
            self._pump.resume_reading()
            self._decide(asked, claim)
            self._pump.flush()

    def _decide(self, asked: Asked, claim: Claim) -> None:
        verdict = self._head.authenticator.authenticate(claim)
        if isinstance(verdict, Admitted):
            self._verified = _Verified(claim.identity, claim.token, verdict, claim.now)
            self._let_in(asked, claim.identity)
            return
        self._verified = None
        self._head.emit(LoginRefused(str(claim.identity), self._peer.address, verdict.reason, ""))
        status = LOGIN_STATUSES.get(verdict.reason, 401)
        what = "try again later" if status == 503 else "Unauthorized"
        self._answer_after(verdict.hold_s, _action_of(asked), _refusal_of(asked)(status, what))

    def _let_in(self, asked: Asked, who: Sender) -> None:
        if isinstance(asked, DeviceRequest) and asked.action is Action.SEND and self._is_over_limit(asked.identity):
            return
        if not self._head.enter(who):
            what = f"too many requests of '{who}', or of all, have no answer yet"
            self._head.emit(RequestRefused(self._peer.address, RefusedRequest.TOO_MANY, what))
            self._answer(_action_of(asked), _refusal_of(asked)(503, what))
            return
        self._busy = who
        self._asked = asked
        self._session.take_body()
        self._pump.receive(b"")

    def _is_over_limit(self, who: Identity) -> bool:
        """Refuse a device that has sent all that it may send now, before any of its body is read."""
        account = self._head.account(who)
        wait_s = 0.0 if account is None else account.wait_s()
        if account is None or not wait_s:
            return False
        detail = account.why()
        self._head.emit(MessageRefused(str(who), RefusedMessage.OVER_LIMIT, detail))
        self._answer(HttpAction.SEND, replace(refusal(429, detail), headers=come_again(wait_s)))
        return True

    # What is asked.

    def _serve(self, request: RequestReceived) -> None:
        asked = self._asked
        assert asked is not None
        if not isinstance(asked, DeviceRequest):
            who = self._busy if isinstance(self._busy, Identity) else None
            self._task = asyncio.get_running_loop().create_task(self._serve_by(asked, request, who))
            return
        match asked.action:
            case Action.SEND:
                self._send(asked.identity, request)
            case Action.RECEIVE:
                self._receive(asked.identity)
            case Action.COMPLETE | Action.REJECT | Action.ABANDON:
                self._settle(asked)
            case Action.INVOKE:
                self._task = asyncio.get_running_loop().create_task(self._invoke(asked.identity, request))
            case _:
                assert_never(asked.action)

    def _send(self, who: Identity, request: RequestReceived) -> None:
        try:
            messages = read_messages(who, request)
        except RefusedTelemetryError as refused:
            self._head.emit(MessageRefused(str(who), refused.reason, refused.detail))
            self._answer(HttpAction.SEND, refusal(refused.status, refused.detail))
            return
        account = self._head.account(who)
        if account is not None:
            account.charge(len(messages), len(request.body))
        self._head.ingress.accept(messages, partial(self._on_stored, who))

    def _on_stored(self, who: Identity, result: AppendResult) -> None:
        """The store has answered for the request."""
        reason = STORE_REFUSALS.get(result)
        if reason is None:
            self._answer(HttpAction.SEND, DONE)
            return
        detail = reason.value.replace("_", " ")
        self._head.emit(MessageRefused(str(who), reason, detail))
        self._answer(HttpAction.SEND, refusal(503, detail))

    def _receive(self, who: Identity) -> None:
        self._poll = Poll(self._on_polled)
        try:
            self._head.mailboxes.poll(who, self._poll)
        except PollRefusedError as refused:
            if refused.is_conflict:
                what = "the device gets its messages by a connection of its own"
                self._head.emit(
                    RequestRefused(self._peer.address, RefusedRequest.ALREADY_LISTENING, f"'{who}': {what}")
                )
                self._answer(HttpAction.RECEIVE, refusal(409, what))
            else:
                self._answer(HttpAction.RECEIVE, refusal(503, "too many devices poll"))

    def _on_polled(self, parcel: Parcel | None, lock_token: str) -> None:
        self._poll = None
        self._answer(HttpAction.RECEIVE, DONE if parcel is None else _message_response(parcel, lock_token))

    def _settle(self, asked: DeviceRequest) -> None:
        in_time = self._head.mailboxes.settle(asked.identity, asked.lock_token, SETTLEMENTS[asked.action])
        self._answer(HttpAction.SETTLE, DONE if in_time else refusal(412, "the lock of the message is lost"))

    async def _invoke(self, target: Identity, request: RequestReceived) -> None:
        try:
            asked = read_invocation(request.body)
            result = await self._head.methods.invoke(
                target,
                asked.name,
                asked.payload,
                connect_timeout_s=asked.connect_timeout_s,
                response_timeout_s=asked.response_timeout_s,
            )
            answer = method_result(write_result(result.status, result.payload))
        except ProtocolError as error:
            answer = method_refusal(400, error.what)
        except MethodError as error:
            answer = method_refusal(error.fault.value, error.what)
        self._answer(HttpAction.INVOKE, answer)

    async def _serve_by(self, service: HttpService, request: RequestReceived, who: Identity | None) -> None:
        try:
            answer = await service.answer(request, self._peer, who)
        except ProtocolError as error:
            answer = service.refusal(error.reply if isinstance(error.reply, int) else 400, error.what)
        self._answer(service.action, answer)

    # Answers.

    def _answer_after(self, hold_s: float, action: HttpAction, response: Response) -> None:
        """Refuse, at once or when so much time has passed; nothing is read meanwhile."""
        if hold_s:
            self._pump.pause_reading()
            self._timer = asyncio.get_running_loop().call_later(hold_s, self._answer, action, response)
        else:
            self._answer(action, response)

    def _answer(self, action: HttpAction, response: Response) -> None:
        """Answer, now or later: what came behind the request is read after that."""
        self._head.answered[action, response.status] += 1
        self._leave()
        if self._gone:
            return
        loop = asyncio.get_running_loop()
        self._session.answer(response, loop.time())
        if self._session.ended:
            self._pump.close()
            return
        self._pump.flush()
        if self._session.holds_more:
            loop.call_soon(self._read_on)  # in a turn of its own: requests sent ahead must not nest

    def _read_on(self) -> None:
        if not self._gone:
            self._pump.receive(b"")

    def _leave(self) -> None:
        who, self._busy = self._busy, None
        if who is not None:
            self._head.leave(who)

    def _refuse(self, reason: RefusedRequest, response: Response, detail: str) -> None:
        self._head.emit(RequestRefused(self._peer.address, reason, detail[:200]))
        self._answer(HttpAction.UNKNOWN, response)

    def _time_out(self, event: TimedOut) -> None:
        if event.partial:
            what = f"a request was not whole within {self._head.limits.request_s:g} s"
            self._head.emit(ProtocolBroken(self._name(), self._peer.address, what))
        self._pump.close()

    def _name(self) -> str:
        return "" if self._verified is None else str(self._verified.identity)


def _action_of(asked: Asked) -> HttpAction:
    return ACTIONS[asked.action] if isinstance(asked, DeviceRequest) else asked.action


def _refusal_of(asked: Asked) -> Callable[[int, str], Response]:
    """How a refusal of this request looks."""
    if not isinstance(asked, DeviceRequest):
        return asked.refusal
    return method_refusal if asked.action is Action.INVOKE else refusal


def _malformed(error: ProtocolError, head: HeadReceived) -> Response:
    answer = refusal(status_of(error), error.what)
    if answer.status != 405:
        return answer
    return replace(answer, headers=(("Allow", ", ".join(allowed_methods(head.path, head.query))),))


def _caller(head: HeadReceived) -> Identity:
    """The module that calls a method, by its own word."""
    text = head.headers.get(CALLER)
    if text is None:
        raise ProtocolError(f"the header '{CALLER}' is missing", reply=400)
    return read_caller(text)


def _is_fresh(verified: _Verified, now: float) -> bool:
    expires_at = verified.verdict.expires_at
    return 0 <= now - verified.at < VERIFIED_S and (expires_at is None or now < expires_at)


def _message_response(parcel: Parcel, lock_token: str) -> Response:
    message = parcel.message
    notes = Notes(
        lock_token=lock_token,
        sequence_number=message.sequence_number,
        enqueued_at_ms=message.enqueued_at_ms,
        delivery_count=message.delivery_count,
    )
    headers = write_notes(notes) + write_headers(Bag(message.bag.properties, message.bag.system))
    return Response(status=200, headers=tuple(headers), body=message.body, content_type="application/octet-stream")
