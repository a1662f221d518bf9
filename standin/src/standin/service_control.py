"""What commands ask of the service side, by the control API: messages to devices, tokens, a manifest."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from edgewire.iothub import sas
from edgewire.iothub.bag import Bag
from edgewire.message import Identity
from standin.control_calls import CallError, answer, body_of, number_of, seconds_of
from standin.devicebound import ACK, C2dMessage
from standin.documents import JsonObject
from standin.hub import Hub
from standin.locked import Settlement
from standin.policies import OWNER, Policy, PolicyError
from standin.registry import Entry, RegistryError
from standin.service_content import read_content
from standin.service_edge import EdgeRuntime

MAX_TOKEN_S: Final = 365 * 86_400.0
"""A year: a token for a test board on the bench, not one that outlives it."""
MAX_LIFE_S: Final = 172_800.0
"""48 hours: no message to a device lives longer."""
MAX_WAIT_S: Final = 60.0
_SYSTEM: Final = ("messageId", "cid", "contentType", "contentEncoding", "userId")


class ServiceControl:
    """`event_hub_string` gives what a reader of events is configured with, by a policy."""

    def __init__(
        self, hub: Hub, edge: EdgeRuntime, *, host: str, hub_name: str, event_hub_string: Callable[[str], str]
    ) -> None:
        self._hub = hub
        self._edge = edge
        self._host = host
        self._hub_name = hub_name
        self._event_hub_string = event_hub_string

    def routes(self) -> list[web.RouteDef]:
        """What is added to the control API."""
        return [
            web.post("/c2d", self._send),
            web.delete("/c2d", self._purge),
            web.get("/feedback", self._feedback),
            web.get("/token", self._token),
            web.get("/connection-string", self._connection_string),
            web.post("/content", self._set_modules),
        ]

    async def _send(self, request: web.Request) -> web.Response:
        who = self._who(request)
        body = await body_of(request)
        sequence = self._hub.send_c2d(who, _message_of(body))
        return answer({"identity": str(who), "sequence": sequence})

    async def _purge(self, request: web.Request) -> web.Response:
        who = self._who(request)
        return answer({"identity": str(who), "purged": self._hub.purge_c2d(who)})

    async def _feedback(self, request: web.Request) -> web.Response:
        """The next batch of feedback, which is taken by that; waits for one up to `wait_s`."""
        wait_s = min(number_of(request, "wait_s", 0), MAX_WAIT_S)
        feedback, ready = self._hub.feedback, asyncio.Event()
        feedback.watch(ready.set)
        try:
            batch = feedback.lock()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while batch is None:
                        ready.clear()
                        await ready.wait()
                        batch = feedback.lock()
        finally:
            feedback.unwatch(ready.set)
        if batch is None:
            return answer({"records": []})
        feedback.settle(batch.lock_token, Settlement.COMPLETED)
        return answer({"records": batch.records()})

    async def _token(self, request: web.Request) -> web.Response:
        life_s = number_of(request, "life_s", 3600)
        if not 0 < life_s <= MAX_TOKEN_S:
            raise CallError(f"life_s is {life_s:g}; a token lives more than 0 and at most {MAX_TOKEN_S:.0f} seconds.")
        expires_at = int(time.time() + life_s)
        host = request.query.get("host") or self._hub_name
        policy = request.query.get("policy")
        if policy is not None:
            found = self._policy(policy)
            return answer({"token": sas.make(host, found.signing_keys()[0], expires_at, found.name)})
        who = self._who(request)
        keys = self._entry(who).signing_keys()
        if not keys:
            raise CallError(f"{who} proves itself by a certificate: it has no key to sign a token with.")
        return answer({"token": sas.make(sas.resource_of(host, who), keys[0], expires_at)})

    async def _connection_string(self, request: web.Request) -> web.Response:
        if request.query.get("events"):
            return answer({"connectionString": self._event_hub_string(request.query.get("policy") or OWNER)})
        if "policy" in request.query:
            return answer({"connectionString": self._policy(request.query["policy"]).connection_string(self._host)})
        entry = self._entry(self._who(request))
        return answer({"connectionString": entry.connection_string(self._hub_name, self._host)})

    async def _set_modules(self, request: web.Request) -> web.Response:
        device = request.query.get("device") or self._hub.edge_device
        content = read_content(await body_of(request))
        self._edge.apply(device, content)
        return answer({"device": device, "modules": sorted(content.modules)})

    def _who(self, request: web.Request) -> Identity:
        return self._hub.resolve(request.query.get("identity", ""))

    def _entry(self, who: Identity) -> Entry:
        entry = self._hub.registry.get(who)
        if entry is None:
            raise RegistryError(f"{who} is not in the registry.")
        return entry

    def _policy(self, name: str) -> Policy:
        policy = self._hub.policies.get(name)
        if policy is None:
            raise PolicyError(f"there is no policy {name!r}.")
        return policy


def _message_of(body: JsonObject) -> C2dMessage:
    """The message that a `POST /c2d` describes. Raises CallError."""
    properties = {str(name): str(value) for name, value in _object(body, "properties").items()}
    if body.get("ack"):
        properties[ACK] = str(body["ack"])
    system = {name: str(body[name]) for name in _SYSTEM if body.get(name)}
    if body.get("lifeSecs") is not None:
        ends_at = time.time() + seconds_of(body, "lifeSecs", 0, MAX_LIFE_S)
        system["absolute-expiry-time"] = datetime.fromtimestamp(ends_at, UTC).isoformat().replace("+00:00", "Z")
    return C2dMessage(Bag(properties, system), str(body.get("body", "")).encode())


def _object(body: JsonObject, name: str) -> dict[str, Any]:
    value = body.get(name) or {}
    if not isinstance(value, dict):
        raise CallError(f"{name} is no JSON object.")
    return value
