"""Error bodies as IoT Hub writes them: `{"Message":"ErrorCode:…;…","ExceptionMessage":"Tracking ID:…"}`.

Clients split `Message` on `;` and `:` and go by the status (iothub_wire.md §4.1).
"""

import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import orjson

from edgewire.errors import ProtocolError
from edgewire.session.http.events import RequestReceived
from edgewire.session.http.server import JSON, Response

ARGUMENT_INVALID: Final = 400004
INVALID_PROTOCOL_VERSION: Final = 400103
UNAUTHORIZED: Final = 401002
NOT_FOUND: Final = 404001
SERVER_ERROR: Final = 500001

ERROR_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        400004: "ArgumentInvalid",
        400027: "ConfigReadFailed",
        400103: "InvalidProtocolVersion",
        401002: "IotHubUnauthorizedAccess",
        401003: "IotHubUnauthorized",
        403002: "IotHubQuotaExceeded",
        403004: "DeviceMaximumQueueDepthExceeded",
        403006: "DeviceMaximumActiveFileUploadLimitExceeded",
        403010: "IotHubSuspended",
        404001: "DeviceNotFound",
        404010: "ModuleNotFound",
        404011: "ConfigurationNotFound",
        404103: "DeviceNotOnline",
        404104: "DeviceConnectionClosedRemotely",
        409001: "DeviceAlreadyExists",
        409002: "LinkCreationConflict",
        409301: "ModuleAlreadyExistsOnDevice",
        412001: "PreconditionFailed",
        412002: "DeviceMessageLockLost",
        413001: "MessageTooLarge",
        429001: "ThrottlingException",
        405001: "MethodNotAllowed",
        500001: "ServerError",
        503001: "ServiceUnavailable",
        504101: "GatewayTimeout",
    }
)
"""Names by code; the status is the first three digits."""


def error_response(code: int, what: str, *headers: tuple[str, str]) -> Response:
    """The answer for an error code of IoT Hub: the first three digits are the status."""
    name = ERROR_NAMES.get(code, "GenericError")
    tracking = secrets.token_hex(16)
    body = orjson.dumps({"Message": f"ErrorCode:{name};{what}", "ExceptionMessage": f"Tracking ID:{tracking}"})
    headers = (("iothub-errorcode", name), *headers)
    return Response(status=code // 1000, headers=headers, body=body, content_type=JSON)


def malformed_response(error: ProtocolError) -> Response:
    """The answer to a request that broke a rule."""
    if isinstance(error.reply, int) and error.reply >= 100_000:
        return error_response(error.reply, error.what)
    status = error.reply if isinstance(error.reply, int) else 400
    code = ARGUMENT_INVALID if status == 400 else next((each for each in ERROR_NAMES if each // 1000 == status), 400004)
    return error_response(code, error.what)


def unknown_path_response(request: RequestReceived) -> Response:
    """The answer to a path that no API claims."""
    return error_response(NOT_FOUND, f"nothing is served at {request.method} {request.path[:200]}")


def fault_response() -> Response:
    """The answer when the stand-in itself is at fault."""
    return error_response(SERVER_ERROR, "a fault of the stand-in; its log says which")
