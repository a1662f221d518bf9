"""Provisioning over HTTPS: each request proves itself (iothub_wire.md §5.3)."""

import asyncio
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub.dps import Register, is_path, parse_path
from edgewire.message import Identity
from edgewire.session.http.events import HeadReceived, RequestReceived
from edgewire.session.http.server import JSON, Response
from edgewire.transport.pump import Peer
from gateway.dispatch import provisioning_answers as answers
from gateway.dispatch.provisioning import MAX_REQUEST_BYTES, Applicant, Provisioning
from gateway.dispatch.provisioning_answers import Answer
from gateway.head.http_services import Caller
from gateway.observe.head import HttpAction

_CODES: Final = {400: answers.BAD_REQUEST, 405: answers.NOT_ALLOWED, 413: answers.TOO_LARGE, 503: answers.AWAY}


class HttpProvisioning:
    """A service beside the device API. Implements `http_services.HttpService`."""

    action: Final = HttpAction.PROVISION
    max_body_bytes: Final = MAX_REQUEST_BYTES

    def __init__(self, provisioning: Provisioning) -> None:
        self._provisioning = provisioning

    def claims(self, path: str) -> bool:
        """Whether it is `/{scope}/registrations/{id}/register` or `…/operations/{operation}`."""
        return is_path(path)

    def caller(self, head: HeadReceived, _peer: Peer) -> Caller | None:
        """None: the token is none of a device of the hub. Raises ProtocolError for a request that is none."""
        _, asked = parse_path(head.path)
        method = "PUT" if isinstance(asked, Register) else "GET"
        if head.method != method:
            raise ProtocolError(f"this path is for {method}", reply=405)
        if not any(field.startswith("api-version=") for field in head.query.split("&")):
            raise ProtocolError("the query has no api-version", reply=400)
        return None

    def refusal(self, status: int, what: str) -> Response:
        """In the form of the provisioning service."""
        retry_after_s = answers.RETRY_S if status == 503 else None
        return _response(answers.refusal(_CODES.get(status, answers.BAD_REQUEST), what, retry_after_s))

    async def answer(self, request: RequestReceived, peer: Peer, _who: Identity | None) -> Response:
        """What the service says, or is remembered of it. Raises ProtocolError for a header that came twice."""
        registrant, asked = parse_path(request.path)
        applicant = Applicant(
            registrant=registrant,
            token=request.headers.get("Authorization") or "",
            address=peer.address,
            certified=bool(peer.certificates),
        )
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def take(answer: Answer) -> None:
            if not answered.done():  # who asked may have gone
                answered.set_result(answer)

        if isinstance(asked, Register):
            self._provisioning.register(applicant, request.body, take)
        else:
            self._provisioning.poll(applicant, asked.operation_id, take)
        return _response(await answered)


def _response(answer: Answer) -> Response:
    headers: tuple[tuple[str, str], ...] = ()
    if answer.retry_after_s is not None:
        headers = (("Retry-After", str(answer.retry_after_s)),)
    code = answers.code_of(answer)
    if code is not None:
        headers = (*headers, ("x-ms-error-code", str(code)))
    return Response(status=answer.status, headers=headers, body=answer.document, content_type=JSON)
