"""The way upstream on behalf of devices, as the settings want it: where to, how, and whom to believe there."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from edgewire.message import Identity
from edgewire.transport.dialer import WebSocketTarget
from gateway.app.dialing import Dialer, Place, read_place
from gateway.app.settings import ConfigError, Environment
from gateway.app.upstream import CLOSE_S
from gateway.dispatch.delivery import Delivery
from gateway.dispatch.methods import Methods
from gateway.dispatch.twins import Twins
from gateway.identity.neighbours import Neighbours
from gateway.identity.registry import Registry
from gateway.identity.tokens import FILE_NAME as TOKENS_FILE
from gateway.identity.tokens import DeviceTokens, PresentedTokens
from gateway.identity.vouching import Vouchers
from gateway.observe.events import Event
from gateway.upstream.amqp_back import Back
from gateway.upstream.amqp_back_devicebound import CloudSource
from gateway.upstream.amqp_back_methods import CloudCalls
from gateway.upstream.amqp_back_twins import CloudTwins
from gateway.upstream.amqp_proxy import WINDOW_BYTES, AmqpProxy, AmqpTimes
from gateway.upstream.amqp_voucher import AmqpVoucher
from gateway.upstream.proxy import MessageProxy, Window
from gateway.upstream.split import SplitProxy

AMQPS_PORT: Final = 5671
WEBSOCKET_PORT: Final = 443
WEBSOCKET: Final = WebSocketTarget("/$iothub/websocket", "AMQPWSB10")
EDGEHUB: Final = "edgehub"
HUB: Final = "hub"


def place_of(environment: Environment, environ: Mapping[str, str]) -> Place | None:
    """Where GATEWAY_UPSTREAM_AMQP says, None if it says nothing. Raises ConfigError."""
    said = environment.upstream_amqp
    if not said:
        return None
    port = WEBSOCKET_PORT if environment.upstream_amqp_transport == "websocket" else AMQPS_PORT
    if said == EDGEHUB:
        return Place(_edgehub(environ), port)
    if said == HUB:
        if not environment.hub_name:
            raise ConfigError(
                "GATEWAY_UPSTREAM_AMQP is 'hub', and neither IOTEDGE_IOTHUBHOSTNAME nor GATEWAY_HUB_NAME is set. Set "
                "one of them to the hub's host name"
            )
        return Place(environment.hub_name, port)
    place = read_place(said, port)
    if place is None:
        raise ConfigError(
            f"GATEWAY_UPSTREAM_AMQP is '{said}': it must be edgehub, hub, or a host name, with a port or without. "
            "Correct it, or unset it for the way as the module alone"
        )
    return place


def _edgehub(environ: Mapping[str, str]) -> str:
    if environ.get("IOTEDGE_GATEWAYHOSTNAME"):
        return environ["IOTEDGE_GATEWAYHOSTNAME"]
    fields = dict(part.partition("=")[::2] for part in environ.get("EdgeHubConnectionString", "").split(";"))
    if not fields.get("GatewayHostName"):
        raise ConfigError(
            "GATEWAY_UPSTREAM_AMQP is 'edgehub', and IOTEDGE_GATEWAYHOSTNAME is not set. IoT Edge sets it in its "
            "containers; outside of one write edgeHub's host name into GATEWAY_UPSTREAM_AMQP"
        )
    return fields["GatewayHostName"]


def make_devices_upstream(
    environment: Environment,
    environ: Mapping[str, str],
    *,
    registry: Registry,
    trust_pem: Callable[[], bytes],
    emit: Callable[[Event], None],
    end: Callable[[Identity], object],
    neighbours: Neighbours | None = None,
) -> "DevicesUpstream | None":
    """The way that the settings want, None for none. Raises ConfigError."""
    place = place_of(environment, environ)
    if place is None:
        return None
    return DevicesUpstream(
        environment,
        environ,
        place,
        registry=registry,
        trust_pem=trust_pem,
        emit=emit,
        end=end,
        neighbours=neighbours or Neighbours(),
    )


class DevicesUpstream:
    """The way upstream on behalf of devices: its link, the tokens, what comes back, who asks about unknown devices."""

    def __init__(
        self,
        environment: Environment,
        environ: Mapping[str, str],
        place: Place,
        *,
        registry: Registry,
        trust_pem: Callable[[], bytes],
        emit: Callable[[Event], None],
        end: Callable[[Identity], object],
        neighbours: Neighbours,
    ) -> None:
        """`end` hears of a device that is unknown here and that the hub lets in no more. Raises ConfigError."""
        hub = environment.hub_name
        if not hub:
            raise ConfigError(
                "GATEWAY_UPSTREAM_AMQP is set, and neither IOTEDGE_IOTHUBHOSTNAME nor GATEWAY_HUB_NAME is: the tokens "
                "of devices name their hub. Set one of them to the hub's host name"
            )
        websocket = WEBSOCKET if environment.upstream_amqp_transport == "websocket" else None
        self.dialer = dialer = Dialer(place, environ, websocket=websocket, trust_pem=trust_pem, emit=emit)
        self._presented = PresentedTokens(environment.data_dir / TOKENS_FILE, emit, time.time)
        self._tokens = DeviceTokens(registry, self._presented, hub, time.time)
        self.proxy = AmqpProxy(
            hostname=place.host,
            dial=dialer.dial,
            tokens=self._tokens,
            emit=emit,
            times=AmqpTimes(close_s=CLOSE_S, stall_s=float(environment.upstream_stall_s)),
            window=Window(environment.upstream_amqp_window, WINDOW_BYTES),
            neighbours=neighbours,
        )
        self._emit = emit
        self._calls: CloudCalls | None = None
        self._split: SplitProxy | None = None
        self._voucher: AmqpVoucher | None = None
        self.vouchers: Vouchers | None = None
        if environment.unknown_devices == "ask":
            self._voucher = AmqpVoucher(
                hostname=place.host, dial=dialer.dial, name_of=self._tokens.name_of, neighbours=neighbours
            )
            self.vouchers = Vouchers(self._presented, self._voucher)
        self._presented.listen(self._on_token)
        self._presented.on_end(end)

    def has_presented(self, who: Identity) -> bool:
        """Whether this device has proven itself here with a token that the hub vouched for and is still good."""
        return self._presented.find(who) is not None

    def beside(self, module: MessageProxy | None) -> MessageProxy:
        """The way for `$upstream`: this one and, for devices without a token, the module's where there is one."""
        if module is None:
            return self.proxy
        self._split = SplitProxy(devices=self.proxy, module=module, has_token=self._tokens.has)
        return self._split

    def bring_back(self, *, delivery: Delivery, methods: Methods, twins: Twins) -> None:
        """What the cloud has for devices comes down this way from now on. Call it once, before `run`."""
        back = Back(self.proxy, self._emit)
        cloud = CloudTwins(back, twins, self._emit)
        self.proxy.share(back)
        self.proxy.share(cloud)
        self._calls = CloudCalls(back, methods, self._emit)
        delivery.use(CloudSource(back, delivery, self._emit))
        twins.use(cloud)

    async def run(self) -> None:
        """Keep all of it up until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._calls is not None:
                tasks.create_task(self._calls.run(), name="methods of devices")
            tasks.create_task(self.proxy.run(), name="link of devices")
            tasks.create_task(self._presented.keep(), name="devices' own tokens")
            if self._voucher is not None:
                tasks.create_task(self._voucher.run(), name="questions about devices")

    def _on_token(self, who: Identity) -> None:
        (self._split or self.proxy).on_token(who)
