"""All that is served over HTTP: the device API with the services beside it, and first contact without TLS.

A head is made for the first peer that speaks HTTP: most sites have none, and it takes memory.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgewire.transport.pump import Owner, Peer, Session
from edgewire.transport.tls import Security
from gateway.app.firmware import FirmwareHouse
from gateway.app.minting import make_tokens, read_proofs
from gateway.app.settings import Environment
from gateway.dispatch.delivery import Delivery
from gateway.dispatch.ingress import Ingress
from gateway.dispatch.methods import Methods
from gateway.identity.authenticator import Authenticator
from gateway.identity.registry import Registry
from gateway.observe.observer import Observer

if TYPE_CHECKING:
    from gateway.app.bootstrap import GatewayFacts
    from gateway.app.provisioning import ProvisioningRoom
    from gateway.dispatch.allowance import Allowances
    from gateway.head.http import HttpHead
    from gateway.head.http_bootstrap import BootstrapService
    from gateway.head.http_services import HttpService
    from gateway.head.http_tokens import HttpTokens


class HttpHouse:
    """The HTTP heads and their services. `names`: the hub's, and the gateway's own; `environ`: whose modules may call.

    `board_security`: of the listener that boards come to. `trust_pem`, `board_settings`: see `GatewayFacts`.

    Raises ConfigError for settings that cannot be.
    """

    def __init__(
        self,
        environment: Environment,
        environ: Mapping[str, str],
        *,
        names: Sequence[str],
        authenticator: Authenticator,
        registry: Registry,
        ingress: Ingress,
        delivery: Delivery,
        methods: Methods,
        firmware: FirmwareHouse,
        provisioning: "ProvisioningRoom | None",
        board_security: Security,
        trust_pem: Callable[[], bytes],
        board_settings: Callable[[], Mapping[str, Any]],
        observer: Observer,
        allowances: "Callable[[], Allowances | None]" = lambda: None,
    ) -> None:
        self._allowances = allowances
        self._environment = environment
        self._edge_device = environ.get("IOTEDGE_DEVICEID", "")
        self._names = names
        self._authenticator = authenticator
        self._registry = registry
        self._ingress = ingress
        self._delivery = delivery
        self._methods = methods
        self._firmware = firmware
        self._provisioning = provisioning
        self._board_security = board_security
        self._trust_pem = trust_pem
        self._board_settings = board_settings
        self._observer = observer
        self._head: HttpHead | None = None
        self._plain_head: HttpHead | None = None
        self._bootstrap: BootstrapService | None = None
        self._proofs = read_proofs(environment.token_proofs)
        self._tokens: HttpTokens | None = None

    def accept(self, peer: Peer) -> tuple[Session[Any], Owner[Any]]:
        """Take in a peer that speaks HTTP; the first waits for the head."""
        if self._head is None:
            self._head = self._make_head(self._services())
        return self._head.accept(peer)

    def accept_plain(self, peer: Peer) -> tuple[Session[Any], Owner[Any]]:
        """Take in a board without TLS: there is first contact, and nothing else."""
        if self._plain_head is None:
            from gateway.head.http_bootstrap import NothingElse  # noqa: PLC0415 — see this module's docstring

            self._plain_head = self._make_head([self._bootstrap_service(), NothingElse()])
        return self._plain_head.accept(peer)

    def expect_boards(self) -> None:
        """Say at the start what boards will miss at first contact, where boards are to come."""
        environment, claims = self._environment, self._environment.data_dir / "claims.json"
        ports = environment.constrained_mqtt_port, environment.constrained_https_port, environment.bootstrap_plain_port
        if any(ports) or claims.exists():
            self._board_facts().root()

    def report(self) -> None:
        """Tell what was counted."""
        for head in (self._head, self._plain_head):
            if head is not None:
                head.report()

    def close(self) -> None:
        """The gateway stops; see `HttpHead.close`."""
        for head in (self._head, self._plain_head):
            if head is not None:
                head.close()
        if self._tokens is not None:
            self._tokens.close()

    def _make_head(self, services: Sequence["HttpService"]) -> "HttpHead":
        from edgewire.session.http.limits import HttpLimits  # noqa: PLC0415 — see this module's docstring
        from gateway.head.http import HttpHead  # noqa: PLC0415 — as above

        return HttpHead(
            authenticator=self._authenticator,
            ingress=self._ingress,
            delivery=self._delivery,
            methods=self._methods,
            emit=self._observer.emit,
            clock=time.time,
            edge_device=self._edge_device,
            limits=HttpLimits(),
            services=services,
            allowances=self._allowances,
        )

    def _services(self) -> list["HttpService"]:
        """What is served over HTTPS beside the device API."""
        from gateway.head.http_firmware import FirmwareService  # noqa: PLC0415 — see this module's docstring

        services: list[HttpService] = [self._bootstrap_service(), FirmwareService(self._firmware)]
        if self._provisioning is not None:
            services.append(self._provisioning.service())
        services.append(self._publishers())
        if self._proofs:
            self._tokens = self._make_tokens()
            services.append(self._tokens)
        return services

    def _publishers(self) -> "HttpService":
        """Event Hubs' publisher form."""
        from gateway.head.http_publishers import HttpPublishers  # noqa: PLC0415 — see this module's docstring
        from gateway.identity.publishers import PublisherDoor  # noqa: PLC0415 — as above

        environment, emit = self._environment, self._observer.emit
        door = PublisherDoor(
            environment.data_dir,
            self._names,
            self._registry,
            emit,
            skew_s=environment.token_skew_s,
            clock_floor=lambda: self._authenticator.clock_floor,
        )
        return HttpPublishers(door, self._ingress, emit, time.time, self._allowances)

    def _make_tokens(self) -> "HttpTokens":
        """Tokens for boards without a clock."""
        return make_tokens(
            self._registry,
            self._authenticator,
            hub=self._names[0],
            proofs=self._proofs,
            data=self._environment.data_dir,
            emit=self._observer.emit,
            clock=self._time_not_set_back,
        )

    def _bootstrap_service(self) -> "BootstrapService":
        if self._bootstrap is None:
            from gateway.app.bootstrap import make_bootstrap  # noqa: PLC0415 — see this module's docstring
            from gateway.identity.reception import Reception  # noqa: PLC0415 — as above

            reception = Reception(self._registry, self._environment.data_dir, self._observer.emit)
            self._observer.listen(reception.on_event)
            self._bootstrap = make_bootstrap(
                reception,
                self._board_facts(),
                self._firmware.offered,
                emit=self._observer.emit,
                clock=self._time_not_set_back,
            )
        return self._bootstrap

    def _board_facts(self) -> "GatewayFacts":
        from gateway.app.bootstrap import GatewayFacts  # noqa: PLC0415 — see this module's docstring

        return GatewayFacts(
            self._environment,
            hub=self._names[0],
            security=self._board_security,
            trust_pem=self._trust_pem,
            settings=self._board_settings,
            emit=self._observer.emit,
        )

    def _time_not_set_back(self) -> float:
        return max(time.time(), self._authenticator.clock_floor)
