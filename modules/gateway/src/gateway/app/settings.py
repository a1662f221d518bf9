"""The one table of settings that belong to the container: names, types, units, defaults, help.

The environment is read by it, `gateway run --help` and docs/settings.md are made from it. What an operator tunes in the
deployment (routes, store limits) is not here but in the settings document: `gateway.app.document`.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Final

_SECRET: Final = re.compile(r"GATEWAY_ENDPOINT_[A-Z0-9_]+_CONNECTION_STRING")
"""Variables of endpoints, whose names the settings document has: `gateway.app.endpoint_secrets`."""


class ConfigError(Exception):
    """The operator's environment does not work; the text says what to change."""


class Kind(Enum):
    """How a value is written."""

    TEXT = "text"
    PATH = "path"
    PORT = "port"
    COUNT = "count"
    SECONDS = "seconds"
    SWITCH = "on or off"
    CHOICE = "one of"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row: `name` is the environment variable, `default` is written as in the environment."""

    name: str
    kind: Kind
    default: str
    help: str
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 1_000_000_000


def _setting(
    name: str, kind: Kind, default: str, text: str, *, least: int = 0, most: int = 1_000_000_000, choices: str = ""
) -> Setting:
    most = 65_535 if kind is Kind.PORT else most
    words = tuple(choices.split())
    return Setting(name=name, kind=kind, default=default, help=text, least=least, most=most, choices=words)


SETTINGS: Final = (
    _setting(
        "GATEWAY_DATA_DIR",
        Kind.PATH,
        "/data",
        "folder of everything that must survive: devices.json, store/, sessions.db, settings.json",
    ),
    _setting("GATEWAY_ADDRESS", Kind.TEXT, "0.0.0.0", "address the listeners for devices bind to"),  # noqa: S104 — a gateway listens for the site's devices
    _setting("GATEWAY_MQTT_PORT", Kind.PORT, "8883", "MQTT over TLS; 0 switches it off"),
    _setting("GATEWAY_AMQP_PORT", Kind.PORT, "5671", "AMQP 1.0 over TLS; 0 switches it off"),
    _setting("GATEWAY_WEBSOCKET_PORT", Kind.PORT, "443", "HTTPS, and MQTT and AMQP over WebSocket; 0 switches it off"),
    _setting(
        "GATEWAY_HOST_NAME",
        Kind.TEXT,
        "",
        "the name devices dial; subject of the server certificate (default: EdgeDeviceHostName, which IoT Edge sets)",
    ),
    _setting(
        "GATEWAY_CERTIFICATE_FILE",
        Kind.PATH,
        "",
        "server certificate chain, PEM, leaf first (default: issued by the workload API and renewed in time)",
    ),
    _setting("GATEWAY_KEY_FILE", Kind.PATH, "", "key of GATEWAY_CERTIFICATE_FILE, PEM"),
    _setting(
        "GATEWAY_TRUST_BUNDLE_FILE",
        Kind.PATH,
        "",
        "CA certificates for devices with CA-signed certificates, PEM (default: the workload API's trust bundle)",
    ),
    _setting(
        "GATEWAY_CRL_FILE",
        Kind.PATH,
        "",
        "lists of revoked certificates, PEM or DER: a file, or a folder of *.pem and *.crl, read again when it changes "
        "(certificates.md)",
    ),
    _setting(
        "GATEWAY_CRL_WHEN_OLD",
        Kind.CHOICE,
        "accept",
        "what a list past its next update means for certificates that are not on it: accept: they are let in; refuse: "
        "nobody of its authority is",
        choices="accept refuse",
    ),
    _setting(
        "GATEWAY_CLIENT_CERTIFICATES",
        Kind.SWITCH,
        "on",
        "ask devices for a certificate; off saves about 10 kB per connection where all of them use tokens",
    ),
    _setting(
        "GATEWAY_CONSTRAINED_MQTT_PORT",
        Kind.PORT,
        "0",
        "MQTT for small boards, over TLS 1.2 without forward secrecy (see devices.md); 0 switches it off",
    ),
    _setting(
        "GATEWAY_CONSTRAINED_HTTPS_PORT",
        Kind.PORT,
        "0",
        "HTTPS for small boards, over the same TLS; 0 switches it off",
    ),
    _setting(
        "GATEWAY_CONSTRAINED_CERTIFICATE",
        Kind.PATH,
        "",
        "certificate chain of both, PEM, leaf first, RSA alone (default: issued by the workload API)",
    ),
    _setting("GATEWAY_CONSTRAINED_KEY", Kind.PATH, "", "key of it, PEM; never that of GATEWAY_KEY_FILE"),
    _setting(
        "GATEWAY_CONSTRAINED_MAX_PACKET",
        Kind.COUNT,
        "1200",
        "bytes of an MQTT packet to such a board, all included; what is larger is refused and told, not sent",
        least=256,
        most=4096,
    ),
    _setting(
        "GATEWAY_BOOTSTRAP_PLAIN_PORT",
        Kind.PORT,
        "0",
        "plain HTTP for the first contact of boards that cannot check or speak TLS yet, and for nothing else (see "
        "boards.md); 0 switches it off",
    ),
    _setting(
        "GATEWAY_PLAIN_PORT",
        Kind.PORT,
        "0",
        "MQTT without TLS for clients with topics and passwords of their own (see plain.md); 0 switches it off",
    ),
    _setting(
        "GATEWAY_PLAIN_ADDRESS",
        Kind.TEXT,
        "127.0.0.1",
        "address or interface (eth1) of that port; nothing there is encrypted, so 0.0.0.0 must be written out",
    ),
    _setting(
        "GATEWAY_HUB_NAME",
        Kind.TEXT,
        "",
        "the IoT Hub host name in user names and tokens of devices (default: IOTEDGE_IOTHUBHOSTNAME)",
    ),
    _setting("GATEWAY_TOKEN_SKEW_S", Kind.SECONDS, "300", "how long after its expiry a token is still taken"),
    _setting(
        "GATEWAY_MAX_CONNECTIONS",
        Kind.COUNT,
        "5000",
        "device connections at once, at each listener; more are refused",
        least=1,
    ),
    _setting(
        "GATEWAY_SETTINGS_FILE",
        Kind.PATH,
        "",
        "settings document read instead of the module twin, and read again when it changes",
    ),
    _setting(
        "GATEWAY_SECRETS_DIR",
        Kind.PATH,
        "/run/secrets",
        "folder with the connection strings of endpoints, a file each; a variable may stand for one (endpoints.md)",
    ),
    _setting(
        "GATEWAY_UPSTREAM",
        Kind.CHOICE,
        "auto",
        "edgehub: send as the module; none: keep everything here; auto: edgehub where the IOTEDGE_ variables are set",
        choices="auto edgehub none",
    ),
    _setting(
        "GATEWAY_UPSTREAM_WINDOW",
        Kind.COUNT,
        "64",
        "messages on their way upstream at once, not yet acknowledged",
        least=1,
    ),
    _setting(
        "GATEWAY_UPSTREAM_STALL_S",
        Kind.SECONDS,
        "60",
        "a link that acknowledges nothing for so long while messages wait is torn down and built anew",
        least=1,
    ),
    _setting(
        "GATEWAY_UPSTREAM_AMQP",
        Kind.TEXT,
        "",
        "send on behalf of devices over AMQP to: edgehub, hub, or a host name with or without a port; their messages, "
        "methods and twins come back that way. Unset: as the module alone, and nothing comes back for them",
    ),
    _setting(
        "GATEWAY_UPSTREAM_AMQP_TRANSPORT",
        Kind.CHOICE,
        "tcp",
        "tcp: port 5671; websocket: port 443, for sites that let nothing else out. HTTPS_PROXY and NO_PROXY count "
        "for both",
        choices="tcp websocket",
    ),
    _setting(
        "GATEWAY_UPSTREAM_AMQP_WINDOW",
        Kind.COUNT,
        "2000",
        "messages on their way at once on behalf of all devices, not yet acknowledged",
        least=1,
    ),
    _setting(
        "GATEWAY_LOWER_GATEWAYS",
        Kind.TEXT,
        "",
        "modules of gateways of ours that send through this one as modules, as edge-2/gateway, with commas between: "
        "where this one sends as its module too, the devices that they name stay named (see fleet.md)",
    ),
    _setting(
        "GATEWAY_UNKNOWN_DEVICES",
        Kind.CHOICE,
        "ask",
        "a device that is not in devices.json and presents a token: ask: let GATEWAY_UPSTREAM_AMQP decide; refuse: "
        "no. Without GATEWAY_UPSTREAM_AMQP it is refused",
        choices="ask refuse",
    ),
    _setting(
        "GATEWAY_TOKEN_PROOFS",
        Kind.TEXT,
        "key",
        "by what boards without a clock may get a token at /tokens/v1/: key, certificate (of the trust bundle, in the "
        "device's name), password (of a user of the device's name), with commas between them; none: they get none",
    ),
    _setting(
        "GATEWAY_DPS",
        Kind.TEXT,
        "",
        "provisioning service that devices may register with through the gateway, over MQTT and HTTPS: "
        "global.azure-devices-provisioning.net, or a host name with or without a port. Unset: none",
    ),
    _setting(
        "GATEWAY_DPS_HAND_OUT",
        Kind.CHOICE,
        "gateway",
        "where a device that was assigned is told to connect to: gateway: here (GATEWAY_HOST_NAME, in "
        "gatewayHostName beside assignedHub); hub: nothing is added to the service's answer",
        choices="gateway hub",
    ),
    _setting(
        "GATEWAY_BROKER",
        Kind.TEXT,
        "",
        "an MQTT broker that the site has, of which the gateway is a client: mqtt://HOST[:PORT], or mqtts:// for TLS "
        "(see brokers.md). Unset: none",
    ),
    _setting("GATEWAY_BROKER_USER", Kind.TEXT, "", "user name there"),
    _setting("GATEWAY_BROKER_PASSWORD_FILE", Kind.PATH, "", "file with the password, read at each try to connect"),
    _setting(
        "GATEWAY_BROKER_CA_FILE",
        Kind.PATH,
        "",
        "CA certificates, PEM, that must have signed the broker's (default: those of the system)",
    ),
    _setting("GATEWAY_BROKER_CERTIFICATE", Kind.PATH, "", "the gateway's own certificate chain for that broker, PEM"),
    _setting("GATEWAY_BROKER_KEY", Kind.PATH, "", "key of it, PEM"),
    _setting(
        "GATEWAY_BROKER_CLIENT_ID",
        Kind.TEXT,
        "",
        "client id there; the broker keeps messages under it, so it must stay (default: edge-gateway- and "
        "IOTEDGE_DEVICEID, or else GATEWAY_HOST_NAME)",
    ),
    _setting("GATEWAY_BROKER_VERSION", Kind.CHOICE, "5", "version of MQTT there", choices="5 3.1.1"),
    _setting(
        "GATEWAY_BROKER_SUBSCRIBE",
        Kind.TEXT,
        "",
        "topic filters to subscribe to beside those of the topic rules, with commas between",
    ),
    _setting(
        "GATEWAY_BROKER_RETAINED",
        Kind.CHOICE,
        "new",
        "messages that the broker has retained: new: taken unless the same was taken from their topic before; all: "
        "taken at each reconnect; none: left alone",
        choices="new all none",
    ),
    _setting(
        "GATEWAY_RELEASE_KEY",
        Kind.PATH,
        "",
        "public key, PEM, that must have signed the firmware of boards; unset: whatever boards themselves will check",
    ),
    _setting(
        "GATEWAY_METRICS_ADDRESS",
        Kind.TEXT,
        "127.0.0.1",
        "address of the counters, /metrics in Prometheus' form, and of the page that `gateway page` leads to",
    ),
    _setting("GATEWAY_METRICS_PORT", Kind.PORT, "9600", "port of both; 0 switches them off"),
    _setting(
        "GATEWAY_METRICS_PER_DEVICE",
        Kind.SWITCH,
        "off",
        "count received messages by device too, 1,000 of them at most (metrics.md); each is a series of its own",
    ),
    _setting(
        "GATEWAY_WATCHDOG_SECS",
        Kind.SECONDS,
        "60",
        "a gateway whose event loop, or whose disk, makes no progress for so long ends itself, so that the agent "
        "starts it again (health.md); 0 switches it off",
        most=86_400,
    ),
    _setting(
        "GATEWAY_SERVICE_CONNECTION_STRING",
        Kind.TEXT,
        "",
        "a secret: connection string of a policy of the hub with ServiceConnect, by which the page reads and edits "
        "twins of devices in the hub (see page.md)",
    ),
    _setting(
        "GATEWAY_LOG_LEVEL", Kind.CHOICE, "info", "quietest line that is written", choices="debug info warning error"
    ),
    _setting("GATEWAY_LOG_FORMAT", Kind.CHOICE, "human", "form of log lines", choices="human json"),
)

_BY_NAME: Final[Mapping[str, Setting]] = MappingProxyType({setting.name: setting for setting in SETTINGS})
_SWITCH: Final[Mapping[str, bool]] = MappingProxyType(
    {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
)
_SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "GATEWAY_HOST_NAME": ("EdgeDeviceHostName", "EDGEDEVICEHOSTNAME"),
        "GATEWAY_HUB_NAME": ("IOTEDGE_IOTHUBHOSTNAME",),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The settings of one start, checked."""

    data_dir: Path
    address: str
    mqtt_port: int
    amqp_port: int
    websocket_port: int
    host_name: str
    certificate_file: Path | None
    key_file: Path | None
    trust_bundle_file: Path | None
    crl_file: Path | None
    crl_when_old: str
    client_certificates: bool
    constrained_mqtt_port: int
    constrained_https_port: int
    constrained_certificate: Path | None
    constrained_key: Path | None
    constrained_max_packet: int
    bootstrap_plain_port: int
    plain_port: int
    plain_address: str
    hub_name: str
    token_skew_s: int
    max_connections: int
    settings_file: Path | None
    secrets_dir: Path
    upstream: str
    upstream_window: int
    upstream_stall_s: int
    upstream_amqp: str
    upstream_amqp_transport: str
    upstream_amqp_window: int
    lower_gateways: str
    unknown_devices: str
    token_proofs: str
    dps: str
    dps_hand_out: str
    release_key: Path | None
    broker: str
    broker_user: str
    broker_password_file: Path | None
    broker_ca_file: Path | None
    broker_certificate: Path | None
    broker_key: Path | None
    broker_client_id: str
    broker_version: str
    broker_subscribe: str
    broker_retained: str
    metrics_address: str
    metrics_port: int
    metrics_per_device: bool
    watchdog_secs: int
    service_connection_string: str = field(repr=False)
    log_level: str
    log_format: str


