"""Provisioning through the gateway, as the settings want it: which service, what is remembered, who is served."""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from gateway.app.dialing import Dialer, read_place
from gateway.app.settings import ConfigError, Environment
from gateway.dispatch.provisioning import Provisioning
from gateway.head.mqtt_dps import MqttProvisioning
from gateway.identity.assignments import FILE_NAME, Assignments
from gateway.identity.registry import Registry
from gateway.observe.events import Event
from gateway.upstream.dps_link import DpsLink

if TYPE_CHECKING:
    from gateway.head.http_services import HttpService

HTTPS_PORT: Final = 443
_HOST: Final = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|[0-9A-Fa-f:.]{2,45}")
"""A name as DNS has it, or an address: it is written into requests."""


class ProvisioningRoom:
    """The service that GATEWAY_DPS names, for devices that register through the gateway. Raises ConfigError.

    `clock` gives seconds since 1970, never less than a time known to have been.
    """

    def __init__(
        self,
        environment: Environment,
        environ: Mapping[str, str],
        *,
        registry: Registry,
        hub_names: tuple[str, ...],
        trust_pem: Callable[[], bytes],
        emit: Callable[[Event], None],
        clock: Callable[[], float],
    ) -> None:
        place = read_place(environment.dps, HTTPS_PORT)
        if place is None or _HOST.fullmatch(place.host) is None:
            raise ConfigError(
                f"GATEWAY_DPS is '{environment.dps}': it must be a host name, with a port or without, such as "
                "global.azure-devices-provisioning.net. Correct it, or unset it if no device registers through here"
            )
        host = f"[{place.host}]" if ":" in place.host else place.host
        name = host if place.port == HTTPS_PORT else f"{host}:{place.port}"
        dialer = Dialer(place, environ, websocket=None, trust_pem=trust_pem, emit=emit)
        self._link = DpsLink(name, dialer.dial, place=name, emit=emit)
        self._assignments = Assignments(environment.data_dir / FILE_NAME, registry, emit, clock)
        self._provisioning = Provisioning(
            self._link,
            self._assignments,
            gateway=environment.host_name if environment.dps_hand_out == "gateway" else "",
            hub_names=hub_names,
            emit=emit,
            clock=clock,
            skew_s=environment.token_skew_s,
        )
        self.visitors = MqttProvisioning(self._provisioning, emit)

    def service(self) -> "HttpService":
        """What serves it over HTTPS, for who is the first to come that way."""
        from gateway.head.http_dps import HttpProvisioning  # noqa: PLC0415 — most devices come by MQTT

        return HttpProvisioning(self._provisioning)

    async def run(self) -> None:
        """Ask the service and keep what it says, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._link.run(), name="questions to the provisioning service")
            tasks.create_task(self._assignments.keep_written(), name="assignments")
