from dataclasses import fields
from pathlib import Path

import pytest

from gateway.app.settings import SETTINGS, ConfigError, Environment, read_count, read_environment


def test_an_empty_environment_gives_the_defaults_of_the_table() -> None:
    environment = read_environment({})
    assert environment.data_dir == Path("/data")
    assert environment.mqtt_port == 8883
    assert environment.client_certificates
    assert environment.certificate_file is None


def test_each_row_of_the_table_is_a_field_and_each_field_a_row() -> None:
    rows = {setting.name.removeprefix("GATEWAY_").lower() for setting in SETTINGS}
    assert rows == {field.name for field in fields(Environment)}


def test_names_that_iot_edge_sets_stand_in_for_ours() -> None:
    edge = {"EdgeDeviceHostName": "pi.local", "IOTEDGE_IOTHUBHOSTNAME": "hub.example"}
    assert read_environment(edge).host_name == "pi.local"
    assert read_environment(edge).hub_name == "hub.example"
    assert read_environment({**edge, "GATEWAY_HOST_NAME": "site.local"}).host_name == "site.local"


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"GATEWAY_MQTT_PORT": "88x3"}, "must be a whole number (port) from 0 to 65535"),
        ({"GATEWAY_MQTT_PORT": "65536"}, "from 0 to 65535"),
        ({"GATEWAY_MAX_CONNECTIONS": "0"}, "from 1 to"),
        ({"GATEWAY_CLIENT_CERTIFICATES": "maybe"}, "write on or off"),
        ({"GATEWAY_LOG_LEVEL": "inf"}, "did you mean info?"),
        ({"GATEWAY_MQTT_PROT": "1"}, "did you mean GATEWAY_MQTT_PORT?"),
        ({"GATEWAY_KEY_FILE": "/k.pem"}, "belong together"),
        ({"GATEWAY_CONSTRAINED_CERTIFICATE": "/c.pem"}, "belong together"),
        ({"GATEWAY_CONSTRAINED_MAX_PACKET": "255"}, "from 256 to 4096"),
        ({"GATEWAY_CONSTRAINED_MAX_PACKET": "4097"}, "from 256 to 4096"),
    ],
)
def test_a_bad_value_is_refused_with_what_to_do(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_environment(environ)
    assert sentence in str(raised.value)
    assert next(iter(environ)) in str(raised.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        read_environment({"GATEWAY_MQTT_PORT": "x", "GATEWAY_UPSTREAM": "moon"})
    assert len(str(raised.value).splitlines()) == 2


def test_one_number_can_be_had_without_the_others() -> None:
    environ = {"GATEWAY_TOKEN_SKEW_S": "7", "GATEWAY_MQTT_PORT": "x"}
    assert read_count("GATEWAY_TOKEN_SKEW_S", environ) == 7
    assert read_count("GATEWAY_TOKEN_SKEW_S", {}) == 300
    with pytest.raises(ConfigError, match="GATEWAY_MQTT_PORT is 'x'"):
        read_count("GATEWAY_MQTT_PORT", environ)


def test_a_secret_is_not_shown_with_the_settings() -> None:
    secret = "HostName=h;SharedAccessKeyName=service;SharedAccessKey=c2VjcmV0"
    environment = read_environment({"GATEWAY_SERVICE_CONNECTION_STRING": secret})
    assert environment.service_connection_string == secret
    assert "c2VjcmV0" not in repr(environment)
