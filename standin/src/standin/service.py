"""The hub's service API over HTTPS: who may call what, and the answers of its parts (iothub_wire.md §4)."""

import inspect
from collections.abc import Callable, Collection

from edgewire.errors import ProtocolError
from edgewire.iothub.http.methods import CALLER
from edgewire.line.escapes import percent_decode
from edgewire.session.http.events import RequestReceived
from edgewire.session.http.server import Response
from edgewire.transport.pump import Peer
from standin.configurations import Configurations
from standin.errors import HubError
from standin.hub import Hub
from standin.policies import Policy, PolicyError
from standin.service_configurations import ConfigurationService
from standin.service_http import Route, call_of, matching, segments
from standin.service_registry import RegistryService
from standin.service_twins import TwinService

_UNAUTHORIZED = 401002
_READING = frozenset({"GET", "HEAD"})


class ServiceApi:
    """Implements `standin.http.HttpApi`.

    `hosts`: what the hub is called in tokens, in lower case without port.
    """

    def __init__(
        self, hub: Hub, configurations: Configurations, *, hosts: Collection[str], clock: Callable[[], float]
    ) -> None:
        self._hub = hub
        self._configurations = configurations
        self._hosts = hosts
        self._clock = clock
        parts = (RegistryService(hub), TwinService(hub, configurations.statuses), ConfigurationService(configurations))
        self._routes: list[Route] = [each for part in parts for each in part.routes()]

    def claims(self, request: RequestReceived) -> bool:
        """Whether the request has a path of the service API; a module's method call is edgeHub's."""
        return bool(matching(self._routes, request)) and request.headers.get(CALLER) is None

    async def answer(self, request: RequestReceived, peer: Peer) -> Response:
        """Answer a request. Raises HubError and ProtocolError for what is refused."""
        del peer  # the service side proves itself by a token only
        policy = self._policy_of(request)
        found = [each for each in matching(self._routes, request) if each.method == request.method]
        if not found:
            raise ProtocolError(f"{request.method} is not served at {request.path[:200]}", reply=405)
        chosen = found[0]
        if chosen.right not in policy.rights:
            raise HubError(403000, f"the policy {policy.name} has no {chosen.right.value}; use one that has")
        if self._hub.faults.throttling:
            raise HubError(429001, "throttled on purpose, as asked for")
        answered = chosen.handler(call_of(chosen, request))
        response = await answered if inspect.isawaitable(answered) else answered
        if request.method not in _READING:
            # What changed may bring a device under a configuration, or out of one.
            self._configurations.reconcile()
        return response

    def _policy_of(self, request: RequestReceived) -> Policy:
        if self._hub.faults.refusing:
            raise HubError(503001, "refusing on purpose, as asked for")
        token = request.headers.get("Authorization")
        if not token:
            raise HubError(_UNAUTHORIZED, "the request has no Authorization")
        path = tuple(percent_decode(part, "the path") for part in segments(request))
        try:
            return self._hub.policies.admit(token, hosts=self._hosts, path=path, now=self._clock())
        except PolicyError as error:
            self._hub.counters["refused: service"] += 1
            self._hub.note(f"refused {request.method} {request.path}: {error}")
            raise HubError(_UNAUTHORIZED, "the token proves no policy of this hub") from error
