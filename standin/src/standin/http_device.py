"""The hub's HTTPS device API: telemetry, messages from the cloud, and a module's method calls (iothub_wire.md §3)."""

import asyncio
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import orjson

from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.values import format_time
from edgewire.iothub.bag import Bag
from edgewire.iothub.http.batch import is_batch, read_batch
from edgewire.iothub.http.methods import CALLER, read_caller, read_invocation, write_result
from edgewire.iothub.http.paths import Action, DeviceRequest, is_device_path, read_request
from edgewire.iothub.http.properties import Notes, read_headers, write_headers, write_notes
from edgewire.iothub.messages import check_size, envelope_for
from edgewire.message import Identity, Message
from edgewire.session.http.events import RequestReceived
from edgewire.session.http.server import JSON, Response
from edgewire.transport.pump import Peer
from standin.admission import Admission, Refused
from standin.devicebound import ACK, Locked
from standin.errors import HubError
from standin.hub import Hub, MethodResult
from standin.locked import Settlement

OK: Final = Response(status=204)
NO_SNIFF: Final = ("X-Content-Type-Options", "nosniff")
_SETTLEMENTS: Final[Mapping[Action, Settlement]] = MappingProxyType(
    {
        Action.COMPLETE: Settlement.COMPLETED,
        Action.REJECT: Settlement.REJECTED,
        Action.ABANDON: Settlement.ABANDONED,
    }
)


class DeviceApi:
    """Implements `standin.http.HttpApi`."""

    def __init__(self, hub: Hub, admission: Admission) -> None:
        self._hub = hub
        self._admission = admission

    def claims(self, request: RequestReceived) -> bool:
        """Whether the request is one of a device, or of a module that calls a method through edgeHub."""
        if not is_device_path(request.path):
            return False
        return request.path[:7].lower() != "/twins/" or request.headers.get(CALLER) is not None

    async def answer(self, request: RequestReceived, peer: Peer) -> Response:
        """Answer a request. Raises HubError and ProtocolError for what is refused."""
        asked = read_request(request.method, request.path, request.query)
        assert asked is not None
        if self._hub.faults.refusing:
            raise HubError(503001, "refusing on purpose, as asked for")
        if asked.action is Action.INVOKE:
            return await self._invoke(asked.identity, request, peer)
        self._admit(asked.identity, request, peer)
        if self._hub.faults.stalled:
            await asyncio.Event().wait()
        if asked.action is Action.SEND:
            return await self._send(asked.identity, request)
        if asked.action is Action.RECEIVE:
            return self._receive(asked.identity)
        return self._settle(asked)

    def _admit(self, who: Identity, request: RequestReceived, peer: Peer) -> None:
        """Raise HubError unless the request proves that it comes from `who`."""
        token = request.headers.get("Authorization")
        decision = self._admission.admit_at(
            request.headers.get("Host") or "",
            who,
            None if token is None else token.encode("latin-1"),
            peer.certificates,
        )
        if isinstance(decision, Refused):
            self._hub.counters[f"refused: {decision.reason.value}"] += 1
            self._hub.note(f"refused {decision.what}")
            raise HubError(401002, "Unauthorized")

    # Telemetry

    async def _send(self, who: Identity, request: RequestReceived) -> Response:
        refusal = self._hub.faults.refusal
        if refusal is not None:
            raise HubError(refusal.value, f"{refusal.name.lower()} on purpose, as asked for")
        messages = _read_messages(who, request)
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def done(is_kept: bool) -> None:  # noqa: FBT001 - the one value a Done gets
            if not kept.done():  # the peer may be gone by now
                kept.set_result(is_kept)

        self._hub.receive_batch(messages, done)
        if not await kept:
            raise HubError(503001, "the messages could not be kept")
        if self._hub.faults.loses_acknowledgement():
            await asyncio.Event().wait()
        return OK

    # Messages from the cloud

    def _receive(self, who: Identity) -> Response:
        locked = self._hub.lock_c2d(who)
        return OK if locked is None else _message_response(locked)

    def _settle(self, asked: DeviceRequest) -> Response:
        try:
            lock_token = uuid.UUID(asked.lock_token)
        except ValueError as error:
            raise HubError(412002, f"{asked.lock_token} is no lock token of this hub") from error
        self._hub.settle_c2d(asked.identity, lock_token, _SETTLEMENTS[asked.action])
        return OK

    # Methods, as edgeHub offers them (edgehub.md §6.1)

    async def _invoke(self, target: Identity, request: RequestReceived, peer: Peer) -> Response:
        try:
            result = await self._call(target, request, peer)
        except HubError as error:
            return _edge_error(error.status, error.what)
        except ProtocolError as error:
            return _edge_error(400, error.what)
        body = write_result(result.status, result.payload)
        return Response(status=200, headers=(NO_SNIFF,), body=body, content_type=JSON)

    async def _call(self, target: Identity, request: RequestReceived, peer: Peer) -> MethodResult:
        caller = read_caller(request.headers.get(CALLER) or "")
        if caller.device != self._hub.edge_device:
            raise HubError(401002, f"{caller} is no module of the edge device here")
        self._admit(caller, request, peer)
        asked = read_invocation(request.body)
        return await self._hub.invoke_method(
            target,
            asked.name,
            orjson.loads(asked.payload),
            response_timeout_s=asked.response_timeout_s,
            connect_timeout_s=asked.connect_timeout_s,
        )


def _read_messages(who: Identity, request: RequestReceived) -> list[Message]:
    if is_batch(request.headers.get("Content-Type")):
        contents = [(content.bag, content.body) for content in read_batch(request.body)]
    else:
        contents = [(read_headers(request.headers.items()), request.body)]
    messages = [Message(envelope_for(who, bag), body) for bag, body in contents]
    for message in messages:
        try:
            check_size(message)
        except ProtocolError as error:
            raise HubError(413001, error.what) from error
    return messages


def _message_response(locked: Locked) -> Response:
    properties = {name: value for name, value in locked.properties.items() if name != ACK}
    expiry = format_time(int(locked.expires_at * 1000), "the expiry")
    system = {**locked.system, "absolute-expiry-time": expiry}
    if ACK in locked.properties:
        system["ack"] = locked.properties[ACK] or "none"
    notes = Notes(
        lock_token=str(locked.lock_token),
        sequence_number=locked.sequence_number,
        enqueued_at_ms=int(locked.enqueued_at * 1000),
        delivery_count=locked.delivery_count,
    )
    headers = write_notes(notes) + write_headers(Bag(properties, system))
    return Response(status=200, headers=tuple(headers), body=locked.body, content_type="application/octet-stream")


def _edge_error(status: int, what: str) -> Response:
    """An answer of edgeHub, which writes other bodies than the hub."""
    return Response(status=status, headers=(NO_SNIFF,), body=orjson.dumps({"message": what}), content_type=JSON)
