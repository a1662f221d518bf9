"""Batches of all devices are told where nobody can send them: the module has no way upstream."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import identity
from gateway.app.document import GatewaySettings, read_settings
from gateway.app.settings import read_environment
from gateway.app.unsent import UnsentBatches
from gateway.identity.registry import Registry
from gateway.identity.roster import NoCredential, Registration, Roster, SymmetricKeys
from gateway.observe.events import Event
from gateway.observe.sending import BatchesWithoutSender

ON_BEHALF = {"GATEWAY_UPSTREAM_AMQP": "hub", "GATEWAY_UPSTREAM": "none", "IOTEDGE_DEVICEID": "edge-1"}
TOLD = BatchesWithoutSender("all", "edge-1/gateway")


def settings(**sends: Any) -> GatewaySettings:
    routes = {name: {"route": "FROM /messages/* INTO $upstream", "send": send} for name, send in sends.items()}
    found = read_settings({"routes": routes}).settings
    assert found is not None
    return found


ROUTES = settings(
    all={"batch": {"per": "route"}},
    each={"batch": {}},
    mean={"aggregate": {"windowSecs": 5, "values": {"n": "$body.n"}}},
)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        (ON_BEHALF, [TOLD]),
        (ON_BEHALF | {"GATEWAY_UPSTREAM": "edgehub"}, []),
        (ON_BEHALF | {"GATEWAY_UPSTREAM": "auto"}, [TOLD]),
        (ON_BEHALF | {"GATEWAY_UPSTREAM": "auto", "IOTEDGE_WORKLOADURI": "unix:///w"}, []),
        (ON_BEHALF | {"GATEWAY_UPSTREAM_AMQP": ""}, []),
    ],
)
def test_only_batches_of_all_devices_and_only_where_the_module_has_no_way(
    environ: dict[str, str], told: list[Event], tmp_path: Path
) -> None:
    events: list[Event] = []
    unsent = UnsentBatches(read_environment(environ), environ, Registry(tmp_path / "devices.json"), events.append)
    unsent.use(ROUTES)
    assert events == told
    assert unsent.routes == ("all",) * len(told)
    unsent.use(settings())
    assert unsent.routes == ()


def test_the_module_may_have_a_key_here(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "devices.json")
    events: list[Event] = []
    unsent = UnsentBatches(read_environment(ON_BEHALF), ON_BEHALF, registry, events.append)
    unsent.use(ROUTES)
    for entry in (
        Registration(identity("edge-1"), NoCredential()),
        Registration(identity("edge-1", "gateway"), SymmetricKeys(b"k" * 32, b"l" * 32)),
    ):
        registry.edit(partial(Roster.with_registration, registration=entry))
    assert unsent.routes == ()
    unsent.use(ROUTES)
    assert events == [TOLD]
