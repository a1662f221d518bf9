"""The direct methods of the gateway's module: `ping`, `getStatus`, and what the wiring adds."""

import asyncio
import difflib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from edgewire.iothub.limits import MAX_METHOD_PAYLOAD_BYTES
from gateway.observe.events import Event
from gateway.observe.upstream import MethodCalled, MethodResult
from gateway.upstream.proxy import MethodReply

Method = Callable[[Any], Awaitable[MethodReply] | MethodReply]
"""Takes the call's payload, a JSON value. Raises MethodError for a payload it cannot use."""


class MethodError(Exception):
    """The caller's payload is of no use; the text says what it must be."""


class ModuleMethods:
    """Answers direct methods by name, in any case: a person types them."""

    def __init__(
        self,
        *,
        status: Callable[[], Mapping[str, Any]],
        emit: Callable[[Event], None],
        more: Mapping[str, Method] | None = None,
    ) -> None:
        self._status = status
        self._emit = emit
        methods = {"ping": _ping, "getStatus": self._get_status} | dict(more or {})
        self._methods = {name.lower(): method for name, method in methods.items()}
        self._names = tuple(sorted(methods))

    async def call(self, name: str, payload: Any) -> MethodReply:
        """The answer to one call; never raises for what a caller can do."""
        method = self._methods.get(name.lower())
        if method is None:
            return self._end(MethodResult.REFUSED, name, self._unknown(name))
        try:
            reply = method(payload)
            if not isinstance(reply, MethodReply):
                reply = await reply
        except MethodError as error:
            return self._end(MethodResult.REFUSED, name, MethodReply(400, {"message": str(error)}))
        except asyncio.CancelledError:
            self._emit(MethodCalled(MethodResult.FAILED, name, 504))
            raise
        except Exception as error:  # noqa: BLE001 — the caller is told, and the link that brought the call goes on
            text = f"'{name}' failed in the gateway: {type(error).__name__} {error}".strip()
            return self._end(MethodResult.FAILED, name, MethodReply(500, {"message": text}))
        return self._checked(name, reply)

    def _checked(self, name: str, reply: MethodReply) -> MethodReply:
        """The reply, or an error that says why it cannot be sent."""
        try:
            size = len(json.dumps(reply.payload))
        except (TypeError, ValueError) as error:
            text = f"'{name}' gave an answer that is not JSON: {error}"
            return self._end(MethodResult.FAILED, name, MethodReply(500, {"message": text}))
        if size > MAX_METHOD_PAYLOAD_BYTES:
            text = f"the answer of '{name}' takes {size} bytes; IoT Hub takes at most {MAX_METHOD_PAYLOAD_BYTES}"
            return self._end(MethodResult.FAILED, name, MethodReply(500, {"message": text}))
        return self._end(MethodResult.DONE if reply.status < 400 else MethodResult.REFUSED, name, reply)

    def _unknown(self, name: str) -> MethodReply:
        near = difflib.get_close_matches(name, self._names, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        text = f"the gateway has no method '{name}'{hint}"
        return MethodReply(404, {"message": text, "methods": list(self._names)})

    def _end(self, result: MethodResult, name: str, reply: MethodReply) -> MethodReply:
        self._emit(MethodCalled(result, name, reply.status))
        return reply

    def _get_status(self, payload: Any) -> MethodReply:
        if payload not in (None, {}, ""):
            raise MethodError("getStatus takes no payload: send null or {}")
        return MethodReply(200, dict(self._status()))


def _ping(payload: Any) -> MethodReply:
    return MethodReply(200, payload)