def read_environment(environ: Mapping[str, str]) -> Environment:
    """The settings in `environ`. Raises ConfigError with all that is wrong, and what to do about each."""
    reader = _Reader(environ)
    certificate, key = reader.pair("GATEWAY_CERTIFICATE_FILE", "GATEWAY_KEY_FILE")
    small_certificate, small_key = reader.pair("GATEWAY_CONSTRAINED_CERTIFICATE", "GATEWAY_CONSTRAINED_KEY")
    broker_certificate, broker_key = reader.pair(
        "GATEWAY_BROKER_CERTIFICATE", "GATEWAY_BROKER_KEY", "if the broker asks for none"
    )
    environment = Environment(
        data_dir=Path(reader.text("GATEWAY_DATA_DIR")),
        address=reader.text("GATEWAY_ADDRESS"),
        mqtt_port=reader.number("GATEWAY_MQTT_PORT"),
        amqp_port=reader.number("GATEWAY_AMQP_PORT"),
        websocket_port=reader.number("GATEWAY_WEBSOCKET_PORT"),
        host_name=reader.text("GATEWAY_HOST_NAME"),
        certificate_file=certificate,
        key_file=key,
        trust_bundle_file=reader.file("GATEWAY_TRUST_BUNDLE_FILE"),
        crl_file=reader.file("GATEWAY_CRL_FILE"),
        crl_when_old=reader.choice("GATEWAY_CRL_WHEN_OLD"),
        client_certificates=reader.switch("GATEWAY_CLIENT_CERTIFICATES"),
        constrained_mqtt_port=reader.number("GATEWAY_CONSTRAINED_MQTT_PORT"),
        constrained_https_port=reader.number("GATEWAY_CONSTRAINED_HTTPS_PORT"),
        constrained_certificate=small_certificate,
        constrained_key=small_key,
        constrained_max_packet=reader.number("GATEWAY_CONSTRAINED_MAX_PACKET"),
        bootstrap_plain_port=reader.number("GATEWAY_BOOTSTRAP_PLAIN_PORT"),
        plain_port=reader.number("GATEWAY_PLAIN_PORT"),
        plain_address=reader.text("GATEWAY_PLAIN_ADDRESS"),
        hub_name=reader.text("GATEWAY_HUB_NAME"),
        token_skew_s=reader.number("GATEWAY_TOKEN_SKEW_S"),
        max_connections=reader.number("GATEWAY_MAX_CONNECTIONS"),
        settings_file=reader.file("GATEWAY_SETTINGS_FILE"),
        secrets_dir=Path(reader.text("GATEWAY_SECRETS_DIR")),
        upstream=reader.choice("GATEWAY_UPSTREAM"),
        upstream_window=reader.number("GATEWAY_UPSTREAM_WINDOW"),
        upstream_stall_s=reader.number("GATEWAY_UPSTREAM_STALL_S"),
        upstream_amqp=reader.text("GATEWAY_UPSTREAM_AMQP"),
        upstream_amqp_transport=reader.choice("GATEWAY_UPSTREAM_AMQP_TRANSPORT"),
        upstream_amqp_window=reader.number("GATEWAY_UPSTREAM_AMQP_WINDOW"),
        lower_gateways=reader.text("GATEWAY_LOWER_GATEWAYS"),
        unknown_devices=reader.choice("GATEWAY_UNKNOWN_DEVICES"),
        token_proofs=reader.text("GATEWAY_TOKEN_PROOFS"),
        dps=reader.text("GATEWAY_DPS"),
        dps_hand_out=reader.choice("GATEWAY_DPS_HAND_OUT"),
        release_key=reader.file("GATEWAY_RELEASE_KEY"),
        broker=reader.text("GATEWAY_BROKER"),
        broker_user=reader.text("GATEWAY_BROKER_USER"),
        broker_password_file=reader.file("GATEWAY_BROKER_PASSWORD_FILE"),
        broker_ca_file=reader.file("GATEWAY_BROKER_CA_FILE"),
        broker_certificate=broker_certificate,
        broker_key=broker_key,
        broker_client_id=reader.text("GATEWAY_BROKER_CLIENT_ID"),
        broker_version=reader.choice("GATEWAY_BROKER_VERSION"),
        broker_subscribe=reader.text("GATEWAY_BROKER_SUBSCRIBE"),
        broker_retained=reader.choice("GATEWAY_BROKER_RETAINED"),
        metrics_address=reader.text("GATEWAY_METRICS_ADDRESS"),
        metrics_port=reader.number("GATEWAY_METRICS_PORT"),
        metrics_per_device=reader.switch("GATEWAY_METRICS_PER_DEVICE"),
        watchdog_secs=reader.number("GATEWAY_WATCHDOG_SECS"),
        service_connection_string=reader.text("GATEWAY_SERVICE_CONNECTION_STRING"),
        log_level=reader.choice("GATEWAY_LOG_LEVEL"),
        log_format=reader.choice("GATEWAY_LOG_FORMAT"),
    )
    reader.find_unknown_names()
    if reader.problems:
        raise ConfigError("\n".join(reader.problems))
    return environment


