"""Where the gateway dials, as its settings say: hosts, ports, what is spoken there."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from edgewire.transport.proxy import ProxyError, proxy_for
from gateway.app.devices_upstream import AMQPS_PORT, WEBSOCKET_PORT, place_of
from gateway.app.dialing import read_place
from gateway.app.endpoint_secrets import EndpointSecrets
from gateway.app.foreign import broker_settings
from gateway.app.provisioning import HTTPS_PORT
from gateway.app.settings import ConfigError
from gateway.app.upstream import has_upstream
from gateway.doctor.patient import Patient
from gateway.upstream.endpoint import AccessError, EndpointSettings, EndpointTransport, EndpointType, KafkaLogin

MQTTS_PORT: Final = 8883
KAFKA_PORT: Final = 9092


class Speech(Enum):
    """What is tried there."""

    TCP = "TCP"
    TLS = "TLS"
    AMQP = "AMQP"
    AMQP_WEBSOCKET = "AMQP in a WebSocket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A place that the gateway dials; `what` names it for a person."""

    what: str
    host: str
    port: int
    speech: Speech
    proxy_host: str = ""
    authorities: bytes | None = None
    """Whom to believe there alone; None for the system's authorities and the trust bundle."""

    @property
    def dialled_host(self) -> str:
        """Whose name is looked up: the proxy's where there is one, who looks up the other."""
        return self.proxy_host or self.host


def places_of(patient: Patient) -> list[Target]:
    """All of them. Raises NotCheckedError if the settings cannot be used."""
    return [*_module(patient), *_devices(patient), *_provisioning(patient), *_broker(patient), *_endpoints(patient)]


def _module(patient: Patient) -> Iterator[Target]:
    if not has_upstream(patient.settings, patient.environ):
        return
    host = patient.environ.get("IOTEDGE_GATEWAYHOSTNAME") or connection_fields(
        patient.environ.get("EdgeHubConnectionString", "")
    ).get("gatewayhostname", "")
    if host:
        yield Target(what="edgeHub, as the module", host=host, port=MQTTS_PORT, speech=Speech.TLS)


def _devices(patient: Patient) -> Iterator[Target]:
    try:
        place = place_of(patient.settings, patient.environ)
    except ConfigError:
        return  # `settings` says it
    if place is None:
        return
    websocket = patient.settings.upstream_amqp_transport == "websocket"
    yield Target(
        what="upstream, on behalf of devices",
        host=place.host,
        port=place.port,
        speech=Speech.AMQP_WEBSOCKET if websocket else Speech.AMQP,
        proxy_host=_proxy(patient, place.host),
    )


def _provisioning(patient: Patient) -> Iterator[Target]:
    place = read_place(patient.settings.dps, HTTPS_PORT) if patient.settings.dps else None
    if place is not None:
        yield Target(
            what="provisioning service",
            host=place.host,
            port=place.port,
            speech=Speech.TLS,
            proxy_host=_proxy(patient, place.host),
        )


def _broker(patient: Patient) -> Iterator[Target]:
    if not patient.settings.broker:
        return
    try:
        broker = broker_settings(patient.settings, patient.environ)
        authorities = b"" if broker.ca_file is None else broker.ca_file.read_bytes()
    except (ConfigError, OSError):
        return  # `settings` says it
    speech = Speech.TLS if broker.is_tls else Speech.TCP
    yield Target(what="the site's broker", host=broker.host, port=broker.port, speech=speech, authorities=authorities)


def _endpoints(patient: Patient) -> Iterator[Target]:
    if patient.reading is None or patient.reading.settings is None:
        return
    secrets = EndpointSecrets(patient.settings.secrets_dir, patient.environ)
    for endpoint in patient.reading.settings.endpoints.values():
        try:
            file = secrets.authorities(endpoint)
            authorities = None if file is None else file.read_bytes()
            if endpoint.type is EndpointType.KAFKA:
                yield from _kafka(endpoint, authorities)
            else:
                yield _event_hub(endpoint, secrets.event_hub(endpoint).host, authorities)
        except (AccessError, OSError):
            continue  # `secrets` says it


def _kafka(endpoint: EndpointSettings, authorities: bytes | None) -> Iterator[Target]:
    is_plain = endpoint.login is KafkaLogin.NONE and authorities is None
    for server in endpoint.servers:
        place = read_place(server, KAFKA_PORT)
        if place is not None:
            yield Target(
                what=f"endpoint '{endpoint.name}'",
                host=place.host,
                port=place.port,
                speech=Speech.TCP if is_plain else Speech.TLS,
                authorities=authorities,
            )


def _event_hub(endpoint: EndpointSettings, host: str, authorities: bytes | None) -> Target:
    websocket = endpoint.transport is EndpointTransport.WEBSOCKET
    place = read_place(endpoint.host or host, WEBSOCKET_PORT if websocket else AMQPS_PORT)
    return Target(
        what=f"endpoint '{endpoint.name}'",
        host=host if place is None else place.host,
        port=AMQPS_PORT if place is None else place.port,
        speech=Speech.TLS if websocket else Speech.AMQP,
        authorities=authorities,
    )


def _proxy(patient: Patient, host: str) -> str:
    try:
        proxy = proxy_for(host, patient.environ)
    except ProxyError:
        return ""
    return "" if proxy is None else proxy.host


def connection_fields(text: str) -> dict[str, str]:
    """The fields of a connection string, their names in small letters."""
    parts = (part.strip().partition("=") for part in text.split(";"))
    return {name.strip().lower(): value for name, equals, value in parts if equals}
