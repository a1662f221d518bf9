"""Twins, queries, direct methods and what waits for devices, of the service API (iothub_wire.md §4.1)."""

import re
import secrets
import time
import uuid
from collections.abc import Callable
from typing import Final

import orjson

from edgewire.iothub.http.methods import read_invocation, write_result
from edgewire.message import Identity
from edgewire.session.http.server import JSON, Response
from standin.documents import JsonObject
from standin.errors import HubError
from standin.feedback import CONTENT_TYPE
from standin.hub import Hub
from standin.locked import Settlement
from standin.policies import Right
from standin.query import Query, QueryError, Source, parse_query
from standin.registry import Entry
from standin.service_http import ARGUMENT, NOTHING, Call, Route, answer, check_etag, route
from standin.service_json import twin_json
from standin.service_registry import known
from standin.service_sections import patch_twin, read_sections, replace_twin
from standin.twins import time_text

PAGE: Final = 100
"""Rows of a page where the client asks for no number: IoT Hub's own."""
MAX_PAGE: Final = 1_000
_CONTINUATION: Final = re.compile(r"[0-9]{1,9}")
Statuses = Callable[[Identity], JsonObject]
"""What configurations have to do with a twin: `{"<id>": {"status": …}}`."""


class TwinService:
    """Answers what is asked of twins. `statuses`: what configurations have to do with each."""

    def __init__(self, hub: Hub, statuses: Statuses) -> None:
        self._hub = hub
        self._statuses = statuses

    def routes(self) -> list[Route]:
        """What it serves."""
        service = Right.SERVICE_CONNECT
        routes = [
            route("POST", "/devices/query", Right.REGISTRY_READ, self._query),
            route("DELETE", "/devices/*/commands", service, self._purge),
            route("GET", "/messages/serviceBound/feedback", service, self._feedback),
            route("DELETE", "/messages/serviceBound/feedback/*", service, self._complete),
            route("POST", "/messages/serviceBound/feedback/*/abandon", service, self._abandon),
        ]
        for path in ("/twins/*", "/twins/*/modules/*"):
            routes += [
                route("GET", path, service, self._get),
                route("PATCH", path, service, self._patch),
                route("PUT", path, service, self._put),
                route("POST", f"{path}/methods", service, self._invoke),
            ]
        return routes

    def _documents(self, source: Source) -> list[JsonObject]:
        """All twins of devices, or of modules, as the service reads them."""
        modules = source is Source.MODULES
        entries = self._hub.registry.entries()
        return [self._document(entry) for entry in entries if (entry.identity.module is not None) is modules]

    def _document(self, entry: Entry) -> JsonObject:
        return twin_json(self._hub, entry, self._statuses(entry.identity))

    # Twins

    def _get(self, call: Call) -> Response:
        return self._answer(known(self._hub, call.target()))

    def _patch(self, call: Call) -> Response:
        entry = self._unchanged(call)
        patch_twin(self._hub, entry.identity, read_sections(call.object()))
        return self._answer(entry)

    def _put(self, call: Call) -> Response:
        entry = self._unchanged(call)
        replace_twin(self._hub, entry.identity, read_sections(call.object()))
        return self._answer(entry)

    def _unchanged(self, call: Call) -> Entry:
        entry = known(self._hub, call.target())
        check_etag(call, self._hub.twin(entry.identity).etag, f"the twin of {entry.identity}")
        return entry

    def _answer(self, entry: Entry) -> Response:
        return answer(self._document(entry), etag=self._hub.twin(entry.identity).etag)

    # Queries

    def _query(self, call: Call) -> Response:
        query = read_query(call.object().get("query"))
        rows = query.run(self._documents(query.source))
        size, start = _page_size(call), _page_start(call)
        headers = [("x-ms-item-type", query.item_type)]
        if start + size < len(rows):
            headers.append(("x-ms-continuation", str(start + size)))
        return answer(rows[start : start + size], headers=tuple(headers))

    # Methods

    async def _invoke(self, call: Call) -> Response:
        who, asked = call.target(), read_invocation(call.body)
        try:
            result = await self._hub.invoke_method(
                known(self._hub, who).identity,
                asked.name,
                orjson.loads(asked.payload),
                response_timeout_s=asked.response_timeout_s,
                connect_timeout_s=asked.connect_timeout_s,
            )
        except HubError as error:
            return _method_error(error)
        return Response(status=200, body=write_result(result.status, result.payload), content_type=JSON)

    # Messages to devices

    def _purge(self, call: Call) -> Response:
        who = known(self._hub, call.target()).identity
        purged = self._hub.purge_c2d(who)
        return answer({"totalMessagesPurged": purged, "deviceId": who.device, "moduleId": None})

    def _feedback(self, _: Call) -> Response:
        batch = self._hub.feedback.lock()
        if batch is None:
            return NOTHING
        headers = (("ETag", f'"{batch.lock_token}"'), ("iothub-sequencenumber", str(batch.sequence_number)))
        return Response(status=200, headers=headers, body=batch.body, content_type=CONTENT_TYPE)

    def _complete(self, call: Call) -> Response:
        return self._settle(call, Settlement.COMPLETED)

    def _abandon(self, call: Call) -> Response:
        return self._settle(call, Settlement.ABANDONED)

    def _settle(self, call: Call, settlement: Settlement) -> Response:
        try:
            lock_token = uuid.UUID(call.names[0])
        except ValueError as error:
            raise HubError(412002, f"{call.names[0][:100]!r} is no lock token of this hub") from error
        self._hub.feedback.settle(lock_token, settlement)
        return NOTHING


def read_query(text: object) -> Query:
    """The query of a body. Raises HubError if it is not understood."""
    if not isinstance(text, str):
        raise HubError(ARGUMENT, "the body has no query")
    try:
        return parse_query(text)
    except QueryError as error:
        raise HubError(ARGUMENT, f"the query is not understood: {error}") from error


def _method_error(error: HubError) -> Response:
    """What the part of the cloud that calls methods answers: another JSON document, as text, in place of a sentence.

    Spec: seen in Azure/iotedge#98, azure-iot-cli-extension#54 and azure-iot-sdk-java#640.
    """
    message = {
        "errorCode": error.code,
        "trackingId": secrets.token_hex(16),
        "message": error.what,
        "info": {},
        "timestampUtc": time_text(time.time()),
    }
    return answer({"Message": orjson.dumps(message).decode(), "ExceptionMessage": ""}, status=error.status)


def _page_size(call: Call) -> int:
    text = call.headers.get("x-ms-max-item-count") or str(PAGE)
    if not text.isdecimal() or int(text[:9]) < 1:
        raise HubError(ARGUMENT, f"x-ms-max-item-count {text[:40]!r} is no number from 1 on")
    return min(int(text[:9]), MAX_PAGE)


def _page_start(call: Call) -> int:
    text = call.headers.get("x-ms-continuation") or "0"
    if _CONTINUATION.fullmatch(text) is None:
        raise HubError(ARGUMENT, f"x-ms-continuation {text[:40]!r} is none of ours")
    return int(text)