def read_text(name: str, environ: Mapping[str, str]) -> str:
    """One setting as it stands, or its default, for a command that needs no other."""
    return _Reader(environ).text(name)


def read_count(name: str, environ: Mapping[str, str]) -> int:
    """One numeric setting, for a command that needs no other. Raises ConfigError."""
    reader = _Reader(environ)
    number = reader.number(name)
    if reader.problems:
        raise ConfigError("\n".join(reader.problems))
    return number


def gateway_name(environment: Environment, environ: Mapping[str, str]) -> str:
    """By which other gateways and this one know a message that it has sent on."""
    return environ.get("IOTEDGE_DEVICEID") or environment.host_name or "gateway"


class _Reader:
    """Reads values by the table, and collects what is wrong instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, name: str) -> str:
        """The value as it stands, or of a name that IoT Edge sets, or the default."""
        for candidate in (name, *_SYNONYMS.get(name, ())):
            if self._environ.get(candidate):
                return self._environ[candidate]
        return _BY_NAME[name].default

    def file(self, name: str) -> Path | None:
        """The path of a file, None if unset."""
        value = self.text(name)
        return Path(value) if value else None

    def pair(
        self, certificate: str, key: str, neither: str = "for a certificate from the workload API"
    ) -> tuple[Path | None, Path | None]:
        """The files of a certificate and its key, both or none."""
        files = self.file(certificate), self.file(key)
        if (files[0] is None) != (files[1] is None):
            self.problems.append(f"{certificate} and {key} belong together: set both, or neither {neither}")
        return files

    def number(self, name: str) -> int:
        """A whole number in the range of its kind."""
        row, value = _BY_NAME[name], self.text(name)
        if value.isascii() and value.isdigit() and row.least <= int(value) <= row.most:
            return int(value)
        self.problems.append(
            f"{name} is '{value}': it must be a whole number ({row.kind.value}) from {row.least} to {row.most}. "
            f"Correct it, or unset it for the default of {row.default}"
        )
        return int(row.default)

    def switch(self, name: str) -> bool:
        """On or off."""
        row, value = _BY_NAME[name], self.text(name)
        if value.lower() not in _SWITCH:
            self.problems.append(f"{name} is '{value}': write on or off, or unset it for the default of {row.default}")
        return _SWITCH.get(value.lower(), row.default == "on")

    def choice(self, name: str) -> str:
        """One of the row's words."""
        row, value = _BY_NAME[name], self.text(name)
        if value in row.choices:
            return value
        self.problems.append(
            f"{name} is '{value}': it must be one of {', '.join(row.choices)}{_near(value, row.choices)}"
        )
        return row.default

    def find_unknown_names(self) -> None:
        """A mistyped name must not be ignored in silence."""
        for name in sorted(self._environ):
            if name.startswith("GATEWAY_") and name not in _BY_NAME and _SECRET.fullmatch(name) is None:
                self.problems.append(f"{name} is no setting of the gateway{_near(name, tuple(_BY_NAME))}")


def _near(word: str, known: tuple[str, ...]) -> str:
    match = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {match[0]}?" if match else ""
