from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edgewire.transport.tls import Security
from gateway.app.bootstrap import GatewayFacts, make_bootstrap
from gateway.app.settings import read_environment
from gateway.identity.reception import Reception
from gateway.identity.registry import Registry
from gateway.observe.bootstrap import RootNotTold
from gateway.observe.events import Event
from support.certificates import rsa_key, self_signed

RSA = self_signed("gateway.local", key=rsa_key())
CURVES = self_signed("gateway.local")


PORTS = {"GATEWAY_CONSTRAINED_MQTT_PORT": "8884", "GATEWAY_CONSTRAINED_HTTPS_PORT": "8444"}


def facts(events: list[Event], security: Security, settings: Mapping[str, Any] = {}, **environ: str) -> GatewayFacts:
    return GatewayFacts(
        read_environment({"GATEWAY_HOST_NAME": "gateway.local", **environ}),
        hub="hub.example",
        security=security,
        trust_pem=lambda: b"",
        settings=lambda: settings,
        emit=events.append,
    )


def test_boards_are_told_the_listener_that_they_can_use() -> None:
    events: list[Event] = []
    security = Security(RSA.pem, RSA.key_pem)
    told = facts(events, security, {"interval": 60})()
    numbers = RSA.key.public_key().public_numbers()
    assert told == {
        "hub": "hub.example",
        "gateway": "gateway.local",
        "mqttPort": 8883,
        "httpsPort": 443,
        "root": {"n": f"{numbers.n:0512x}", "e": 65_537},  # type: ignore[union-attr] # an RSA key
        "settings": {"interval": 60},
    }
    small = facts(events, security, {}, **PORTS)()
    assert small is not None
    assert (small["mqttPort"], small["httpsPort"]) == (8884, 8444)
    assert events == []


def test_a_root_that_boards_cannot_pin_is_said_once_for_each_certificate() -> None:
    events: list[Event] = []
    security = Security(CURVES.pem, CURVES.key_pem)
    told = facts(events, security)
    first = told()
    assert first is not None
    assert [first["root"], told.root(), told.root()] == [None] * 3
    assert [type(event) for event in events] == [RootNotTold]
    assert "is not RSA" in events[0].sentence()
    security.reload(RSA.pem, RSA.key_pem)
    assert told.root() is not None
    security.reload(CURVES.pem, CURVES.key_pem)
    assert told.root() is None
    assert len(events) == 2


def test_where_small_boards_could_not_check_the_gateway_none_is_told_anything() -> None:
    events: list[Event] = []
    assert facts(events, Security(CURVES.pem, CURVES.key_pem), {}, **PORTS)() is None
    assert [type(event) for event in events] == [RootNotTold]


@pytest.mark.parametrize("path", ["/bootstrap/v1/contact", "/bootstrap/v1/time"])
def test_the_service_is_at_its_paths(tmp_path: Path, path: str) -> None:
    events: list[Event] = []
    reception = Reception(Registry(tmp_path / "devices.json"), tmp_path, events.append)
    told = facts(events, Security(RSA.pem, RSA.key_pem))
    service = make_bootstrap(reception, told, None, emit=events.append, clock=lambda: 0.0)
    assert service.claims(path)
    assert not service.claims("/devices/d1/messages/events")
