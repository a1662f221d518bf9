"""The running gateway: opens the rooms in order, keeps house, and stops without losing what it acknowledged."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from edgewire.message import EndpointKind, Identity
from edgewire.session.mqtt.limits import ServerLimits
from edgewire.transport.limits import TransportLimits
from edgewire.transport.listener import ListenError
from edgewire.transport.pump import Owner, Peer, Session
from gateway import __version__
from gateway.app.book import Book
from gateway.app.certificate_room import CertificateRoom
from gateway.app.clock import ClockWatch
from gateway.app.configuration import Configuration
from gateway.app.doors import Doors
from gateway.app.endpoints import EndpointRoom
from gateway.app.firmware import FirmwareHouse
from gateway.app.forwarding import Forwarding
from gateway.app.gauges import Sources
from gateway.app.http_house import HttpHouse
from gateway.app.in_force import InForce
from gateway.app.latest_time import BUILT_AT, LATEST_TIME_FILE, LatestTime
from gateway.app.limits import LimitsRoom
from gateway.app.local_topics import WithoutBroker
from gateway.app.operating import Operating
from gateway.app.sending import SendingRoom
from gateway.app.settings import ConfigError, Environment
from gateway.app.settings_file import SettingsFile
from gateway.app.showing import House, Showing
from gateway.app.starting import finished, make_private
from gateway.app.status import gateway_status
from gateway.app.topics import TopicRoom
from gateway.app.unheard import UnheardRules
from gateway.app.unsent import UnsentBatches
from gateway.app.upstream import Upstream, has_upstream, make_module, make_twin
from gateway.dispatch.connections import Connections
from gateway.dispatch.delivery import Delivery
from gateway.dispatch.ingress import Ingress
from gateway.dispatch.methods import Methods
from gateway.dispatch.presence import Ending, Presence
from gateway.dispatch.twin_desk import NoTwins, TwinDesk
from gateway.head.mqtt import MqttHead
from gateway.head.sessions import SessionsError, SessionStore
from gateway.identity.authenticator import Authenticator
from gateway.identity.neighbours import Neighbours
from gateway.identity.registry import FILE_NAME, Registry, RegistryError
from gateway.observe.app import ClockJumped, GatewayStarted, GatewayStopped, LatestTimeNotKept
from gateway.observe.metrics import Metrics
from gateway.observe.observer import Observer
from gateway.observe.tap import Tap
from gateway.routing.table import Table
from gateway.store.errors import StoreError
from gateway.store.store import Store
from gateway.store.values import StoreLimits

if TYPE_CHECKING:
    from cryptography import x509

    from gateway.app.devices_upstream import DevicesUpstream
    from gateway.app.foreign import ForeignRoom
    from gateway.app.plain import PlainRoom
    from gateway.app.provisioning import ProvisioningRoom
    from gateway.app.twins import TwinRoom
    from gateway.dispatch.twins import Twins
    from gateway.head.amqp import AmqpHead

HOUSEKEEPING_S: Final = 1.0
"""How soon a command that changes the registry takes effect on those who are connected."""
GOODBYE_S: Final = 1.0
"""For devices to take their goodbye at shutdown."""

CONSTRAINED_CONNECT_S: Final = 20.0
"""From a small board's handshake to its CONNECT: it may have its token to make yet. Twice the others'."""


class GatewayFaultError(Exception):
    """The gateway cannot go on; the text is its last word."""


class Gateway:
    """One gateway. `run` it once.

    `observer`, `tap` and `metrics` are there from the start, so that a caller can listen to the start itself.
    """

    def __init__(self, environment: Environment, environ: Mapping[str, str]) -> None:
        self._environment = environment
        self._environ = environ
        self._data = environment.data_dir
        self._started_at = time.time()
        self._neighbours = Neighbours()
        self.observer = Observer()
        self.metrics = Metrics()
        self.tap = Tap()
        self.observer.listen(self.metrics.count)
        self._emit = self.observer.emit
        self._fault: asyncio.Future[None]
        self.operating = Operating(environment, environ, self.observer, self.metrics, self._on_fault)
        self._upstream: Upstream | None = None
        self._amqp: AmqpHead | None = None
        self._twin_room: TwinRoom | None = None
        self._provisioning: ProvisioningRoom | None = None
        self._plain: PlainRoom | None = None
        self._foreign: ForeignRoom | None = None
        self._devices: DevicesUpstream | None = None
        self._certificates = CertificateRoom(environment, environ, self._emit, seen_upstream=self._seen_upstream)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[str], None]) -> None:
        """Run until `stop` is set; `on_ready` hears where it listens.

        Raises ConfigError if it cannot start, GatewayFaultError if it had to stop by itself.
        """
        self._fault = asyncio.get_running_loop().create_future()
        told = asyncio.ensure_future(stop.wait())
        try:
            async with AsyncExitStack() as rooms:
                opening = asyncio.ensure_future(self._open(rooms))
                # The workload API may be waited for, and an operator may not want to.
                await asyncio.wait([opening, told], return_when=asyncio.FIRST_COMPLETED)
                if await finished(opening):
                    await self._live(told, on_ready)
        except (StoreError, SessionsError, RegistryError, ListenError) as error:
            raise ConfigError(str(error)) from error
        finally:
            told.cancel()
        self._emit(GatewayStopped("told to"))

    def look_again(self) -> None:
        """SIGHUP: take certificates, keys, trust bundle and revocation lists as they are now."""
        self._certificates.look_soon()

    def _seen_upstream(self) -> "x509.Certificate | None":
        return None if self._devices is None else self._devices.dialer.seen

    # Opening, in the order in which rooms need each other; `rooms` closes them the other way round.

    async def _open(self, rooms: AsyncExitStack) -> None:
        make_private(self._data)
        runner = self.operating.begin(rooms)
        self._store = Store.open(
            self._data / "store", StoreLimits(), self._emit, on_damage=self._on_fault, runner=runner
        )
        rooms.push_async_callback(self._store.close)
        self.operating.measure(self._store)
        self._sessions = SessionStore(self._data / "sessions.db", self._emit)
        rooms.callback(self._sessions.close)
        self._registry = Registry(self._data / FILE_NAME, self._emit)
        self._latest_time = LatestTime(self._data / LATEST_TIME_FILE, least=BUILT_AT)
        rooms.callback(self._keep_latest_time)
        self._presence = Presence()
        self._delivery = Delivery(self._emit, time.time)
        self._methods = Methods(self._emit)
        self._twins: TwinDesk = NoTwins()
        self._ingress = Ingress(Table(()), self._store, self.tap, self._emit)
        self._connections = Connections(
            ingress=self._ingress, presence=self._presence, emit=self._emit, clock=time.time
        )
        self.observer.listen(self._connections.on_event)
        self._book = Book(observer=self.observer, tap=self.tap, ingress=self._ingress, registry=self._registry)
        self.operating.follow(lambda: self._ingress.received, self._book.ledger)
        await self._open_settings()
        self._open_firmware(rooms)
        await self._certificates.open()
        self._make_heads()
        self._make_http()
        await self._open_doors(rooms)
        await self._open_plain(rooms)
        self._open_foreign()
        await self._open_showing(rooms)
        rooms.push_async_callback(self._limits.close)
        self.operating.open(self._sources(), self._doors.is_listening)

    async def _open_settings(self) -> None:
        self._forwarding = Forwarding(self._store, self._emit, self.operating.round_trips)
        self._sending = SendingRoom(self._store, self._data, self._environ, self._emit)
        self._forwarding.use(EndpointKind.STAGE, self._sending.way)
        in_force = InForce(self._ingress, self._store, self._forwarding.serve)
        self._topics = TopicRoom(
            self._ingress, self._registry, self._data / FILE_NAME, self._emit, self._logs_in_upstream
        )
        in_force.tell(self._topics.use)
        in_force.tell(UnheardRules(self._environment, self._emit).use)
        self._limits = LimitsRoom(self._data, self._emit)
        in_force.tell(self._limits.use)
        self._unsent = UnsentBatches(self._environment, self._environ, self._registry, self._emit)
        in_force.tell(self._unsent.use)
        if self._environment.broker:
            from gateway.app.foreign import ForeignRoom  # noqa: PLC0415 — most sites have no broker of their own

            self._foreign = ForeignRoom(self._environment, self._environ, self._emit)
            in_force.tell(self._foreign.use)
        self._endpoints = EndpointRoom(self._environment, self._environ, self._emit)
        in_force.tell(self._endpoints.use)
        self._forwarding.use(EndpointKind.NAMED, self._endpoints.carrier)
        self._in_force = in_force
        self._configuration = Configuration(path=self._data / "settings.json", apply=in_force.apply, emit=self._emit)
        await self._configuration.start()
        self._upstream = self._make_upstream()
        if self._upstream is not None:
            for kind in (EndpointKind.UPSTREAM, EndpointKind.MODULE):
                self._forwarding.use(kind, self._upstream.carrier)
        if self._environment.settings_file is not None:
            self._settings_file = SettingsFile(
                path=self._environment.settings_file,
                configuration=self._configuration,
                emit=self._emit,
                told=self._tell_twin,
            )
            await self._settings_file.look()

    def _make_upstream(self) -> Upstream | None:
        """The ways out that the settings want, None for none."""
        environment, emit = self._environment, self._emit
        self._devices = self._make_devices_upstream()
        module = make_module(environment, emit) if has_upstream(environment, self._environ) else None
        if module is None and self._devices is None:
            return None
        twin = None
        if module is not None:
            configuration, status = self._configuration, self.status
            twin = make_twin(
                environment,
                module,
                configuration=configuration,
                status=status,
                connections=self._connections.summary,
                certificates=self._certificates.watch.reported,
                emit=emit,
            )
            self._certificates.watch.listen(self._tell_twin)
        return Upstream(module=module, twin=twin, devices=self._devices)

    def _make_devices_upstream(self) -> "DevicesUpstream | None":
        if not self._environment.upstream_amqp:
            return None
        from gateway.app.devices_upstream import make_devices_upstream  # noqa: PLC0415 — AMQP: 3 MB

        devices = make_devices_upstream(
            self._environment,
            self._environ,
            registry=self._registry,
            trust_pem=self._certificates.trust_pem,
            emit=self._emit,
            end=lambda who: self._presence.end([who], Ending.CREDENTIALS_CHANGED),
            neighbours=self._neighbours,
        )
        if devices is not None:
            twins = self._open_twins(strangers_come=devices.vouchers is not None)
            devices.bring_back(delivery=self._delivery, methods=self._methods, twins=twins)
        return devices

    def _logs_in_upstream(self, who: Identity) -> bool:
        return self._devices is not None and self._devices.has_presented(who)

    def _open_twins(self, *, strangers_come: bool) -> "Twins":
        """Twins of devices, which need the way on their behalf; without it nothing of them is loaded."""
        from gateway.app.twins import TwinRoom, is_gone, vault_of  # noqa: PLC0415 — 0.6 MB
        from gateway.dispatch.twin_changes import TwinChanges  # noqa: PLC0415 — as above
        from gateway.dispatch.twins import Twins  # noqa: PLC0415 — as above

        self._twins = twins = Twins(self._emit)
        twins.listen(TwinChanges(self._ingress, self._emit).on_reported)
        self._twin_room = TwinRoom(
            twins,
            self._data,
            vault_of(self._environ),
            emit=self._emit,
            is_gone=lambda who: is_gone(who, self._registry),
            strangers_come=strangers_come,
        )
        return twins

    def _open_firmware(self, rooms: AsyncExitStack) -> None:
        self._firmware = FirmwareHouse(
            self._data,
            methods=self._methods,
            twins=self._twins,
            emit=self._emit,
            release_key=self._environment.release_key,
        )
        self._firmware.look()
        rooms.push_async_callback(self._firmware.close)

    def _make_heads(self) -> None:
        environment = self._environment
        names = [name for name in (environment.hub_name, environment.host_name) if name]
        if not names:
            raise ConfigError(
                "GATEWAY_HUB_NAME is not set, and neither is IOTEDGE_IOTHUBHOSTNAME: tokens of devices name their hub. "
                "Set it to the hub's host name"
            )
        self._authenticator = Authenticator(
            self._registry,
            names,
            self._certificates.trusted,
            skew_s=environment.token_skew_s,
            clock_floor=self._clock_floor(),
            vouchers=None if self._devices is None else self._devices.vouchers,
        )
        self._certificates.serve(self._authenticator, self._presence)
        self._provisioning = self._make_provisioning(tuple(names))
        self._mqtt = MqttHead(
            authenticator=self._authenticator,
            ingress=self._ingress,
            presence=self._presence,
            delivery=self._delivery,
            methods=self._methods,
            twins=self._twins,
            sessions=self._sessions,
            emit=self._emit,
            clock=time.time,
            limits=ServerLimits(),
            constrained_limits=self._constrained_limits(),
            provisioning=None if self._provisioning is None else self._provisioning.visitors,
        )
        self._hub_names = names
        self._limits.tell(partial(setattr, self._mqtt, "allowances"))

    def _make_provisioning(self, hub_names: tuple[str, ...]) -> "ProvisioningRoom | None":
        if not self._environment.dps:
            return None
        from gateway.app.provisioning import ProvisioningRoom  # noqa: PLC0415 — most sites' devices have their hub

        return ProvisioningRoom(
            self._environment,
            self._environ,
            registry=self._registry,
            hub_names=hub_names,
            trust_pem=self._certificates.trust_pem,
            emit=self._emit,
            clock=lambda: max(time.time(), self._authenticator.clock_floor),
        )

    def _constrained_limits(self) -> ServerLimits | None:
        if not self._environment.constrained_mqtt_port:
            return None
        return ServerLimits(
            connect_timeout_s=CONSTRAINED_CONNECT_S, max_sent_packet_bytes=self._environment.constrained_max_packet
        )

    def _make_http(self) -> None:
        self._http = HttpHouse(
            self._environment,
            self._environ,
            names=self._hub_names,
            authenticator=self._authenticator,
            registry=self._registry,
            ingress=self._ingress,
            delivery=self._delivery,
            methods=self._methods,
            firmware=self._firmware,
            provisioning=self._provisioning,
            board_security=self._certificates.constrained or self._certificates.identity.security,
            trust_pem=self._certificates.trust_pem,
            board_settings=lambda: self._in_force.board_settings,
            observer=self.observer,
            allowances=self._limits.in_force,
        )
        self._http.expect_boards()

    async def _open_plain(self, rooms: AsyncExitStack) -> None:
        if not self._environment.plain_port:
            self._forwarding.use(EndpointKind.TOPIC, WithoutBroker(self._emit))
            return
        from gateway.app.plain import PlainRoom  # noqa: PLC0415 — most sites' devices speak TLS

        self._plain = PlainRoom(
            self._environment,
            self._environ,
            data=self._data,
            mapped=self._topics.intake(),
            emit=self._emit,
            allowances=self._limits.in_force,
        )
        rooms.callback(self._plain.close)
        self._forwarding.use(EndpointKind.TOPIC, self._plain.carrier)
        await self._plain.open(self._doors)

    def _open_foreign(self) -> None:
        if self._foreign is not None:
            from gateway.dispatch.echoes import Echoes  # noqa: PLC0415 — see _open_settings

            # What went to a client of the plain listener may come round over its broker: it may be a bridge.
            self._foreign.open(self._topics.intake(), Echoes() if self._plain is None else self._plain.echoes)

    async def _open_doors(self, rooms: AsyncExitStack) -> None:
        limits = TransportLimits(max_connections=self._environment.max_connections)
        self._doors = Doors(
            self._certificates.identity.security,
            self._emit,
            limits,
            mqtt=self._mqtt.accept,
            amqp=self._accept_amqp,
            http=self._http.accept,
            bootstrap=self._http.accept_plain,
            constrained=self._certificates.constrained,
        )
        await self._doors.open(self._environment)
        rooms.push_async_callback(self._doors.close, 0)

    def _accept_amqp(self, peer: Peer) -> tuple[Session[Any], Owner[Any]]:
        """Take in a peer that speaks AMQP. The first waits for the head: most sites have none, and it takes 2 MB."""
        if self._amqp is None:
            self._amqp = self._make_amqp_head()
        return self._amqp.accept(peer)

    def _make_amqp_head(self) -> "AmqpHead":
        from edgewire.session.amqp.limits import AmqpLimits  # noqa: PLC0415 — see _accept_amqp
        from gateway.head.amqp import AmqpHead  # noqa: PLC0415 — as above

        return AmqpHead(
            authenticator=self._authenticator,
            ingress=self._ingress,
            presence=self._presence,
            delivery=self._delivery,
            methods=self._methods,
            twins=self._twins,
            emit=self._emit,
            clock=time.time,
            hub_names=self._hub_names,
            limits=AmqpLimits(),
            allowances=self._limits.in_force,
            neighbours=self._neighbours,
        )

    async def _open_showing(self, rooms: AsyncExitStack) -> None:
        house = House(
            environment=self._environment,
            environ=self._environ,
            data=self._data,
            book=self._book,
            observer=self.observer,
            metrics=self.metrics,
            registry=self._registry,
            presence=self._presence,
            delivery=self._delivery,
            methods=self._methods,
            twins=None if self._twin_room is None else self._twin_room.twins,
            configuration=self._configuration,
            in_force=self._in_force,
            trust_pem=self._certificates.trust_pem,
            certificates=self._certificates.watch.certificates,
            status=self.status,
            answers={**self.operating.answers, "firmware": self._firmware.answer},
            health=self.operating.health.report,
            is_limited=self._limits.is_limited,
        )
        await Showing(house).open(rooms)

    def _sources(self) -> Sources:
        """Who knows what the metrics tell."""
        return Sources(
            started_at=self._started_at,
            data=self._data,
            health=self.operating.health,
            pulse=self.operating.pulse,
            names=self.operating.names,
            store=self._store.status,
            clients=lambda: len(self._presence),
            connections=self._doors.by_listener,
            configuration=self._configuration,
            routes=lambda: len(self._in_force.routes),
            links=lambda: {} if self._upstream is None else self._upstream.links_by_name(),
            endpoints=self._endpoints.status,
            limited=lambda: len(self._limits.limited()),
            certificates=self._certificates.watch.certificates,
        )

    # Living and stopping.

    async def _live(self, told: "asyncio.Future[Any]", on_ready: Callable[[str], None]) -> None:
        """Serve until told to stop, or until a fault."""
        clock = ClockWatch(time.time, asyncio.get_running_loop().time)  # before anybody hears that it is ready
        async with asyncio.TaskGroup() as tasks:
            keeping = [
                tasks.create_task(self._sending.run(), name="stages of routes"),
                tasks.create_task(self._keep_house(clock), name="housekeeping"),
                tasks.create_task(self._firmware.run(), name="firmware"),
                tasks.create_task(self._endpoints.run(), name="endpoints"),
                tasks.create_task(self._topics.run(), name="devices by topics"),
            ]
            keeping += self._certificates.start(tasks)
            if self._environment.settings_file is not None:
                keeping.append(tasks.create_task(self._settings_file.run(), name="settings file"))
            if self._provisioning is not None:
                keeping.append(tasks.create_task(self._provisioning.run(), name="provisioning"))
            if self._twin_room is not None:
                keeping.append(tasks.create_task(self._twin_room.run(), name="twins"))
            if self._plain is not None:
                keeping.append(tasks.create_task(self._plain.run(), name="plain listener"))
            if self._upstream is not None:
                self._upstream.start(tasks)
            in_force = self._in_force.endpoints
            self._forwarding.start(tasks, in_force | self._sending.left_over(in_force))
            self.operating.health.started()
            self._emit(GatewayStarted(__version__, str(self._doors)))
            on_ready(str(self._doors))
            await asyncio.wait([told, self._fault], return_when=asyncio.FIRST_COMPLETED)
            await self._shut_down()
            for task in keeping:
                task.cancel()
        if self._fault.done():
            raise GatewayFaultError(str(self._fault.exception()))

    async def _shut_down(self) -> None:
        """Let nobody in, finish what was begun, keep the rest on disk; under five seconds in all."""
        self.operating.health.stopping()
        await self._doors.close(GOODBYE_S)
        self._http.close()
        self._mqtt.wills.publish_all()
        if self._foreign is not None:
            await self._foreign.stop()
        if self._plain is not None:
            self._plain.stop()
        self._report()
        await self._store.flush()
        await self._sending.finish()
        await self._forwarding.stop()
        if self._upstream is not None:
            await self._upstream.stop()

    async def _keep_house(self, clock: ClockWatch) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            self._report()
            self.operating.second()
            self._limits.look()
            self._firmware.look()
            if jump_s := clock.jump_s():
                self._emit(ClockJumped(jump_s))
                self._presence.judge_again()
            self._authenticator.clock_floor = self._clock_floor()
            if self._latest_time.is_due:
                self._keep_latest_time()
            changed = self._registry.refresh()
            self._presence.end(changed, Ending.CREDENTIALS_CHANGED)
            if self._twin_room is not None:
                self._twin_room.forget(changed)
            if self._connections.is_due():
                self._tell_twin()

    def _report(self) -> None:
        """Tell what was counted."""
        self._ingress.report()
        self._delivery.report()
        self._methods.report()
        self._topics.report()
        if self._foreign is not None:
            self._foreign.report()
        self._http.report()
        self._book.second()

    def _clock_floor(self) -> float:
        return self._latest_time.follow(time.time())

    def _keep_latest_time(self) -> None:
        if error := self._latest_time.keep():
            self._emit(LatestTimeNotKept(str(error)))

    def _on_fault(self, fault: Exception) -> None:
        if not self._fault.done():
            self._fault.set_exception(fault)

    def _tell_twin(self) -> None:
        if self._upstream is not None and self._upstream.twin is not None:
            self._upstream.twin.changed()

    def status(self) -> Mapping[str, Any]:
        """The gateway now, as `getStatus` tells it."""
        link, devices_link = (None, None) if self._upstream is None else self._upstream.links()
        return gateway_status(
            started_at=self._started_at,
            now=time.time(),
            presence=self._presence,
            connections=self._doors.connections,
            store=self._store.status(),
            configuration=self._configuration,
            link=link,
            devices_link=devices_link,
            endpoints=self._endpoints.status(),
            unsent=self._unsent.routes,
            link_now=asyncio.get_running_loop().time(),
            topics=self._topics.status(),
            broker=None if self._foreign is None else self._foreign.status(),
            plain=None if self._plain is None else self._plain.status(),
            totals=self.metrics.totals(),
            certificates=self._certificates.watch.status(),
        )
