"""What the environment says of a site's broker, and which topics the rules want of it."""

from pathlib import Path
from typing import Any

import pytest

from gateway.app.document import read_settings
from gateway.app.foreign import ForeignRoom, broker_settings, filter_of
from gateway.app.settings import ConfigError, read_environment
from gateway.head.foreign_dialing import BrokerSettings
from gateway.observe.events import Event
from gateway.topics.pattern import parse_pattern

LEAST = {"GATEWAY_BROKER": "mqtt://broker", "IOTEDGE_DEVICEID": "edge-1"}


def read(**environ: str) -> BrokerSettings:
    whole = {**LEAST, **environ}
    return broker_settings(read_environment(whole), whole)


def test_the_least_that_works() -> None:
    assert read() == BrokerSettings(host="broker", port=1883, is_tls=False, client_id="edge-gateway-edge-1")


@pytest.mark.parametrize(
    ("text", "host", "port", "is_tls"),
    [
        ("mqtts://broker", "broker", 8883, True),
        ("mqtt://10.0.0.1:2883", "10.0.0.1", 2883, False),
        ("mqtts://[fd00::1]:9", "fd00::1", 9, True),
        ("MQTT://broker/", "broker", 1883, False),
    ],
)
def test_addresses(text: str, host: str, port: int, *, is_tls: bool) -> None:
    settings = read(GATEWAY_BROKER=text)
    assert (settings.host, settings.port, settings.is_tls) == (host, port, is_tls)


def test_all_that_can_be_set(tmp_path: Path) -> None:
    settings = read(
        GATEWAY_BROKER="mqtts://broker",
        GATEWAY_BROKER_USER="me",
        GATEWAY_BROKER_PASSWORD_FILE="/p",
        GATEWAY_BROKER_CA_FILE="/ca",
        GATEWAY_BROKER_CERTIFICATE="/c",
        GATEWAY_BROKER_KEY="/k",
        GATEWAY_BROKER_CLIENT_ID="gw",
        GATEWAY_BROKER_VERSION="3.1.1",
        GATEWAY_BROKER_SUBSCRIBE="a/#, $share/g/b/+ ,",
        GATEWAY_BROKER_RETAINED="none",
    )
    assert settings == BrokerSettings(
        host="broker",
        port=8883,
        is_tls=True,
        client_id="gw",
        user="me",
        password_file=Path("/p"),
        ca_file=Path("/ca"),
        certificate=Path("/c"),
        key=Path("/k"),
        is_5=False,
        retained="none",
        subscribe=("a/#", "$share/g/b/+"),
    )


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"GATEWAY_BROKER": "broker:1883"}, "write mqtt://HOST"),
        ({"GATEWAY_BROKER": "http://broker"}, "write mqtt://HOST"),
        ({"GATEWAY_BROKER": "mqtt://"}, "write mqtt://HOST"),
        ({"GATEWAY_BROKER": "mqtt://broker/path"}, "write mqtt://HOST"),
        ({"GATEWAY_BROKER": "mqtt://broker:99999"}, "Port out of range"),
        ({"GATEWAY_BROKER": "mqtt://me:secret@broker"}, "GATEWAY_BROKER_PASSWORD_FILE"),
        ({"GATEWAY_BROKER_PASSWORD_FILE": "/p"}, "GATEWAY_BROKER_USER is not"),
        ({"GATEWAY_BROKER_CA_FILE": "/ca"}, "write mqtts://"),
        ({"GATEWAY_BROKER_CERTIFICATE": "/c", "GATEWAY_BROKER_KEY": "/k"}, "write mqtts://"),
        ({"GATEWAY_BROKER_CERTIFICATE": "/c"}, "belong together: set both, or neither if the broker asks for none"),
        ({"GATEWAY_BROKER_VERSION": "4"}, "5, 3.1.1"),
        ({"GATEWAY_BROKER_SUBSCRIBE": "a/#/b"}, "'a/#/b' is no topic filter"),
        ({"IOTEDGE_DEVICEID": ""}, "GATEWAY_BROKER_CLIENT_ID"),
        ({"GATEWAY_BROKER_CLIENT_ID": "x" * 65_536}, "shorter"),
    ],
)
def test_what_makes_no_sense_is_told_with_what_to_write(environ: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**environ)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "topic_filter"),
    [
        ("site/+room/+kind", "site/+/+"),
        ("site/#rest", "site/#"),
        ("#", "#"),
        ("a/b", "a/b"),
        ("+/x//#", "+/x//#"),
    ],
)
def test_a_rule_s_pattern_is_a_topic_filter_without_its_names(pattern: str, topic_filter: str) -> None:
    assert filter_of(parse_pattern(pattern)) == topic_filter


class Broker:
    """The client, of which only what it is told counts."""

    def __init__(self) -> None:
        self.wanted: list[tuple[str, ...]] = []

    def want(self, filters: tuple[str, ...]) -> None:
        self.wanted.append(filters)


def test_rules_of_this_listener_and_of_all_are_wanted() -> None:
    events: list[Event] = []
    room = ForeignRoom(read_environment(LEAST), LEAST, events.append)
    assert room.status() is None
    broker = Broker()
    room._broker = broker  # type: ignore[assignment] # hears what is wanted
    rules: list[dict[str, Any]] = [
        {"listener": "broker", "match": "site/+room", "device": "{room}"},
        {"listener": "plain", "match": "lab/+room", "device": "{room}"},
        {"match": "any/+room", "device": "{room}"},
    ]
    document = {"schemaVersion": "1.0", "topics": rules}
    settings = read_settings(document).settings
    assert settings is not None
    room.use(settings)
    assert broker.wanted == [("site/+", "any/+")]
