"""What commands ask of the namespace, by the control API: Event Hubs, their connection strings, new keys."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from standin.control_calls import CallError, answer, body_of
from standin.namespace import DEFAULT_PARTITIONS, Namespace, NamespaceError, OwnEventHub


class NamespaceControl:
    """`connection_string` gives what a client of an Event Hub is configured with, by its name and a policy's."""

    def __init__(self, namespace: Namespace, connection_string: Callable[[str, str], str]) -> None:
        self._namespace = namespace
        self._connection_string = connection_string

    def routes(self) -> list[web.RouteDef]:
        """What is added to the control API."""
        return [
            web.get("/event-hubs", self._list),
            web.post("/event-hubs", self._add),
            web.post("/event-hubs/key", self._new_key),
            web.get("/event-hubs/connection-string", self._string),
        ]

    async def _list(self, _: web.Request) -> web.Response:
        return answer({"eventHubs": [_json(each) for each in self._namespace.hubs]})

    async def _add(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        partitions = body.get("partitions", DEFAULT_PARTITIONS)
        if not isinstance(partitions, int):
            raise CallError("partitions is a whole number")
        try:
            return answer(_json(self._namespace.create(str(body.get("name", "")), partitions)))
        except NamespaceError as error:
            raise CallError(str(error)) from error

    async def _new_key(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        try:
            policy = self._namespace.new_key(str(body.get("name", "")), str(body.get("policy", "")))
        except NamespaceError as error:
            raise CallError(str(error)) from error
        return answer({"policy": policy.name})

    async def _string(self, request: web.Request) -> web.Response:
        query = request.query
        try:
            text = self._connection_string(query.get("name", ""), query.get("policy", ""))
        except NamespaceError as error:
            raise CallError(str(error)) from error
        return answer({"connectionString": text})


def _json(event_hub: OwnEventHub) -> dict[str, Any]:
    return {"name": event_hub.name, "partitions": event_hub.log.partitions, "events": event_hub.log.count()}
