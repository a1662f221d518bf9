"""Configurations and deployments of the service API (iothub_wire.md §4.1)."""

from typing import Any, Final

from edgewire.session.http.server import Response
from standin.configurations import Configuration, Configurations, configuration_json
from standin.errors import HubError
from standin.policies import Right
from standin.service_content import read_content
from standin.service_http import ARGUMENT, NOTHING, Call, Route, answer, route

MAX_LIST: Final = 100
"""As many as there can be."""


class ConfigurationService:
    """Answers what is asked of configurations."""

    def __init__(self, configurations: Configurations) -> None:
        self._configurations = configurations

    def routes(self) -> list[Route]:
        """What it serves."""
        read, write = Right.REGISTRY_READ, Right.REGISTRY_WRITE
        return [
            route("POST", "/devices/*/applyConfigurationContent", write, self._apply),
            route("GET", "/configurations", read, self._list),
            route("POST", "/configurations/testQueries", read, self._test),
            route("GET", "/configurations/*", read, self._get),
            route("PUT", "/configurations/*", write, self._put),
            route("DELETE", "/configurations/*", write, self._delete),
        ]

    def _apply(self, call: Call) -> Response:
        self._configurations.edge.apply(call.target().device, read_content(call.object()))
        return NOTHING

    def _list(self, call: Call) -> Response:
        top = call.number("top", most=MAX_LIST) or MAX_LIST
        return answer([self._document(each) for each in self._configurations.all()[:top]])

    def _get(self, call: Call) -> Response:
        return self._answer(self._configurations.get(call.names[0]))

    def _put(self, call: Call) -> Response:
        return self._answer(self._configurations.put(call.names[0], call.object(), call.etag()))

    def _delete(self, call: Call) -> Response:
        self._configurations.delete(call.names[0], call.etag())
        return NOTHING

    def _test(self, call: Call) -> Response:
        body = call.object()
        target, queries = body.get("targetCondition") or "", body.get("customMetricQueries") or {}
        if not isinstance(target, str) or not isinstance(queries, dict):
            raise HubError(ARGUMENT, "targetCondition is a text, customMetricQueries a JSON object of texts")
        return answer(self._configurations.test(target, queries))

    def _answer(self, configuration: Configuration) -> Response:
        return answer(self._document(configuration), etag=configuration.etag)

    def _document(self, configuration: Configuration) -> Any:
        return configuration_json(configuration, self._configurations.metrics(configuration))
