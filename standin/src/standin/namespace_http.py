"""Event Hubs' own HTTPS form of sending, for the Event Hubs of the namespace (iothub_wire.md §6)."""

import asyncio
from typing import Final
from xml.sax.saxutils import escape

from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.messages import write_body, write_sections
from edgewire.iothub.bag import Direction
from edgewire.iothub.http import publisher
from edgewire.iothub.http.batch import Content
from edgewire.iothub.http.publisher import PARTITION_KEY, PublisherRequest
from edgewire.iothub.partitions import partition_of_key
from edgewire.session.http.events import RequestReceived
from edgewire.session.http.server import Response
from edgewire.transport.pump import Peer
from standin.admission import Admission, Realm, Refused
from standin.hub import Hub
from standin.namespace import Namespace, OwnEventHub
from standin.policies import Right

XML: Final = "application/xml; charset=utf-8"
MAX_EVENT_BYTES: Final = 262_144
"""One event with its properties: the basic tier's limit, the strictest there is."""


class PublisherApi:
    """Implements `standin.http.HttpApi`. A batch goes to one partition, as all that is sent at once."""

    def __init__(self, hub: Hub, namespace: Namespace, admission: Admission) -> None:
        self._hub = hub
        self._namespace = namespace
        self._admission = admission
        self._next = 0
        """The partition of what comes next without a key."""

    def claims(self, request: RequestReceived) -> bool:
        """Whether the request is for an Event Hub, if there are any."""
        return bool(self._namespace.hubs) and publisher.is_publisher_path(request.path)

    async def answer(self, request: RequestReceived, _peer: Peer) -> Response:
        """201 when all events are kept."""
        try:
            asked = publisher.read_request(request.method, request.path, request.query)
            entity = self._namespace.get(asked.hub)
            if entity is None or not self._is_let_in(request, asked):
                return _error(401, "the token is not good for this")
            refusal = self._hub.faults.refusal
            if self._hub.faults.refusing or refusal is not None:
                return _error(503 if refusal is None else refusal.value // 1000, "refusing on purpose, as asked for")
            self._keep(entity, asked, _read(asked, request))
        except ProtocolError as error:
            return _error(error.reply if isinstance(error.reply, int) else 400, error.what)
        if self._hub.faults.stalled or self._hub.faults.loses_acknowledgement():
            await asyncio.Event().wait()
        return Response(status=201, content_type=XML)

    def _is_let_in(self, request: RequestReceived, asked: PublisherRequest) -> bool:
        holder = self._admission.admit_policy(request.headers.get("Authorization") or "")
        if isinstance(holder, Refused):
            self._hub.counters[f"refused: {holder.reason.value}"] += 1
            self._hub.note(f"refused {holder.what}")
            return False
        below = () if asked.publisher is None else ("publishers", asked.publisher)
        return holder.gives(Right.SEND, Realm.NAMESPACE, (asked.hub, *below))

    def _keep(self, entity: OwnEventHub, asked: PublisherRequest, contents: list[Content]) -> None:
        payloads = [_payload(asked, content) for content in contents]
        key = asked.publisher or contents[0].bag.properties.get(PARTITION_KEY)
        partition = self._partition(entity, key)
        entity.log.append(partition, payloads)
        self._hub.counters[f"events kept in {entity.name}"] += len(payloads)
        self._hub.note(f"{len(payloads)} events in partition {partition} of {entity.name}, by HTTPS")

    def _partition(self, entity: OwnEventHub, key: str | None) -> int:
        if key is not None:
            return partition_of_key(key, entity.log.partitions)
        self._next = (self._next + 1) % entity.log.partitions
        return self._next


def _read(asked: PublisherRequest, request: RequestReceived) -> list[Content]:
    content_type = request.headers.get("Content-Type")
    if publisher.is_batch(content_type):
        return publisher.read_batch(asked, request.body)
    broker = request.headers.get(publisher.BROKER_PROPERTIES)
    fields = request.headers.items()
    return [publisher.read_single(asked, fields, request.body, content_type=content_type, broker=broker)]


def _payload(asked: PublisherRequest, content: Content) -> bytes:
    """The event as its readers get it; which publisher it is of stands in an annotation."""
    annotations: dict[str, object] = {}
    if asked.publisher is not None:
        annotations = {"x-opt-publisher": asked.publisher, "x-opt-partition-key": asked.publisher}
    payload = write_sections(content.bag, Direction.FROM_DEVICE, annotations) + write_body(content.body)
    if len(payload) > MAX_EVENT_BYTES:
        raise ProtocolError(f"the event has {len(payload)} bytes; the limit is {MAX_EVENT_BYTES}", reply=413)
    return payload


def _error(status: int, what: str) -> Response:
    headers = (("Retry-After", "1"),) if status in (429, 503) else ()
    body = f"<Error><Code>{status}</Code><Detail>{escape(what)}</Detail></Error>"
    return Response(status=status, headers=headers, body=body.encode("utf-8"), content_type=XML)
