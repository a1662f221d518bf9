"""One stand-in, running: in a test by `async with`, or under the command `standin run`."""

import asyncio
import errno
import fcntl
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from aiohttp import web

from edgewire.iothub.bag import Bag
from edgewire.message import Identity, Properties, identity
from edgewire.session.amqp.server import AmqpServer
from edgewire.session.mqtt.server import ServerSession
from edgewire.transport.listener import ListenError, listen
from edgewire.transport.pump import Accept, Peer
from edgewire.transport.reports import Report
from edgewire.transport.tls import ClientCertificates, Security
from edgewire.transport.websocket import WebSocketService
from standin import amqp, devicebound
from standin.admission import Admission
from standin.amqp import AmqpConnection
from standin.amqp_nodes import Guests, Node
from standin.amqp_service import ServiceMessaging
from standin.certificates import Certificates
from standin.configurations import Configurations
from standin.control import ControlApi, Refuse, refused_to_command, refused_to_page
from standin.devicebound import C2dMessage, C2dSettings
from standin.documents import JsonObject
from standin.dps import DEFAULT_OPTIONS, DpsOptions, Provisioning
from standin.dps_amqp import DpsAmqp
from standin.dps_control import DpsControl
from standin.dps_http import DpsHttp
from standin.dps_hubs import OwnHub
from standin.dps_linked import LinkedHub, LinkedHubs
from standin.eventhub import EventHub, connection_string, entity_of
from standin.eventhub_addresses import DEFAULT_GROUP
from standin.events import EventLog, EventLogError
from standin.http import HttpApi, Router
from standin.http_device import DeviceApi
from standin.hub import Hub, MethodResult
from standin.mqtt import LIMITS, MqttConnection
from standin.namespace import Namespace, NamespaceError
from standin.namespace_control import NamespaceControl
from standin.namespace_http import PublisherApi
from standin.policies import OWNER, RIGHTS, Policy, PolicyError
from standin.registry import Entry, RegistryError, certificate_entry, symmetric_entry
from standin.routes import EVERYTHING_UPSTREAM, Routes
from standin.service import ServiceApi
from standin.service_control import ServiceControl
from standin.service_edge import EdgeRuntime
from standin.workload import Workload

DEFAULT_HUB: Final = "standin-hub.test"
DEFAULT_ADDRESS: Final = "127.0.0.7"
DEFAULT_EDGE_DEVICE: Final = "edge-1"
_API_VERSION: Final = "2020-07-07"
WORKLOAD_SOCKET: Final = "workload.sock"
CONTROL_SOCKET: Final = "control.sock"
_MAX_SOCKET_PATH: Final = 107
"""Linux: sun_path has 108 bytes, the last of them zero."""
_CLOSE_S: Final = 2.0


class StandInError(Exception):
    """The stand-in cannot start; the sentence says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where to listen; 0 takes a free port, None leaves the listener out."""

    mqtt: int = 8883
    websocket: int | None = 443
    amqp: int | None = 5671
    page: int | None = None
    """Of the page for people, over plain HTTP."""


