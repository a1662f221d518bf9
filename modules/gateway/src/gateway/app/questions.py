"""What the commands may ask: the gateway's status, who is connected, its latest events, a direct method of a device."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from edgewire.iothub.ids import is_id
from edgewire.message import Identity, identity
from gateway.app.control import Answerer, QuestionError
from gateway.dispatch.methods import MethodError, Methods
from gateway.dispatch.presence import Presence

LAST_EVENTS: Final = 200
"""That are told, unless the question says another number; the gateway remembers no more than some hundreds."""
RESPONSE_S: Final = 30.0
"""A method's time to answer, unless the command says another (edgehub.md §6.1)."""


def _none(_count: int) -> Sequence[Mapping[str, str]]:
    return ()


def answerers(
    *,
    methods: Methods,
    presence: Presence,
    status: Callable[[], Mapping[str, Any]],
    events: Callable[[int], Sequence[Mapping[str, str]]] = _none,
) -> Mapping[str, Answerer]:
    """An answerer for each question; `events` gives the latest of this number."""

    async def tell_status(_question: Mapping[str, Any]) -> Mapping[str, Any]:
        return status()

    async def tell_connected(_question: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"connected": sorted(map(str, presence.identities()))}

    async def tell_events(question: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"events": list(events(int(_seconds(question, "last", LAST_EVENTS))))}

    async def call_method(question: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            result = await methods.invoke(
                _who(question),
                str(question.get("method", "")),
                orjson.dumps(question.get("payload")),
                connect_timeout_s=_seconds(question, "connectTimeoutSecs", 0.0),
                response_timeout_s=_seconds(question, "timeoutSecs", RESPONSE_S),
            )
        except MethodError as error:
            raise QuestionError(error.fault.value, error.what) from error
        return {"status": result.status, "payload": _json_of(result.payload)}

    return {"status": tell_status, "connected": tell_connected, "events": tell_events, "method": call_method}


def _who(question: Mapping[str, Any]) -> Identity:
    device, module = question.get("device"), question.get("module")
    for each in (device, module):
        if each is not None and not (isinstance(each, str) and is_id(each)):
            raise QuestionError(400, f"{each!r} is no id of a device or module")
    if device is None:
        raise QuestionError(400, "the question names no device")
    return identity(device, module)


def _seconds(question: Mapping[str, Any], name: str, default: float) -> float:
    value = question.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise QuestionError(400, f"{name} is {value!r}: it must be a number")
    return float(value)


def _json_of(payload: bytes) -> Any:
    """A device's answer as JSON; what is none, as text."""
    try:
        return orjson.loads(payload) if payload else None
    except orjson.JSONDecodeError:
        return payload.decode(errors="replace")
