"""Firmware over HTTPS: manifests, and images in pieces that the smallest boards can hold.

A board proves itself by its own token, as everywhere; no name of a path is decoded or becomes a path on disk.
"""

import json
import re
from typing import Final, Protocol

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.ids import is_id
from edgewire.message import Identity, identity
from edgewire.session.http.events import HeadReceived, RequestReceived
from edgewire.session.http.server import JSON, Response
from edgewire.transport.pump import Peer
from gateway.head.http_answers import RETRY_AFTER_S
from gateway.head.http_services import Caller
from gateway.observe.head import HttpAction

PREFIX: Final = "/firmware/"
MAX_LENGTH: Final = 4_096
"""Bytes of an image in one answer: one TLS record of the listener for small boards."""
IMAGE_TYPE: Final = "application/octet-stream"

_NAME: Final = r"([A-Za-z0-9][A-Za-z0-9._-]{0,39})"
_MANIFEST: Final = re.compile(rf"/firmware/v1/manifests/{_NAME}(?:/{_NAME})?", re.ASCII)
_IMAGE: Final = re.compile(r"/firmware/v1/images/([0-9a-f]{64})", re.ASCII)
_NUMBER: Final = re.compile(r"(offset|length)=([0-9]{1,9})", re.ASCII)
_DEVICE_PARTS: Final = 2
"""Of the path in a device's token: `devices` and its id."""


class Shelf(Protocol):
    """Where the firmware is."""

    def meant_for(self, device: str, model: str) -> bytes | None:
        """The manifest that a board of this model should follow; None if there is none for it."""
        ...

    def manifest(self, model: str, version: str) -> bytes | None:
        """The manifest of a version, None if there is none."""
        ...

    def piece(self, sha256: str, offset: int, length: int) -> tuple[bytes, int] | None:
        """At most so many bytes of an image, and how many it has in all; None if there is none."""
        ...


class FirmwareService:
    """Serves what is below `/firmware/`. Implements `http_services.HttpService`."""

    action = HttpAction.FIRMWARE
    max_body_bytes = 0

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def claims(self, path: str) -> bool:
        """Whether a raw path is one of its own."""
        return path.startswith(PREFIX)

    def caller(self, head: HeadReceived, _peer: Peer) -> Caller:
        """The device whose token came along. Raises ProtocolError with a status."""
        if _MANIFEST.fullmatch(head.path) is None and _IMAGE.fullmatch(head.path) is None:
            raise ProtocolError("nothing is served there", reply=404)
        if head.method != "GET":
            raise ProtocolError(f"{head.method} is not served there, GET is", reply=405, spec="RFC 9110 §15.5.6")
        return _bearer(head.headers.get("Authorization"))

    def refusal(self, status: int, what: str) -> Response:
        """A refusal: a status and one sentence."""
        headers: tuple[tuple[str, str], ...] = ()
        if status == 405:
            headers = (("Allow", "GET"),)
        elif status == 503:
            headers = (("Retry-After", str(RETRY_AFTER_S)),)
        body = json.dumps({"message": what}).encode("ascii")
        return Response(status=status, headers=headers, body=body, content_type=JSON)

    async def answer(self, request: RequestReceived, _peer: Peer, who: Identity | None) -> Response:
        """A manifest or a piece of an image. Raises ProtocolError with a status."""
        assert who is not None, "only who was let in gets here"
        if (found := _IMAGE.fullmatch(request.path)) is not None:
            return self._piece(found[1], request.query)
        named = _MANIFEST.fullmatch(request.path)
        assert named is not None, "judged by its head"
        return self._manifest(who.device, named[1], named[2], request.query)

    def _manifest(self, device: str, model: str, version: str | None, query: str) -> Response:
        if query:
            raise ProtocolError("a manifest takes no query", reply=400)
        text = self._shelf.meant_for(device, model) if version is None else self._shelf.manifest(model, version)
        if text is None:
            raise ProtocolError("there is no such firmware for this board", reply=404)
        return Response(status=200, body=text, content_type=JSON)

    def _piece(self, sha256: str, query: str) -> Response:
        offset, length = _range(query)
        piece = self._shelf.piece(sha256, offset, length)
        if piece is None:
            raise ProtocolError("there is no such image", reply=404)
        data, size = piece
        if not data:
            raise ProtocolError(f"the image ends at {size}", reply=416)
        return Response(status=200, body=data, content_type=IMAGE_TYPE)


def _bearer(token: str | None) -> Caller:
    """The device that a token is for, and the hub: whether it is a good one, others look. Raises ProtocolError."""
    if token is None:
        raise ProtocolError("a board's own token must come along in Authorization", reply=401)
    try:
        audience = sas.audience(sas.parse(token))
    except ProtocolError as error:
        raise ProtocolError(error.what, reply=401) from error
    path = audience.path
    if len(path) != _DEVICE_PARTS or path[0] != "devices" or not is_id(path[1]):
        raise ProtocolError("the token is not that of a device", reply=401)
    return Caller(identity(path[1]), audience.host)


def _range(query: str) -> tuple[int, int]:
    """Offset and length that are asked for. Raises ProtocolError with status 400."""
    asked: dict[str, int] = {}
    for part in query.split("&") if query else ():
        found = _NUMBER.fullmatch(part)
        if found is None or found[1] in asked:
            raise ProtocolError("the query may have 'offset' and 'length' once each, in decimal digits", reply=400)
        asked[found[1]] = int(found[2])
    offset, length = asked.get("offset", 0), asked.get("length", MAX_LENGTH)
    if not 1 <= length <= MAX_LENGTH:
        raise ProtocolError(f"'length' must be from 1 to {MAX_LENGTH}", reply=400)
    return offset, length
