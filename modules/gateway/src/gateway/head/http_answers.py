"""Answers of the HTTPS head, in the two forms that clients read: IoT Hub's, and edgeHub's for methods.

IoT Hub's clients go by the status; those that look further split `Message` at `;` and `:` (iothub_wire.md §4.1).
"""

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.session.http.server import JSON, Response

DONE: Final = Response(status=204)
"""A message is stored or settled; or none waits."""
RETRY_AFTER_S: Final = 5
"""What who is refused for want of space, or of a hub to ask, is told to wait."""
NO_SNIFF: Final = ("X-Content-Type-Options", "nosniff")
"""On every answer to a method call, as edgeHub has it."""

_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "ArgumentInvalid",
        401: "IotHubUnauthorizedAccess",
        404: "ResourceNotFound",
        405: "MethodNotAllowed",
        409: "LinkCreationConflict",
        412: "DeviceMessageLockLost",
        413: "MessageTooLarge",
        429: "ThrottlingException",
        500: "ServerError",
        503: "ServiceUnavailable",
    }
)


def refusal(status: int, what: str) -> Response:
    """A refusal in IoT Hub's form; one of 503 says when to come again."""
    body = {"Message": f"ErrorCode:{_NAMES[status]};{what}", "ExceptionMessage": ""}
    headers = (("Retry-After", str(RETRY_AFTER_S)),) if status == 503 else ()
    return Response(status=status, headers=headers, body=_json(body), content_type=JSON)


def come_again(wait_s: float) -> tuple[tuple[str, str], ...]:
    """The header for who is refused with 429: when to come again, in whole seconds."""
    return (("Retry-After", str(max(1, math.ceil(wait_s)))),)


def method_refusal(status: int, what: str) -> Response:
    """A refusal of a method call, in edgeHub's form."""
    headers: tuple[tuple[str, str], ...] = (NO_SNIFF,)
    if status == 503:
        headers += (("Retry-After", str(RETRY_AFTER_S)),)
    return Response(status=status, headers=headers, body=_json({"message": what}), content_type=JSON)


def method_result(body: bytes) -> Response:
    """What a method has answered."""
    return Response(status=200, headers=(NO_SNIFF,), body=body, content_type=JSON)


def status_of(error: ProtocolError) -> int:
    """The status that answers a broken rule."""
    return error.reply if isinstance(error.reply, int) and error.reply in _NAMES else 400


def _json(value: Mapping[str, str]) -> bytes:
    return json.dumps(value).encode("ascii")
