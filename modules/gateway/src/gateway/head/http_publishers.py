"""Event Hubs' publisher form over HTTPS, for devices that have nothing but it (iothub_wire.md §6)."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from edgewire.errors import ProtocolError
from edgewire.iothub.http import publisher
from edgewire.iothub.http.batch import Content
from edgewire.iothub.http.publisher import PublisherRequest
from edgewire.message import Identity
from edgewire.session.http.events import HeadReceived, RequestReceived
from edgewire.session.http.limits import HttpLimits
from edgewire.session.http.server import Response
from edgewire.transport.pump import Peer
from gateway.dispatch.ingress import AppendResult, Ingress
from gateway.head.http_answers import RETRY_AFTER_S, come_again
from gateway.head.http_services import LetIn, NotLetInError
from gateway.head.http_telemetry import TOO_LARGE, RefusedTelemetryError, message_of
from gateway.identity.publishers import NotAPublisher, PublisherDoor
from gateway.observe.events import Event
from gateway.observe.head import HttpAction, MessageRefused, RefusedMessage
from gateway.observe.publishers import PublisherRefused

if TYPE_CHECKING:
    from gateway.dispatch.allowance import Account, Allowances  # most sites limit nobody

EVENT_HUB: Final = "eventHub"
"""The property that says by which hub a message came, set by the gateway."""
XML: Final = "application/xml; charset=utf-8"
CREATED: Final = Response(status=201, content_type=XML)
_STORE_REFUSALS: Final = {
    AppendResult.FULL: RefusedMessage.STORE_FULL,
    AppendResult.FAILED: RefusedMessage.STORE_FAILED,
}


class HttpPublishers:
    """A service beside the device API. Implements `http_services.HttpService`."""

    action: Final = HttpAction.PUBLISH
    max_body_bytes: Final = HttpLimits().max_body_bytes

    def __init__(
        self,
        door: PublisherDoor,
        ingress: Ingress,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        allowances: "Callable[[], Allowances | None]" = lambda: None,
    ) -> None:
        self._allowances = allowances
        self._door = door
        self._ingress = ingress
        self._emit = emit
        self._clock = clock

    def claims(self, path: str) -> bool:
        """Whether it is `/{hub}/publishers/{publisher}/messages`, or one without a publisher, and there are hubs."""
        return publisher.is_publisher_path(path) and self._door.is_open()

    def caller(self, head: HeadReceived, peer: Peer) -> LetIn:
        """The publisher, whose token is judged before any of the body is read."""
        asked = publisher.read_request(head.method, head.path, head.query)
        host, token = head.headers.get("Host") or "", head.headers.get("Authorization")
        verdict = self._door.judge(asked, host, token, address=peer.address, now=self._clock())
        return LetIn(self._admitted(verdict, asked, peer))

    def refusal(self, status: int, what: str) -> Response:
        """In the form of Event Hubs."""
        headers: tuple[tuple[str, str], ...] = ()
        if status == 503:
            headers = (("Retry-After", str(RETRY_AFTER_S)),)
        elif status == 405:
            headers = (("Allow", "POST"),)
        body = f"<Error><Code>{status}</Code><Detail>{escape(what)}</Detail></Error>"
        return Response(status=status, headers=headers, body=body.encode("utf-8"), content_type=XML)

    async def answer(self, request: RequestReceived, peer: Peer, _who: Identity | None) -> Response:
        """201 when all messages are on disk."""
        asked = publisher.read_request(request.method, request.path, request.query)
        try:
            # Once more: it may have been revoked while its body came, and a body may take a minute.
            who = self._admitted(self._door.judge_again(asked), asked, peer)
        except NotLetInError as error:
            return self.refusal(error.status, error.what)
        account = self._account(who)
        if account is not None and (wait_s := account.wait_s()):
            self._emit(MessageRefused(str(who), RefusedMessage.OVER_LIMIT, account.why()))
            return replace(self.refusal(429, account.why()), headers=come_again(wait_s))
        try:
            contents = _read(asked, request)
            messages = [message_of(who, content, marks={EVENT_HUB: asked.hub}) for content in contents]
        except RefusedTelemetryError as refused:
            self._emit(MessageRefused(str(who), refused.reason, refused.detail))
            return self.refusal(refused.status, refused.detail)
        if account is not None:
            account.charge(len(messages), len(request.body))
        stored: asyncio.Future[AppendResult] = asyncio.get_running_loop().create_future()

        def take(result: AppendResult) -> None:
            if not stored.done():  # who asked may have gone
                stored.set_result(result)

        self._ingress.accept(messages, take)
        return self._answer_for(who, await stored)

    def _account(self, who: Identity) -> "Account | None":
        allowances = self._allowances()
        return None if allowances is None else allowances.account(str(who))

    def _answer_for(self, who: Identity, result: AppendResult) -> Response:
        reason = _STORE_REFUSALS.get(result)
        if reason is None:
            return CREATED
        detail = reason.value.replace("_", " ")
        self._emit(MessageRefused(str(who), reason, detail))
        return self.refusal(503, detail)

    def _admitted(self, verdict: Identity | NotAPublisher, asked: PublisherRequest, peer: Peer) -> Identity:
        """The device that a publisher is. Raises NotLetInError."""
        if isinstance(verdict, NotAPublisher):
            name = asked.hub if asked.publisher is None else f"{asked.hub}/{asked.publisher}"
            self._emit(PublisherRefused(name, peer.address, verdict.reason))
            raise NotLetInError(401, "Unauthorized", verdict.hold_s)
        return verdict


def _read(asked: PublisherRequest, request: RequestReceived) -> list[Content]:
    """The messages of a request. Raises RefusedTelemetryError."""
    malformed = RefusedMessage.MALFORMED_PROPERTIES
    try:
        content_type = request.headers.get("Content-Type")
        if publisher.is_batch(content_type):
            malformed = RefusedMessage.MALFORMED_MESSAGE
            return publisher.read_batch(asked, request.body)
        broker = request.headers.get(publisher.BROKER_PROPERTIES)
        fields = request.headers.items()
        return [publisher.read_single(asked, fields, request.body, content_type=content_type, broker=broker)]
    except ProtocolError as error:
        if error.reply == TOO_LARGE:
            raise RefusedTelemetryError(RefusedMessage.TOO_LARGE, TOO_LARGE, error.what) from error
        raise RefusedTelemetryError(malformed, 400, error.what) from error
