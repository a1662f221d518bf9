"""The configured endpoints, running: what routes reach by `INTO Endpoint("name")`.

Most sites have none: what makes their links is imported with the first.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgewire.message import Endpoint
from gateway.app.document import GatewaySettings
from gateway.app.lean_import import without_detection
from gateway.app.settings import Environment
from gateway.observe.events import Event
from gateway.observe.upstream import LinkFault
from gateway.upstream.proxy import LinkStatus, MessageProxy

if TYPE_CHECKING:
    from gateway.app.endpoint_secrets import EndpointSecrets
    from gateway.upstream.endpoint import EndpointSettings
    from gateway.upstream.endpoint_link import EndpointLink
    from gateway.upstream.endpoint_switch import EndpointSwitch


class EndpointRoom:
    """A way to each endpoint that the settings name, or have named since the start; links are made once `run` runs."""

    def __init__(self, environment: Environment, environ: Mapping[str, str], emit: Callable[[Event], None]) -> None:
        self._environment = environment
        self._environ = environ
        self._emit = emit
        self._settings: Mapping[str, EndpointSettings] = {}
        self._switches: dict[str, EndpointSwitch] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def use(self, settings: GatewaySettings) -> None:
        """From now on the endpoints are these; links to those that are as they were stay."""
        before, self._settings = self._settings, settings.endpoints
        for name in sorted({*before, *settings.endpoints}):
            if before.get(name) != settings.endpoints.get(name):
                self._switch(name)

    def carrier(self, endpoint: Endpoint) -> MessageProxy | None:
        """What carries messages to this endpoint; without settings for it they wait."""
        name = endpoint.name or ""
        return self._switches.get(name) or self._switch(name)

    def status(self) -> Mapping[str, LinkStatus]:
        """How the link to each endpoint is."""
        return {name: switch.status() for name, switch in sorted(self._switches.items())}

    async def run(self) -> None:
        """Keep the links up until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for name, switch in self._switches.items():
                tasks.create_task(switch.run(), name=f"endpoint {name}")
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def _switch(self, name: str) -> "EndpointSwitch":
        """The way to this endpoint, as the settings have it now."""
        from gateway.observe.endpoints import EndpointWithoutSettings  # noqa: PLC0415 — see this module's docstring
        from gateway.upstream.endpoint_switch import EndpointSwitch  # noqa: PLC0415 — as above

        switch = self._switches.get(name)
        if switch is None:
            switch = self._switches[name] = EndpointSwitch()
            if self._tasks is not None:
                self._tasks.create_task(switch.run(), name=f"endpoint {name}")
        settings = self._settings.get(name)
        if settings is None:
            self._emit(EndpointWithoutSettings(name))
            switch.use(None)
        else:
            switch.use(lambda: self._make_proxy(settings))
        return switch

    def _make_proxy(self, settings: "EndpointSettings") -> MessageProxy:
        from gateway.upstream.endpoint_proxy import EndpointProxy, EndpointTimes  # noqa: PLC0415 — as above

        return EndpointProxy(
            settings.name,
            make_link=lambda: self._make_link(settings),
            emit=self._emit,
            times=EndpointTimes(stall_s=float(self._environment.upstream_stall_s)),
        )

    async def _make_link(self, settings: "EndpointSettings") -> "EndpointLink":
        """A new link, with secrets as they are now. Raises LinkDownError if there are none."""
        from gateway.app.endpoint_secrets import EndpointSecrets  # noqa: PLC0415 — as above
        from gateway.upstream.endpoint import AccessError  # noqa: PLC0415 — as above
        from gateway.upstream.endpoint_link import LinkDownError  # noqa: PLC0415 — as above

        secrets = EndpointSecrets(self._environment.secrets_dir, self._environ)
        try:
            return await asyncio.to_thread(_new_link, settings, secrets)
        except AccessError as error:
            raise LinkDownError(LinkFault.ENVIRONMENT, str(error)) from error


def _new_link(settings: "EndpointSettings", secrets: "EndpointSecrets") -> "EndpointLink":
    """In a thread: the first one imports the client, which takes 0.3 s, and on a Pi a second or two.

    Raises AccessError.
    """
    from gateway.upstream.endpoint import EndpointType  # noqa: PLC0415 — see this module's docstring

    authorities = secrets.authorities(settings)
    if settings.type is EndpointType.KAFKA:
        kafka = secrets.kafka_login(settings)
        from gateway.upstream.kafka_link import KafkaLink  # noqa: PLC0415 — 8 MB

        return KafkaLink(settings, kafka, authorities)
    access = secrets.event_hub(settings)
    with without_detection():
        from gateway.upstream.eventhub_link import EventHubLink  # noqa: PLC0415 — 11 MB
    return EventHubLink(settings, access, authorities)
