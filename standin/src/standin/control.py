"""The control API: HTTP on a Unix socket, for the commands of a stand-in that runs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from edgewire.message import Identity, identity
from standin.control_calls import CallError, answer, body_of, number_of, seconds_of, texts_of
from standin.documents import JsonObject
from standin.errors import HubError
from standin.faults import DESCRIPTIONS, FaultError
from standin.hub import Hub
from standin.policies import PolicyError
from standin.registry import Entry, RegistryError, certificate_entry, symmetric_entry
from standin.twins import TwinError

_MAX_EVENTS: Final = 1000
_MAX_WAIT_S: Final = 60.0
MAX_METHOD_S: Final = 300.0
"""edgehub.md §6.1. Its lower bound of 5 s is left out: tests want to be quick."""
MAX_BODY_BYTES: Final = 1024 * 1024
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refuse = Callable[[int, str], web.Response]
"""Takes the status and what was wrong."""


class ControlApi:
    """What the commands ask of a running stand-in. Whoever may open the socket may do everything."""

    def __init__(
        self,
        hub: Hub,
        *,
        hub_name: str,
        host: str,
        environment: Callable[[str], Mapping[str, str]],
        page: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._hub = hub
        self._page = page
        self._hub_name = hub_name
        self._host = host
        self._environment = environment

    def application(self, refuse: Refuse) -> web.Application:
        """The API as an aiohttp application; `refuse` gives a refusal its form."""
        application = web.Application(middlewares=[_refused_by(refuse)], client_max_size=MAX_BODY_BYTES)
        application.add_routes(
            [
                web.get("/status", self._status),
                web.get("/events", self._events),
                web.get("/devices", self._devices),
                web.post("/devices", self._add_device),
                web.patch("/devices", self._enable_device),
                web.delete("/devices", self._remove_device),
                web.get("/twin", self._twin),
                web.patch("/twin", self._patch_twin),
                web.post("/method", self._method),
                web.get("/environment", self._module_environment),
                web.get("/faults", self._faults),
                web.get("/faults/what", self._what_faults_do),
                web.patch("/faults", self._change_faults),
                web.post("/connections/drop", self._drop_connections),
                web.get("/notes", self._lines),
            ]
        )
        return application

    async def _status(self, _: web.Request) -> web.Response:
        return answer(
            {
                "hub": self._hub_name,
                "address": self._host,
                "edgeDevice": self._hub.edge_device,
                "page": self._page(),
                "events": self._hub.events.count(),
                "lastSequence": self._hub.events.last_sequence,
                "connected": [str(who) for who in self._hub.connected()],
                "counters": dict(sorted(self._hub.counters.items())),
            }
        )

    async def _events(self, request: web.Request) -> web.Response:
        after = number_of(request, "after", 0)
        limit = int(min(number_of(request, "limit", _MAX_EVENTS), _MAX_EVENTS))
        wait_s = min(number_of(request, "wait_s", 0), _MAX_WAIT_S)
        most = int(number_of(request, "body_bytes", 0))
        if wait_s:
            await self._hub.events.wait(int(after), timeout_s=wait_s)
        events = self._hub.events.read(int(after), limit)
        return answer({"events": [event.shown(most) if most else event.to_json() for event in events]})

    async def _devices(self, _: web.Request) -> web.Response:
        connected = set(self._hub.connected())
        entries = self._hub.registry.entries()
        return answer({"devices": [self._entry_json(entry, entry.identity in connected) for entry in entries]})

    async def _add_device(self, request: web.Request) -> web.Response:
        entry = self._hub.add(_new_entry(await body_of(request)))
        return answer(self._entry_json(entry, connected=False))

    async def _enable_device(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        who = self._who(request)
        self._hub.set_enabled(who, enabled=bool(body.get("enabled")))
        return answer({"identity": str(who), "enabled": bool(body.get("enabled"))})

    async def _remove_device(self, request: web.Request) -> web.Response:
        who = self._who(request)
        self._hub.remove(who)
        return answer({"identity": str(who)})

    async def _twin(self, request: web.Request) -> web.Response:
        who = self._who(request)
        return answer({"identity": str(who), "properties": self._hub.twin(who).for_device()})

    async def _patch_twin(self, request: web.Request) -> web.Response:
        who = self._who(request)
        version = self._hub.patch_desired(who, await body_of(request))
        return answer({"identity": str(who), "version": version})

    async def _method(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        result = await self._hub.invoke_method(
            self._who(request),
            str(body.get("methodName", "")),
            body.get("payload"),
            response_timeout_s=seconds_of(body, "responseTimeoutInSeconds", 30, MAX_METHOD_S),
            connect_timeout_s=seconds_of(body, "connectTimeoutInSeconds", 0, MAX_METHOD_S),
        )
        return answer({"status": result.status, "payload": _payload_json(result.payload)})

    async def _module_environment(self, request: web.Request) -> web.Response:
        return answer(dict(self._environment(request.query.get("module", ""))))

    async def _faults(self, _: web.Request) -> web.Response:
        return answer(asdict(self._hub.faults))

    async def _what_faults_do(self, _: web.Request) -> web.Response:
        return answer(dict(DESCRIPTIONS))

    async def _change_faults(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        if not body:
            self._hub.faults.clear()
        self._hub.faults.change(body)
        return answer(asdict(self._hub.faults))

    async def _lines(self, request: web.Request) -> web.Response:
        """What was told lately; waits for more up to `wait_s`."""
        after = int(number_of(request, "after", 0))
        await self._hub.notes.wait(after, min(number_of(request, "wait_s", 0), _MAX_WAIT_S))
        return answer({"notes": self._hub.notes.after(after), "last": self._hub.notes.last})

    async def _drop_connections(self, _: web.Request) -> web.Response:
        return answer({"dropped": self._hub.drop_connections()})

    def _who(self, request: web.Request) -> Identity:
        return self._hub.resolve(request.query.get("identity", ""))

    def _entry_json(self, entry: Entry, connected: bool) -> JsonObject:  # noqa: FBT001 - a value of the answer
        return {
            "identity": str(entry.identity),
            "deviceId": entry.identity.device,
            "moduleId": entry.identity.module,
            "authentication": entry.authentication.value,
            "primaryKey": entry.primary_key,
            "secondaryKey": entry.secondary_key,
            "thumbprints": list(entry.thumbprints),
            "enabled": entry.enabled,
            "connected": connected,
            "changedAt": self._hub.changed_at.get(entry.identity),
            "waiting": self._hub.c2d_waiting(entry.identity),
            "connectionString": entry.connection_string(self._hub_name, self._host),
        }


def refused_to_command(status: int, what: str) -> web.Response:
    """The form of a refusal for commands, `{"message": …}`, as the workload API has it."""
    return answer({"message": what}, status)


def refused_to_page(status: int, what: str) -> web.Response:
    """The form of a refusal for a page, that of all our pages."""
    return answer({"error": {"message": what}}, status)


def _refused_by(refuse: Refuse) -> Middleware:
    @web.middleware
    async def answered(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (CallError, RegistryError, FaultError, PolicyError) as error:
            return refuse(400, str(error))
        except TwinError as error:
            return refuse(error.status, error.what)
        except HubError as error:
            return refuse(error.status, f"{error.code}: {error.what}")
        except web.HTTPException as error:
            return refuse(error.status, f"{request.method} {request.path}: {error.reason}")

    return answered


def _new_entry(body: dict[str, Any]) -> Entry:
    """The entry a `POST /devices` describes."""
    device, _, module = str(body.get("identity", "")).partition("/")
    who = identity(device, module or None)
    if body.get("x509"):
        return certificate_entry(who, texts_of(body, "thumbprints"))
    return symmetric_entry(who, keys=texts_of(body, "keys"), edge=bool(body.get("iotEdge")))


def _payload_json(payload: bytes) -> Any:
    if not payload:
        return None
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode(errors="replace")