class StandIn:
    """A local IoT Hub, edgeHub and workload API, over all that `directory` holds from earlier runs.

    `hub_name`: what the hub is called; clients may also name the address in its place. `edge_device`: the device whose
    modules `routes` and the workload API serve. `partitions`: of the events, as many as an earlier run made if nothing
    is said. `consumer_groups`: those besides `$Default`. `show`: gets a line for everything that arrives or is refused.
    """

    def __init__(
        self,
        directory: Path,
        *,
        address: str = DEFAULT_ADDRESS,
        hub_name: str = DEFAULT_HUB,
        edge_device: str = DEFAULT_EDGE_DEVICE,
        modules: Sequence[str] = (),
        ports: Ports = Ports(),
        routes: Routes = EVERYTHING_UPSTREAM,
        certificates: Path | None = None,
        certificate_days: int | None = None,
        dps: DpsOptions = DEFAULT_OPTIONS,
        partitions: int | None = None,
        consumer_groups: Sequence[str] = (),
        c2d: C2dSettings = devicebound.DEFAULTS,
        show: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.directory = directory.resolve()
        self.address = address
        self.hub_name = hub_name
        self.edge_device = edge_device
        self._modules = tuple(modules)
        self._ports = ports
        self._routes = routes
        self._certificate_folder = certificates or self.directory / "certs"
        self._certificate_days = certificate_days
        self._dps_options = dps
        self._c2d = c2d
        self._partitions = partitions
        self._consumer_groups = (DEFAULT_GROUP, *consumer_groups)
        self._show = show
        self._real_clock = clock
        self._stack = AsyncExitStack()
        self.notices: list[str] = []
        """Sentences about what could not be had, for the person who started this."""
        self.mqtt_port = 0
        self.websocket_port: int | None = None
        self.amqp_port: int | None = None
        self.page_port: int | None = None

    async def __aenter__(self) -> Self:
        """Start. Raises StandInError, CaError or RegistryError; then nothing of it runs."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # What tests and commands ask

    @property
    def trust_bundle(self) -> str:
        """The root certificate in PEM: `server_verification_cert` of the SDKs."""
        return self.certificates.trust_bundle

    @property
    def events(self) -> EventLog:
        """What arrived `INTO $upstream`."""
        return self.hub.events

    @property
    def counters(self) -> Mapping[str, int]:
        """How often what happened."""
        return self.hub.counters

    def environment(self, module: str) -> dict[str, str]:
        """The IOTEDGE_* variables of a module of the edge device. Raises RegistryError if there is none."""
        entry = self.hub.registry.get(identity(self.edge_device, module))
        if entry is None:
            raise RegistryError(
                f"{self.edge_device} has no module {module!r}; add it: `standin run --module {module}`."
            )
        return {
            "IOTEDGE_WORKLOADURI": f"unix://{self.directory / WORKLOAD_SOCKET}",
            "IOTEDGE_APIVERSION": _API_VERSION,
            "IOTEDGE_AUTHSCHEME": "sasToken",
            "IOTEDGE_DEVICEID": self.edge_device,
            "IOTEDGE_MODULEID": module,
            "IOTEDGE_MODULEGENERATIONID": entry.generation_id,
            "IOTEDGE_IOTHUBHOSTNAME": self.hub_name,
            "IOTEDGE_GATEWAYHOSTNAME": self.address,
        }

    @property
    def page_address(self) -> str | None:
        """Where the page is, None if it is off."""
        return None if self.page_port is None else f"http://{self.address}:{self.page_port}/"

    def service_connection_string(self, policy: str = OWNER) -> str:
        """What a program of the service side is configured with. Raises PolicyError if there is no such policy."""
        return self._policy(policy).connection_string(self.address)

    def event_hub_connection_string(self, policy: str = OWNER) -> str:
        """What a reader of the events is configured with. Raises PolicyError if there is no such policy."""
        return connection_string(self._policy(policy), self.address, self._event_hub.entity)

    def own_event_hub_string(self, name: str, policy: str) -> str:
        """What a client of an Event Hub of the namespace is configured with. Raises NamespaceError."""
        event_hub = self.namespace.get(name)
        found = None if event_hub is None else event_hub.policies.get(policy)
        if event_hub is None or found is None:
            known = ", ".join(each.name for each in self.namespace.hubs) or "none"
            raise NamespaceError(f"there is no Event Hub {name!r} with a policy {policy!r}; there are {known}.")
        return connection_string(found, self.address, event_hub.name)

    def add_device(self, device: str, *, keys: Sequence[str] = (), edge: bool = False) -> Entry:
        """Add a device with symmetric keys; the keys not given are made."""
        return self.hub.add(symmetric_entry(identity(device), keys=keys, edge=edge))

    def ensure_device(self, device: str) -> None:
        """Add a device with new keys, unless it is there."""
        if self.hub.registry.get(identity(device)) is None:
            self.add_device(device)

    def add_certificate_device(self, device: str, thumbprints: Iterable[str] = ()) -> Entry:
        """Add a device that shows a certificate: one with these thumbprints, or without any one of our CA."""
        return self.hub.add(certificate_entry(identity(device), thumbprints))

    def add_module(self, module: str, *, device: str | None = None, keys: Sequence[str] = ()) -> Entry:
        """Add a module, to the edge device if no other is named."""
        return self.hub.add(symmetric_entry(identity(device or self.edge_device, module), keys=keys))

    def link_hub(self, hub: LinkedHub) -> None:
        """Let enrolments name the hub of another stand-in."""
        self._hubs.link(hub)

    def set_desired(self, who: Identity, patch: JsonObject) -> int:
        """Merge into the desired properties, and notify. Returns the new version."""
        return self.hub.patch_desired(who, patch)

    def reported(self, who: Identity) -> JsonObject:
        """The reported properties."""
        return self.hub.twin(who).reported

    async def invoke_method(
        self, who: Identity, name: str, payload: Any = None, *, response_timeout_s: float = 30
    ) -> MethodResult:
        """Call a direct method. Raises MethodError."""
        return await self.hub.invoke_method(who, name, payload, response_timeout_s=response_timeout_s)

    def send_c2d(self, who: Identity, body: bytes, properties: Properties | None = None, **system: str) -> int:
        """Queue a message for a device; `system` by the names routes use. Returns its number; raises HubError."""
        return self.hub.send_c2d(who, C2dMessage(Bag(properties or {}, system), body))

    def summary(self) -> str:
        """One line: where everything is."""
        websocket = "off" if self.websocket_port is None else self.websocket_port
        amqp = "off" if self.amqp_port is None else self.amqp_port
        page = "" if self.page_address is None else f" page={self.page_address}"
        return (
            f"hub={self.hub_name} address={self.address} mqtt={self.mqtt_port} amqp={amqp} websocket={websocket} "
            f"scope={self.dps.scope} workload=unix://{self.directory / WORKLOAD_SOCKET} "
            f"control={self.directory / CONTROL_SOCKET}{page}"
        )

    # What tests break

    def drop_connections(self) -> int:
        """Cut all connections as a broken line does. Returns how many."""
        return self.hub.drop_connections()

    def stall(self) -> None:
        """From now on keep connections open, answer pings, and store, acknowledge and send nothing."""
        self.hub.faults.stalled = True

    def refuse_connections(self) -> None:
        """From now on answer CONNECT with "server unavailable" and open with close; who is connected stays."""
        self.hub.faults.refusing = True

    def throttle(self) -> None:
        """From now on reject every message by AMQP as one above the quota, and close who publishes by MQTT."""
        self.hub.faults.throttling = True

    def check_tokens_late(self) -> None:
        """From now on answer every token put to `$cbs` with 200, as edgeHub does, and refuse the links instead."""
        self.hub.faults.late = True

    def behave(self) -> None:
        """End all of these. A connection that lost something in a stall must be made anew."""
        self.hub.faults.clear()

    # Start and end

    async def _start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._stack.callback(_lock(self.directory).close)
        self.certificates = Certificates(
            self._certificate_folder, edge_device=self.edge_device, days=self._certificate_days
        )
        (self.directory / "trust-bundle.pem").write_text(self.trust_bundle)
        self.hub = self._open_hub()
        self._stack.callback(self.hub.close)
        self.namespace = Namespace(
            self.directory, self.hub.documents, taken=entity_of(self.hub_name), clock=self._clock
        )
        self._stack.callback(self.namespace.close)
        self._register()
        self._edge = EdgeRuntime(self.hub)
        if self._routes is EVERYTHING_UPSTREAM:
            self._edge.restore_routes()
        self.configurations = Configurations(self.hub, self._edge, self._clock)
        own = OwnHub(self.hub, self._dps_options.host or self.address)
        self._hubs = LinkedHubs(self.hub.documents, own)
        self.dps = Provisioning(self.hub, self._hubs, self._dps_options, clock=self._clock)
        await self._stack.enter_async_context(self.dps)
        self._make_amqp_nodes()
        await self._listen()
        await self._serve_sockets()

    def _clock(self) -> float:
        """What the hub takes for the time where it judges tokens."""
        return self._real_clock() + self.hub.faults.clock_skew_s

    def _policy(self, name: str) -> Policy:
        policy = self.hub.policies.get(name)
        if policy is None:
            raise PolicyError(f"there is no policy {name!r}; there are {', '.join(RIGHTS)}.")
        return policy

    def _open_hub(self) -> Hub:
        """The hub over all that is in the directory. Raises StandInError if it has another number of partitions."""
        try:
            return Hub(
                self.directory,
                edge_device=self.edge_device,
                routes=self._routes,
                show=self._show,
                partitions=self._partitions,
                c2d=self._c2d,
                clock=self._real_clock,
            )
        except EventLogError as error:
            raise StandInError(str(error)) from error

    def _register(self) -> None:
        """The edge device and its modules, as far as an earlier run has not added them."""
        known = self.hub.registry
        if known.get(identity(self.edge_device)) is None:
            self.add_device(self.edge_device, edge=True)
        for module in self._modules:
            if known.get(identity(self.edge_device, module)) is None:
                self.add_module(module)

    async def _listen(self) -> None:
        listener_names = dict.fromkeys([self.address, self.hub_name])
        issued = self.certificates.issue_listener(list(listener_names))
        security = Security(
            issued.chain.encode(),
            issued.key.encode(),
            client_certificates=ClientCertificates.REQUESTED,
            what="the stand-in's certificate",
        )
        self._admission = Admission(
            self.hub.registry,
            self.hub.policies,
            hub_names=self._hub_names(),
            authorities=self.certificates.authorities,
            clock=self._clock,
            faults=self.hub.faults,
            event_hubs=self.namespace.policy,
        )
        self.mqtt_port = await self._open(self._ports.mqtt, security, self._accept)
        if self._ports.amqp is not None:
            self.amqp_port = await self._open(self._ports.amqp, security, self._accept_amqp)
            self._event_hub.port = self.amqp_port
        if self._ports.websocket is not None:
            await self._open_websocket(self._ports.websocket, security)

    async def _open_websocket(self, port: int, security: Security) -> None:
        try:
            self.websocket_port = await self._open(port, security, self._websocket_service())
        except StandInError as error:
            if not isinstance(error.__cause__, ListenError) or not _is_forbidden(error.__cause__):
                raise
            self.notices.append(f"WebSocket is off: {error}")

    def _websocket_service(self) -> WebSocketService:
        """Both protocols on one port, and HTTPS; generic clients call AMQP by its own name (amqp.md §5)."""
        router = Router(self._http_apis(), self._crashed)
        return WebSocketService(
            {"mqtt": self._accept, "AMQPWSB10": self._accept_amqp, "amqp": self._accept_amqp}, http=router.accept
        )

    def _http_apis(self) -> list[HttpApi]:
        """What is served over HTTPS; the first that claims a request answers it."""
        service = ServiceApi(self.hub, self.configurations, hosts=self._hub_names(), clock=self._clock)
        publishers = PublisherApi(self.hub, self.namespace, self._admission)
        return [DeviceApi(self.hub, self._admission), service, DpsHttp(self.dps), publishers]

    def _hub_names(self) -> frozenset[str]:
        """What clients may call the hub."""
        return frozenset((self.hub_name.lower(), self.address.lower()))

    async def _open(self, port: int, security: Security, serve: Accept | WebSocketService) -> int:
        """Listen. Returns the port; raises StandInError."""
        try:
            listener = await listen(
                self.address, port, serve=serve, security=security, report=self._report, on_crash=self._crashed
            )
        except ListenError as error:
            raise StandInError(str(error)) from error
        self._stack.push_async_callback(listener.close, _CLOSE_S)
        return listener.port

    def _accept(self, _: Peer) -> tuple[ServerSession, MqttConnection]:
        session = ServerSession(LIMITS, asyncio.get_running_loop().time())
        return session, MqttConnection(self.hub, self._admission, session, dps=self.dps, clock=self._clock)

    def _accept_amqp(self, peer: Peer) -> tuple[AmqpServer, AmqpConnection]:
        session = AmqpServer(
            amqp.LIMITS,
            asyncio.get_running_loop().time(),
            offers_external=bool(peer.certificates),
            container_id=amqp.CONTAINER_ID,
        )
        return session, AmqpConnection(
            self.hub,
            self._admission,
            session,
            nodes=self._amqp_nodes,
            guests=self._amqp_guests,
            clock=self._clock,
        )

    def _make_amqp_nodes(self) -> None:
        """What is at AMQP's addresses besides `$cbs` and devices, and who else may log in."""
        provisioning = DpsAmqp(self.dps)
        self._event_hub = EventHub(
            self.hub, hub_name=self.hub_name, groups=self._consumer_groups, namespace=self.namespace
        )
        self._amqp_nodes: list[Node] = [provisioning, self._event_hub, ServiceMessaging(self.hub)]
        self._amqp_guests: list[Guests] = [provisioning]

    def _report(self, report: Report) -> None:
        self.hub.counters[f"transport: {type(report).__name__}"] += 1
        self.hub.note(str(report))

    def _crashed(self, error: Exception, address: str) -> None:
        """A fault of the stand-in itself: never silent, or a test would look for it in the wrong place."""
        self.hub.counters["faults of the stand-in"] += 1
        sys.stderr.write(f"standin: a fault of ours cut the connection from {address}:\n")
        traceback.print_exception(error)

    async def _serve_sockets(self) -> None:
        workload = Workload(
            self.hub.registry, self.certificates, edge_device=self.edge_device, secret=self.hub.secret()
        )
        await self._serve(workload.application(), WORKLOAD_SOCKET)
        await self._serve(self._control(refused_to_command), CONTROL_SOCKET)
        if self._ports.page is not None:
            await self._open_page(self._ports.page)

    def _control(self, refuse: Refuse) -> web.Application:
        """The control API, all of it."""
        control = ControlApi(
            self.hub,
            hub_name=self.hub_name,
            host=self.address,
            environment=self.environment,
            page=lambda: self.page_address,
        )
        application = control.application(refuse)
        authorities = dict(zip(("root", "issuing"), self.certificates.authorities, strict=True))
        service = ServiceControl(
            self.hub,
            self._edge,
            host=self.address,
            hub_name=self.hub_name,
            event_hub_string=self.event_hub_connection_string,
        )
        application.add_routes(service.routes())
        application.add_routes(NamespaceControl(self.namespace, self.own_event_hub_string).routes())
        application.add_routes(DpsControl(self.dps, self._hubs, authorities).routes())
        return application

    async def _open_page(self, port: int) -> None:
        from standin.page import PageError, StandInPage  # noqa: PLC0415 - most tests look at no page

        page = StandInPage(self.directory, self.address, self._control(refused_to_page), self.hub.note)
        try:
            self.page_port = await page.open(port)
        except PageError as error:
            raise StandInError(str(error)) from error
        self._stack.push_async_callback(page.close)

    async def _serve(self, application: web.Application, name: str) -> None:
        path = self.directory / name
        if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
            raise StandInError(
                f"{path} is too long for a socket: {_MAX_SOCKET_PATH} bytes at most; use a shorter --dir."
            )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_CLOSE_S)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        self._stack.callback(path.unlink, missing_ok=True)
        await web.UnixSite(runner, path).start()
        path.chmod(0o600)


def _lock(directory: Path) -> IO[str]:
    """The lock of a run directory, held while the file is open. Raises StandInError if another stand-in has it."""
    lock = (directory / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read(20)
        lock.close()
        raise StandInError(
            f"a stand-in runs in {directory} already: stop it (`kill {holder}`), or choose another --dir."
        ) from error
    lock.truncate(0)
    print(os.getpid(), end="", file=lock, flush=True)
    return lock


def _is_forbidden(error: ListenError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in {errno.EACCES, errno.EPERM}
