"""Provisioning over HTTPS: one request at a time, each proves itself (iothub_wire.md §5.3)."""

import asyncio
from typing import Final

import orjson

from edgewire.errors import ProtocolError
from edgewire.iothub.dps import Register, is_path, parse_path
from edgewire.session.http.events import RequestReceived
from edgewire.session.http.server import JSON, Response
from edgewire.transport.pump import Peer
from standin.dps import Answer, Provisioning
from standin.dps_errors import BAD_REQUEST, METHOD_NOT_ALLOWED, SERVER_BUSY, DpsError

MAX_POLL_BODY_BYTES: Final = 2
"""Node sends `{}` along with its GET (iothub_wire.md §5.3)."""


class DpsHttp:
    """The device API of provisioning. Implements `standin.http.HttpApi`."""

    def __init__(self, dps: Provisioning) -> None:
        self._dps = dps

    def claims(self, request: RequestReceived) -> bool:
        """Whether the path is `/{scope}/registrations/{id}/register` or `…/operations/{operation}`."""
        return is_path(request.path)

    async def answer(self, request: RequestReceived, peer: Peer) -> Response:
        """Answer a request; a refusal is an answer, too."""
        faults = self._dps.hub.faults
        if faults.refusing:
            return _response(self._dps.refusal(DpsError(SERVER_BUSY, "refusing on purpose, as asked for")))
        if faults.stalled:
            await asyncio.Event().wait()
        try:
            return _response(self._asked(request, peer))
        except ProtocolError as error:
            return _response(self._dps.refusal(DpsError(BAD_REQUEST, error.what)))
        except DpsError as error:
            return _response(self._dps.refusal(error))

    def _asked(self, request: RequestReceived, peer: Peer) -> Answer:
        registrant, asked = parse_path(request.path)
        method = "PUT" if isinstance(asked, Register) else "GET"
        if request.method != method:
            raise DpsError(METHOD_NOT_ALLOWED, f"this path is for {method}")
        if not any(field.startswith("api-version=") for field in request.query.split("&")):
            raise DpsError(BAD_REQUEST, "the query has no api-version")
        proven = self._dps.admit(registrant, request.headers.get("Authorization"), peer.certificates)
        if isinstance(asked, Register):
            return self._dps.register(proven, request.body)
        if len(request.body) > MAX_POLL_BODY_BYTES:
            raise DpsError(BAD_REQUEST, "a question for an operation has no body")
        return self._dps.poll(proven, asked.operation_id)


def _response(answer: Answer) -> Response:
    headers: tuple[tuple[str, str], ...] = ()
    if answer.retry_after_s is not None:
        headers = (("Retry-After", str(answer.retry_after_s)),)
    if "errorCode" in answer.body:
        headers = (*headers, ("x-ms-error-code", str(answer.body["errorCode"])))
    return Response(status=answer.status, headers=headers, body=orjson.dumps(answer.body), content_type=JSON)
