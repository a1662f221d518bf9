"""The service API of a stand-in's hub, called without a socket."""

import asyncio
from pathlib import Path
from typing import Any, Final

import orjson

from edgewire.iothub import sas
from edgewire.message import Identity, identity
from edgewire.session.http.events import Headers, RequestReceived
from edgewire.session.http.server import Response
from edgewire.transport.pump import Peer
from standin.configurations import Configurations
from standin.documents import JsonObject
from standin.errors import HubError
from standin.hub import Closing, Hub
from standin.policies import OWNER
from standin.registry import symmetric_entry
from standin.routes import EVERYTHING_UPSTREAM
from standin.service import ServiceApi
from standin.service_edge import EdgeRuntime

HOST: Final = "hub.test"
NOW: Final = 1_800_000_000.0
EDGE: Final = "edge-1"
PEER: Final = Peer(address="127.0.0.1", port=1)


class Device:
    """A connected client that remembers what it was told."""

    def __init__(self, who: Identity) -> None:
        self.identity = who
        self.desired: list[JsonObject] = []
        self.methods: asyncio.Queue[tuple[str, str, bytes]] = asyncio.Queue()
        self.closed: list[Closing] = []
        self.takes_methods = True

    def close(self, reason: Closing) -> None:
        """Remember why."""
        self.closed.append(reason)

    def abort(self) -> None:
        """Nothing to cut."""

    def send_desired(self, patch: JsonObject) -> None:
        """Remember it."""
        self.desired.append(patch)

    def send_method(self, request_id: str, name: str, payload: bytes) -> bool:
        """Remember it."""
        self.methods.put_nowait((request_id, name, payload))
        return self.takes_methods

    def send_inputs(self) -> None:
        """It has no inputs."""

    def send_devicebound(self) -> None:
        """It takes no messages."""


class ServiceSite:
    """A hub with an edge device, and its service API."""

    def __init__(self, directory: Path) -> None:
        self.hub = Hub(directory, edge_device=EDGE, routes=EVERYTHING_UPSTREAM)
        if self.hub.registry.get(identity(EDGE)) is None:
            self.hub.add(symmetric_entry(identity(EDGE), edge=True))
        self.edge = EdgeRuntime(self.hub)
        self.configurations = Configurations(self.hub, self.edge, lambda: NOW)
        self.api = ServiceApi(self.hub, self.configurations, hosts={HOST}, clock=lambda: NOW)

    def connect(self, who: Identity) -> Device:
        """A client for this identity."""
        device = Device(who)
        self.hub.connect(device)
        return device

    def token(self, policy: str = OWNER, resource: str = HOST) -> str:
        """A good token of a policy."""
        found = self.hub.policies.get(policy)
        assert found is not None
        return sas.make(resource, found.signing_keys()[0], int(NOW) + 60, policy)

    async def send(
        self, method: str, path: str, body: Any = None, *, policy: str = OWNER, headers: dict[str, str] | None = None
    ) -> Response:
        """Call the API. Raises what it raises."""
        fields = {"Authorization": self.token(policy), **(headers or {})}
        request = RequestReceived(
            method=method,
            path=path,
            query="api-version=2021-04-12",
            headers=Headers(tuple(fields.items())),
            body=b"" if body is None else orjson.dumps(body),
        )
        assert self.api.claims(request)
        return await self.api.answer(request, PEER)

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The JSON of an answer; None for one without a body."""
        response = await self.send(method, path, body, **more)
        return orjson.loads(response.body) if response.body else None

    async def code_of(self, method: str, path: str, body: Any = None, **more: Any) -> int:
        """The code of a refusal."""
        try:
            await self.send(method, path, body, **more)
        except HubError as error:
            return error.code
        raise AssertionError(f"{method} {path} was not refused")
