"""Paths of the device API: what a request is for, and whose.

Fixed parts count whatever their case (.NET writes `deviceBound`); ids are percent-decoded once. Nothing is normalised:
an empty segment, a dot segment or an id with a slash in it, escaped or not, is refused. Spec: iothub_wire.md §3, §1.11.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub.ids import ID_CHARACTERS, is_id
from edgewire.iothub.limits import MAX_ID_CHARS
from edgewire.line.escapes import percent_decode, percent_encode
from edgewire.message import Identity, identity

API_VERSION: Final = "2021-04-12"
"""What we write ourselves; any date is taken."""

_PATH: Final = re.compile(
    r"/(?:devices/([^/]+)(?:/modules/([^/]+))?/messages/(?:(events)|(devicebound)(?:/([^/]+)(?:/(abandon))?)?)"
    r"|twins/([^/]+)(?:/modules/([^/]+))?/methods)",
    re.IGNORECASE,
)
_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:-[a-z0-9]{1,16})?")
_LOCK_TOKEN: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_DOTS: Final = frozenset({".", ".."})
_TRUE: Final = frozenset({"", "true"})


class Action(Enum):
    """What a request of the device API asks for."""

    SEND = "send"
    RECEIVE = "receive"
    COMPLETE = "complete"
    REJECT = "reject"
    ABANDON = "abandon"
    INVOKE = "invoke"
    """A method of another device or module, asked for by a module."""


METHODS: Final = {
    Action.SEND: "POST",
    Action.RECEIVE: "GET",
    Action.COMPLETE: "DELETE",
    Action.REJECT: "DELETE",
    Action.ABANDON: "POST",
    Action.INVOKE: "POST",
}
"""The HTTP method of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """What is asked, and of whom: the identity in the path. `lock_token` is empty where there is none."""

    action: Action
    identity: Identity
    lock_token: str = ""


def is_device_path(path: str) -> bool:
    """Whether a path has the form of one of the device API, whoever its ids name."""
    return _PATH.fullmatch(path) is not None


def read_request(method: str, path: str, query: str) -> DeviceRequest | None:
    """What a request asks for; None for a path that is not of the device API.

    Raises ProtocolError with status 400 for ids, versions and lock tokens that are none, 405 for another method.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    device, module, events, _, lock, abandon, target, target_module = found.groups()
    asked = _read_query(query)
    if target is not None:
        return _request(method, Action.INVOKE, _read_identity(target, target_module))
    who = _read_identity(device, module)
    _check_version(asked)
    if events is not None:
        return _request(method, Action.SEND, who)
    if module is not None:
        raise ProtocolError("modules get no cloud-to-device messages", reply=400)
    if lock is None:
        return _request(method, Action.RECEIVE, who)
    if abandon is not None:
        return _request(method, Action.ABANDON, who, _read_lock(lock))
    return _request(method, Action.REJECT if _is_reject(asked) else Action.COMPLETE, who, _read_lock(lock))


def allowed_methods(path: str, query: str) -> tuple[str, ...]:
    """The HTTP methods that this target has: what an answer of 405 must name (RFC 9110 §15.5.6)."""
    return tuple(method for method in sorted(set(METHODS.values())) if _is_served(method, path, query))


def write_request(request: DeviceRequest) -> tuple[str, str]:
    """The method and the target, path and query, of a request."""
    who, action = request.identity, request.action
    of_module = "" if who.module is None else f"/modules/{percent_encode(who.module)}"
    version = f"?api-version={API_VERSION}"
    if action is Action.INVOKE:
        return METHODS[action], f"/twins/{percent_encode(who.device)}{of_module}/methods{version}"
    base = f"/devices/{percent_encode(who.device)}{of_module}/messages"
    if action is Action.SEND:
        return METHODS[action], f"{base}/events{version}"
    lock = f"/{request.lock_token}" if request.lock_token else ""
    end = "/abandon" if action is Action.ABANDON else ""
    reject = "&reject" if action is Action.REJECT else ""
    return METHODS[action], f"{base}/devicebound{lock}{end}{version}{reject}"


def _is_served(method: str, path: str, query: str) -> bool:
    try:
        return read_request(method, path, query) is not None
    except ProtocolError:
        return False


def _request(method: str, action: Action, who: Identity, lock: str = "") -> DeviceRequest:
    if method != METHODS[action]:
        raise ProtocolError(f"{method} is not served there, {METHODS[action]} is", reply=405, spec="RFC 9110 §15.5.6")
    return DeviceRequest(action=action, identity=who, lock_token=lock)


def _read_identity(device: str, module: str | None) -> Identity:
    return identity(_read_id(device, "device"), None if module is None else _read_id(module, "module"))


def _read_id(text: str, what: str) -> str:
    try:
        found = percent_decode(text, f"the {what} id in the path")
    except ProtocolError as error:
        raise ProtocolError(error.what, reply=400) from None
    if found in _DOTS or not is_id(found):
        raise ProtocolError(
            f"the path has no {what} id where it should: at most {MAX_ID_CHARS} {ID_CHARACTERS}, and no dot segment",
            reply=400,
        )
    return found


def _read_lock(text: str) -> str:
    if _LOCK_TOKEN.fullmatch(text) is None:
        raise ProtocolError("the path has no lock token where it should: what an ETag had, without quotes", reply=400)
    return text


def _read_query(query: str) -> dict[str, str]:
    """The parameters by their names; those we do not know are passed over, as IoT Hub does."""
    asked: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if name in asked:
            raise ProtocolError(f"the query has '{name[:64]}' twice", reply=400)
        asked[name] = value
    return asked


def _check_version(asked: dict[str, str]) -> None:
    if _VERSION.fullmatch(asked.get("api-version", "")) is None:
        raise ProtocolError(f"the query has no api-version, such as 'api-version={API_VERSION}'", reply=400)


def _is_reject(asked: dict[str, str]) -> bool:
    value = asked.get("reject")
    if value is not None and value.lower() not in _TRUE:
        raise ProtocolError("'reject' in the query takes no value", reply=400)
    return value is not None
