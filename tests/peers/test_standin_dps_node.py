"""The stand-in's provisioning and Node's unmodified SDK, over each of its five transports."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from standin.app import StandIn
from standin.dps import DEFAULT_SCOPE, DpsOptions
from support.amqp_peers import NODE_PROVISIONING, succeed
from support.clients import Client
from support.compatibility import Table, each_of
from support.provisioning import KEY, WRONG_KEY, Files, derived, enrol, enrol_ca_group, enrol_self_signed

ADDRESS = "127.0.72.2"
ROWS = Client.NODE_PROVISIONING.over_each("mqtt", "mqtt-ws", "amqp", "amqp-ws", "http")


def each_seen(*columns: str) -> pytest.MarkDecorator:
    """Each transport, by which this test sees these."""
    return pytest.mark.parametrize("transport", each_of(Table.SERVICE, ROWS, *columns))


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with StandIn(tmp_path / "run", address=ADDRESS, dps=DpsOptions(delay_s=0)) as standin:
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


def plan(standin: StandIn, transport: str, registration: str = "reg-01", **more: Any) -> dict[str, Any]:
    common = {"host": ADDRESS, "scope": DEFAULT_SCOPE, "ca": standin.directory / "trust-bundle.pem", "key": KEY}
    return {key: str(value) for key, value in common.items()} | {
        "transport": transport,
        "registration": registration,
        **more,
    }


def with_files(files: Files) -> dict[str, str]:
    return {"certificate": str(files.chain), "certificate_key": str(files.key)}


async def assigned(standin: StandIn, wanted: dict[str, Any]) -> dict[str, Any]:
    """The registration state of a device that registers, connects to its hub, and sends."""
    said = await succeed(NODE_PROVISIONING, wanted)
    assert said[0]["event"] == "assigned", said
    state: dict[str, Any] = said[0]["state"]
    (event,) = standin.events.read()
    assert (event.device, event.body) == (state["deviceId"], b"hello")
    return state


async def refused(wanted: dict[str, Any]) -> dict[str, Any]:
    said = await succeed(NODE_PROVISIONING, wanted)
    assert said[0]["event"] == "refused", said
    return said[0]


@each_seen("individual key")
async def test_an_enrolled_device_registers_and_sends(standin: StandIn, transport: str) -> None:
    enrol(standin, device="pump-7")
    state = await assigned(standin, plan(standin, transport, payload={"model": "x"}))
    assert (state["assignedHub"], state["deviceId"]) == (ADDRESS, "pump-7")
    assert (state["status"], state["substatus"], state["payload"]) == ("assigned", "initialAssignment", {"model": "x"})


@each_seen("group key")
async def test_a_device_of_a_group_registers_with_its_derived_key_and_sends(standin: StandIn, transport: str) -> None:
    enrol(standin, "meters", group=True)
    state = await assigned(standin, plan(standin, transport, "meter-1", key=derived("meter-1")))
    assert state["deviceId"] == "meter-1"


@each_seen("X.509")
async def test_a_device_with_a_certificate_of_its_own_registers_and_sends(
    standin: StandIn, tmp_path: Path, transport: str
) -> None:
    files = enrol_self_signed(standin, "cert-1", tmp_path)
    await assigned(standin, plan(standin, transport, "cert-1", **with_files(files)))


@each_seen("X.509 CA")
async def test_a_device_of_a_ca_registers_and_sends(standin: StandIn, tmp_path: Path, transport: str) -> None:
    files = enrol_ca_group(standin, "fleet", "fleet-7", tmp_path)
    await assigned(standin, plan(standin, transport, "fleet-7", **with_files(files)))


@each_seen("refusals")
async def test_a_wrong_key_is_refused(standin: StandIn, transport: str) -> None:
    enrol(standin)
    await refused(plan(standin, transport, key=WRONG_KEY))
    assert standin.counters["provisioning refused: wrong key"] == 1


@pytest.mark.parametrize("transport", ["mqtt", "amqp", "http"])
async def test_a_disabled_enrolment_is_a_status_of_its_own(standin: StandIn, transport: str) -> None:
    enrol(standin, enabled=False)
    said = await refused(plan(standin, transport))
    assert said["result"]["registrationState"]["errorCode"] == 401002
    assert said["result"]["status"] == "disabled"


@pytest.mark.parametrize("transport", ["mqtt", "amqp", "http"])
async def test_a_scope_of_somebody_else_is_refused(standin: StandIn, transport: str) -> None:
    enrol(standin)
    await refused(plan(standin, transport, scope="0ne00OTHER"))
    assert standin.counters["provisioning refused: foreign hub"] == 1
