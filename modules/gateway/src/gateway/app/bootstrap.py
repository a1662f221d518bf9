"""First contact of boards: what they are told of this gateway, and the services that tell it."""

from collections.abc import Callable, Mapping
from typing import Any

from edgewire.transport.tls import Security
from gateway.app.settings import Environment
from gateway.head.http_bootstrap import BootstrapService, Firmware
from gateway.identity.anchor import AnchorError, root_key
from gateway.identity.reception import Reception
from gateway.observe.bootstrap import RootNotTold
from gateway.observe.events import Event

Emit = Callable[[Event], None]


class GatewayFacts:
    """What every board is told alike; where there is a listener for small boards, that is the one.

    `security`: of that listener. `trust_pem`: where its root may be found. `settings`: those for boards, in force now.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        hub: str,
        security: Security,
        trust_pem: Callable[[], bytes],
        settings: Callable[[], Mapping[str, Any]],
        emit: Emit,
    ) -> None:
        self._fixed = {
            "hub": hub,
            "gateway": environment.host_name,
            "mqttPort": environment.constrained_mqtt_port or environment.mqtt_port,
            "httpsPort": environment.constrained_https_port or environment.websocket_port,
        }
        self._pinned = bool(environment.constrained_mqtt_port or environment.constrained_https_port)
        self._security = security
        self._trust_pem = trust_pem
        self._settings = settings
        self._emit = emit
        self._seen: tuple[object, bytes] | None = None
        self._root: Mapping[str, Any] | None = None

    def __call__(self) -> Mapping[str, Any] | None:
        """The members of the answer at first contact.

        None where there is a listener for small boards whose root they cannot pin: they know no other way to check it.
        """
        root = self.root()
        if root is None and self._pinned:
            return None
        return {**self._fixed, "root": root, "settings": self._settings()}

    def root(self) -> Mapping[str, Any] | None:
        """The root key that boards pin. Where there is none, that is said once for each certificate."""
        certificate, pem = self._security.certificate, self._trust_pem()
        if self._seen != (certificate, pem):
            self._seen = (certificate, pem)
            self._root = self._find(certificate.chain, pem)
        return self._root

    def _find(self, chain: tuple[Any, ...], pem: bytes) -> Mapping[str, Any] | None:
        try:
            key = root_key(chain, pem)
        except AnchorError as error:
            self._emit(RootNotTold(str(error)))
            return None
        return {"n": key.n, "e": key.e}


def make_bootstrap(
    reception: Reception, facts: GatewayFacts, firmware: Firmware | None, *, emit: Emit, clock: Callable[[], float]
) -> BootstrapService:
    """The service at /bootstrap/v1/. `firmware` None: boards keep what they have."""
    return BootstrapService(reception, told=facts, firmware=firmware or _no_firmware, emit=emit, clock=clock)


def _no_firmware(_device: str, _model: str) -> None:
    return None
