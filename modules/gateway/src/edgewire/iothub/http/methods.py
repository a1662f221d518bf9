"""A direct method asked for by HTTP: the JSON of the call and of its result, both ways.

Spec: edgehub.md §6.1, iothub_wire.md §4.1.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from edgewire.errors import ProtocolError
from edgewire.iothub.ids import is_id
from edgewire.iothub.limits import MAX_METHOD_NAME_CHARS, MAX_METHOD_PAYLOAD_BYTES
from edgewire.message import Identity, identity

CALLER: Final = "x-ms-edge-moduleId"
"""The header by which a module says who it is: `device/module`."""
MIN_RESPONSE_TIMEOUT_S: Final = 5
MAX_TIMEOUT_S: Final = 300
DEFAULT_RESPONSE_TIMEOUT_S: Final = 30
DEFAULT_CONNECT_TIMEOUT_S: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A method to be called; `payload` is JSON."""

    name: str
    payload: bytes
    response_timeout_s: int = DEFAULT_RESPONSE_TIMEOUT_S
    connect_timeout_s: int = DEFAULT_CONNECT_TIMEOUT_S


def read_invocation(body: bytes) -> Invocation:
    """The call that a body asks for; members we do not know are passed over. Raises ProtocolError (400)."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"the body is not JSON: {error}", reply=400) from None
    if not isinstance(said, dict):
        raise ProtocolError("the body is no JSON object", reply=400)
    name = said.get("methodName")
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_METHOD_NAME_CHARS or not name.isprintable():
        raise ProtocolError(f"'methodName' is no text of 1 to {MAX_METHOD_NAME_CHARS} characters", reply=400)
    payload = orjson.dumps(said.get("payload"))
    if len(payload) > MAX_METHOD_PAYLOAD_BYTES:
        raise ProtocolError(f"'payload' takes {len(payload)} bytes; the limit is {MAX_METHOD_PAYLOAD_BYTES}", reply=400)
    return Invocation(
        name=name,
        payload=payload,
        response_timeout_s=_timeout(
            said, "responseTimeoutInSeconds", MIN_RESPONSE_TIMEOUT_S, DEFAULT_RESPONSE_TIMEOUT_S
        ),
        connect_timeout_s=_timeout(said, "connectTimeoutInSeconds", 0, DEFAULT_CONNECT_TIMEOUT_S),
    )


def write_invocation(invocation: Invocation) -> bytes:
    """The body that asks for a call."""
    return orjson.dumps(
        {
            "methodName": invocation.name,
            "payload": orjson.Fragment(invocation.payload or b"null"),
            "responseTimeoutInSeconds": invocation.response_timeout_s,
            "connectTimeoutInSeconds": invocation.connect_timeout_s,
        }
    )


def write_result(status: int, payload: bytes) -> bytes:
    """The body of the answer: a payload that is no JSON, which devices should not send, becomes a text."""
    return orjson.dumps({"status": status, "payload": _as_json(payload)})


def read_caller(text: str) -> Identity:
    """Which module a header says it is. Raises ProtocolError (400)."""
    device, slash, module = text.partition("/")
    if not slash or not is_id(device) or not is_id(module):
        raise ProtocolError(f"the header '{CALLER}' is not 'device/module'", reply=400)
    return identity(device, module)


def _timeout(said: dict[str, Any], name: str, least: int, otherwise: int) -> int:
    value = said.get(name)
    if value is None:
        return otherwise
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_TIMEOUT_S:
        raise ProtocolError(f"'{name}' is no number of seconds from {least} to {MAX_TIMEOUT_S}", reply=400)
    return value


def _as_json(payload: bytes) -> Any:
    if not payload:
        return None
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode("utf-8", "replace")
