"""The ways to the cloud: the links to edgeHub or the hub, and the twin that comes with the module."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from edgewire.iothub.ids import is_id
from edgewire.message import UPSTREAM, Endpoint, Identity, identity
from gateway.app.configuration import Configuration
from gateway.app.lean_import import import_urllib3, without_detection
from gateway.app.settings import ConfigError, Environment
from gateway.app.twin_settings import DesiredSettings, TwinSync
from gateway.observe.events import Event
from gateway.upstream.methods import ModuleMethods
from gateway.upstream.proxy import CloudProxy, LinkStatus, MessageProxy, Window

if TYPE_CHECKING:
    from gateway.app.devices_upstream import DevicesUpstream  # 3 MB that a gateway without it does without

CLOSE_S: Final = 1.5
"""For the link's own goodbye; the whole shutdown must fit into five seconds."""

EDGE_VARIABLES: Final = ("IOTEDGE_WORKLOADURI", "EdgeHubConnectionString")
"""One of these is set where there is an edgeHub: by IoT Edge, or by its simulator."""


def has_upstream(environment: Environment, environ: Mapping[str, str]) -> bool:
    """Whether there is an edgeHub to send to."""
    if environment.upstream == "auto":
        return any(environ.get(name) for name in EDGE_VARIABLES)
    return environment.upstream == "edgehub"


def make_module(environment: Environment, emit: Callable[[Event], None]) -> CloudProxy:
    """The way as the module. Raises ConfigError."""
    # The SDK: 6 MB and 0.15 s of the start that a gateway without an edgeHub does without.
    with without_detection():
        import_urllib3()
        from gateway.upstream.module_proxy import LinkTimes, ModuleProxy  # noqa: PLC0415 — see above

    return ModuleProxy(
        emit=emit,
        times=LinkTimes(close_s=CLOSE_S, stall_s=float(environment.upstream_stall_s)),
        window=Window(max_messages=environment.upstream_window),
        below=lower_gateways(environment.lower_gateways),
    )


def lower_gateways(text: str) -> frozenset[Identity]:
    """The modules that GATEWAY_LOWER_GATEWAYS names. Raises ConfigError."""
    found = set()
    for name in filter(None, map(str.strip, text.split(","))):
        device, _, module = name.partition("/")
        if not is_id(device) or not is_id(module):
            raise ConfigError(
                f"GATEWAY_LOWER_GATEWAYS has '{name}': it must be a module of an Edge device, written DEVICE/MODULE, "
                "as edge-2/gateway. Correct it; commas go between several"
            )
        found.add(identity(device, module))
    return frozenset(found)


def make_twin(
    environment: Environment,
    module: CloudProxy,
    *,
    configuration: Configuration,
    status: Callable[[], Mapping[str, Any]],
    connections: Callable[[], Mapping[str, Any]],
    certificates: Callable[[], Mapping[str, Any]],
    emit: Callable[[Event], None],
) -> TwinSync:
    """The module's twin and methods, which come down its link."""
    twin = TwinSync(
        configuration=configuration,
        desired=DesiredSettings(configuration) if environment.settings_file is None else None,
        proxy=module,
        methods=ModuleMethods(status=status, emit=emit),
        connections=connections,
        certificates=certificates,
        emit=emit,
    )
    module.listen(twin)
    return twin


class Upstream:
    """Keeps the links, and the module's twin and methods.

    `module` and `devices` are the two ways; where there are both, `$upstream` has each message go by the one that is
    its, and inputs of modules are reached as the module always.
    """

    def __init__(
        self,
        *,
        module: CloudProxy | None = None,
        twin: TwinSync | None = None,
        devices: "DevicesUpstream | None" = None,
    ) -> None:
        self._module = module
        self._devices = devices
        self.twin = twin
        self._cloud: MessageProxy | None = module if devices is None else devices.beside(module)
        self._links: list[asyncio.Task[None]] = []

    def carrier(self, endpoint: Endpoint) -> MessageProxy | None:
        """What carries messages to the cloud, or to an input of a module: those are reached through edgeHub alone."""
        return self._cloud if endpoint == UPSTREAM else self._module

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Open the links."""
        runners = {"link to edgeHub": self._module, "module twin": self.twin, "on behalf of devices": self._devices}
        self._links = [
            tasks.create_task(runner.run(), name=name) for name, runner in runners.items() if runner is not None
        ]

    def links(self) -> tuple[LinkStatus | None, LinkStatus | None]:
        """How the link as the module is, and the one on behalf of devices; None for a way that is not used."""
        return (
            None if self._module is None else self._module.status(),
            None if self._devices is None else self._devices.proxy.status(),
        )

    def links_by_name(self) -> Mapping[str, LinkStatus | None]:
        """The same by name."""
        return dict(zip(("module", "devices"), self.links(), strict=True))

    async def stop(self) -> None:
        """Close the links."""
        for task in self._links:
            task.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
