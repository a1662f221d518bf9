"""The room of the site's own broker: settings, what topic rules hear of it, the client. Only with GATEWAY_BROKER.

One broker. A site with several has them bridged already, or bridges them into this one, or into the plain listener; a
list of brokers would need a file of its own with as many passwords, and save nobody a process.
"""

import urllib.parse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from edgewire.codec.mqtt.topics import check_subscription
from edgewire.errors import ProtocolError
from gateway.app.settings import ConfigError, Environment, gateway_name
from gateway.dispatch.echoes import Echoes
from gateway.dispatch.mapped import MappedIngress
from gateway.head.foreign import LISTENER, ForeignBroker
from gateway.head.foreign_dialing import BrokerSettings
from gateway.observe.events import Event

if TYPE_CHECKING:
    from gateway.app.document import GatewaySettings
    from gateway.topics.pattern import Pattern

PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
"""The ports that IANA has registered for MQTT, without and with TLS."""
MAX_CLIENT_ID_BYTES: Final = 65_535
"""A text of MQTT is no longer. Spec: MQTT 3.1.1 §1.5.3."""


class ForeignRoom:
    """All that there is of the client. Raises ConfigError if the settings make no sense."""

    def __init__(self, environment: Environment, environ: Mapping[str, str], emit: Callable[[Event], None]) -> None:
        self._environment = environment
        self._settings = broker_settings(environment, environ)
        self._gateway = gateway_name(environment, environ)
        self._emit = emit
        self._filters: tuple[str, ...] = ()
        self._broker: ForeignBroker | None = None

    def use(self, settings: "GatewaySettings") -> None:
        """These settings are in force: what their topic rules want is subscribed to, what they want no more is not."""
        rules = () if settings.topics is None else settings.topics.rules
        self._filters = tuple(filter_of(rule.match) for rule in rules if rule.serves(LISTENER))
        if self._broker is not None:
            self._broker.want(self._filters)

    def open(self, intake: MappedIngress, echoes: Echoes) -> None:
        """Connect, and go on trying; nobody waits for it."""
        self._broker = broker = ForeignBroker(
            self._settings,
            intake=intake,
            echoes=echoes,
            gateway=self._gateway,
            folder=self._environment.data_dir,
            emit=self._emit,
        )
        broker.want(self._filters)
        broker.start()

    def report(self) -> None:
        """Tell what was counted."""
        if self._broker is not None:
            self._broker.report()

    def status(self) -> Mapping[str, Any] | None:
        """For `getStatus`."""
        return None if self._broker is None else self._broker.status()

    async def stop(self) -> None:
        """Hear nothing more, and say goodbye."""
        if self._broker is not None:
            await self._broker.stop()


def broker_settings(environment: Environment, environ: Mapping[str, str]) -> BrokerSettings:
    """What the environment says of the broker. Raises ConfigError."""
    scheme, host, port = _address(environment.broker)
    if environment.broker_password_file is not None and not environment.broker_user:
        raise ConfigError("GATEWAY_BROKER_PASSWORD_FILE is set and GATEWAY_BROKER_USER is not: set that, too")
    is_tls = scheme == "mqtts"
    for name, value in (
        ("GATEWAY_BROKER_CA_FILE", environment.broker_ca_file),
        ("GATEWAY_BROKER_CERTIFICATE", environment.broker_certificate),
    ):
        if value is not None and not is_tls:
            raise ConfigError(
                f"{name} is set, and GATEWAY_BROKER begins with mqtt://, which is without TLS: write mqtts://, or "
                f"unset {name}"
            )
    return BrokerSettings(
        host=host,
        port=port,
        is_tls=is_tls,
        client_id=_client_id(environment, environ),
        user=environment.broker_user,
        password_file=environment.broker_password_file,
        ca_file=environment.broker_ca_file,
        certificate=environment.broker_certificate,
        key=environment.broker_key,
        is_5=environment.broker_version == "5",
        retained=environment.broker_retained,
        subscribe=_explicit_filters(environment.broker_subscribe),
    )


def filter_of(pattern: "Pattern") -> str:
    """The topic filter that hears what a pattern of a topic rule matches."""
    levels = ["+"] * pattern.depth
    for place, literal in pattern.literals:
        levels[place] = literal
    return "/".join([*levels, "#"] if pattern.takes_rest else levels)


def _address(text: str) -> tuple[str, str, int]:
    """Scheme, host, port."""
    try:
        url = urllib.parse.urlsplit(text)
        port = url.port
    except ValueError as error:
        raise ConfigError(
            f"GATEWAY_BROKER cannot be read: {error}. Write mqtt://HOST:PORT or mqtts://HOST:PORT"
        ) from error
    if url.username is not None or url.password is not None:
        raise ConfigError(
            "GATEWAY_BROKER holds a user name or password, where logs would show it. Set GATEWAY_BROKER_USER and "
            "GATEWAY_BROKER_PASSWORD_FILE instead"
        )
    if url.scheme not in PORTS or not url.hostname or url.path not in ("", "/") or url.query or url.fragment:
        raise ConfigError(
            f"GATEWAY_BROKER is '{text}': write mqtt://HOST, or mqtts://HOST for TLS, with :PORT behind it if it is "
            f"not {PORTS['mqtt']} or {PORTS['mqtts']}"
        )
    return url.scheme, url.hostname, port or PORTS[url.scheme]


def _client_id(environment: Environment, environ: Mapping[str, str]) -> str:
    name = environ.get("IOTEDGE_DEVICEID") or environment.host_name
    found = environment.broker_client_id or (f"edge-gateway-{name}" if name else "")
    if not found:
        raise ConfigError(
            "GATEWAY_BROKER_CLIENT_ID is not set, and neither is GATEWAY_HOST_NAME: the broker keeps messages for the "
            "gateway under this name. Set it, and do not change it"
        )
    if len(found.encode()) > MAX_CLIENT_ID_BYTES:
        raise ConfigError(f"GATEWAY_BROKER_CLIENT_ID has more than {MAX_CLIENT_ID_BYTES} bytes: make it shorter")
    return found


def _explicit_filters(text: str) -> tuple[str, ...]:
    filters = tuple(one for each in text.split(",") if (one := each.strip()))
    for one in filters:
        try:
            check_subscription(one)
        except ProtocolError as error:
            raise ConfigError(
                f"GATEWAY_BROKER_SUBSCRIBE: '{one}' is no topic filter: {error.what}. Write filters as in "
                "site/+/room/#, with commas between"
            ) from error
    return filters
