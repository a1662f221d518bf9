"""What keeps the gateway from starting is said in a sentence, with exit code 2 and no trace of a program."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgeca.authority import Authority
from support.gateway_process import GATEWAY, START_S, STOP_S
from support.gateway_site import GatewaySite, until
from support.paho_device import Dial, let_in

Prepare = Callable[[GatewaySite], Mapping[str, str]]
UNUSABLE = 2


def pair(site: GatewaySite, chain: bytes, key: bytes) -> dict[str, str]:
    """Certificate and key in files."""
    paths = site.folder / "chain.pem", site.folder / "key.pem"
    for path, content in zip(paths, (chain, key), strict=True):
        path.write_bytes(content)
    return {"GATEWAY_CERTIFICATE_FILE": str(paths[0]), "GATEWAY_KEY_FILE": str(paths[1])}


def long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=1000)


def no_certificate_file(site: GatewaySite) -> dict[str, str]:
    missing = str(site.folder / "none.pem")
    return {"GATEWAY_CERTIFICATE_FILE": missing, "GATEWAY_KEY_FILE": missing}


def expired_certificate(site: GatewaySite) -> dict[str, str]:
    made = Authority.create(clock=long_ago).issue_server([site.address], days=30)
    return pair(site, made.chain_pem, made.key_pem)


def foreign_key(site: GatewaySite) -> dict[str, str]:
    one, other = (Authority.create().issue_server([site.address]) for _ in range(2))
    return pair(site, one.chain_pem, other.key_pem)


def unreadable_certificate(site: GatewaySite) -> dict[str, str]:
    return pair(site, b"no certificate", b"no key")


def no_trust_bundle(site: GatewaySite) -> dict[str, str]:
    return {"GATEWAY_TRUST_BUNDLE_FILE": str(site.folder / "none.pem")}


def file_as_data_folder(site: GatewaySite) -> dict[str, str]:
    (site.folder / "file").write_text("")
    return {"GATEWAY_DATA_DIR": str(site.folder / "file")}


def folder_below_a_file(site: GatewaySite) -> dict[str, str]:
    return {"GATEWAY_DATA_DIR": file_as_data_folder(site)["GATEWAY_DATA_DIR"] + "/data"}


def foreign_address(_: GatewaySite) -> dict[str, str]:
    return {"GATEWAY_ADDRESS": "192.0.2.1"}


def broken_registry(site: GatewaySite) -> dict[str, str]:
    (site.data / "devices.json").write_text("{}")
    return {}


def folder_as_sessions(site: GatewaySite) -> dict[str, str]:
    (site.data / "sessions.db").mkdir()
    return {}


def no_names(_: GatewaySite) -> dict[str, str]:
    return {"EdgeDeviceHostName": ""}


def mistyped_setting(_: GatewaySite) -> dict[str, str]:
    return {"GATEWAY_MQTT_PROT": "8883", "GATEWAY_METRICS_PORT": "many"}


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (no_certificate_file, "none.pem cannot be read: No such file or directory. Check that"),
        (expired_certificate, "expired at"),
        (foreign_key, "the key does not belong to the first certificate"),
        (unreadable_certificate, "the chain holds no readable PEM certificate"),
        (no_trust_bundle, "none.pem cannot be read"),
        (file_as_data_folder, "Set GATEWAY_DATA_DIR to a folder"),
        (folder_below_a_file, "Set GATEWAY_DATA_DIR to a folder"),
        (foreign_address, "this machine does not have the address"),
        (broken_registry, "is no registry of devices"),
        (folder_as_sessions, "sessions.db cannot be used"),
        (no_names, "GATEWAY_HOST_NAME is not set"),
        (mistyped_setting, "did you mean GATEWAY_MQTT_PORT?"),
    ],
)
async def test_a_start_that_cannot_be_says_why(site: GatewaySite, prepare: Prepare, says: str) -> None:
    await site.gateway.spawn(**prepare(site))
    assert await site.gateway.exit_code() == UNUSABLE
    (line, *_) = [line for line in site.gateway.lines if says in line] or [site.gateway.transcript()]
    assert line.startswith("gateway: ")
    assert says in line


@pytest.mark.parametrize(
    ("port", "says"),
    [(8883, "another program has the port. Stop it (see 'ss -ltnp"), (9600, "the counters cannot be served")],
)
async def test_a_port_that_is_taken_is_named(site: GatewaySite, port: int, says: str) -> None:
    with socket.create_server((site.address, port)):
        await site.gateway.spawn()
        assert await site.gateway.exit_code() == UNUSABLE
    assert says in site.gateway.transcript()
    assert f"{site.address} port {port}" in site.gateway.transcript()


async def test_a_data_folder_that_may_not_be_written_is_named(site: GatewaySite) -> None:
    if os.geteuid() == 0:  # nothing keeps root from writing; a file in the folder's place is among the cases above
        return
    site.data.chmod(0o500)
    await site.gateway.spawn()
    assert await site.gateway.exit_code() == UNUSABLE
    assert str(site.data) in site.gateway.transcript()
    site.data.chmod(0o700)


async def test_two_gateways_do_not_share_a_data_folder(site: GatewaySite, tmp_path: Path) -> None:
    await site.gateway.start()
    others = {"GATEWAY_METRICS_PORT": "0", "GATEWAY_MQTT_PORT": "8884", "GATEWAY_AMQP_PORT": "5672"}
    second = type(site.gateway)({**site.gateway.environment, **others})
    await second.spawn()
    assert await second.exit_code() == UNUSABLE
    assert str(site.data) in second.transcript()
    second.assert_no_fault()
    async with let_in(site, "d1") as device:
        await device.publish("undisturbed")


async def test_a_gateway_whose_workload_api_is_away_waits_for_it_and_ends_when_told(site: GatewaySite) -> None:
    async with site.without_hub():
        await site.gateway.spawn()
        await site.gateway.said("no server certificate")
        await site.gateway.stop()
        await site.gateway.spawn()
        await site.gateway.said("no server certificate")
    await site.gateway.said("READY", START_S)
    async with let_in(site, "d1") as device:
        await device.publish("patience")
    assert len(await site.arrived(1)) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_with_0_at_once_when_told_during_its_start(site: GatewaySite, number: signal.Signals) -> None:
    await site.gateway.spawn()
    await site.gateway.said("message store opened")
    os.kill(site.gateway.pid, number)
    assert await site.gateway.exit_code(STOP_S) == 0


async def test_a_log_that_nobody_takes_stops_neither_a_start_nor_a_message(site: GatewaySite) -> None:
    # As where the disk of the log is full. What listens to events would fail, each of them, and with it what they tell.
    site.gateway.program = ("sh", "-c", f"exec {GATEWAY} run > /dev/full")
    await site.gateway.spawn(GATEWAY_LOG_LEVEL="debug")
    await site.connected(0)
    async with let_in(site, "d1") as device:
        await device.publish("heard")
    assert len(await site.arrived(1)) == 1
    await site.gateway.stop()


async def test_damaged_sessions_are_set_aside_and_devices_served(site: GatewaySite) -> None:
    (site.data / "sessions.db").write_bytes(b"no database" * 1000)
    await site.gateway.start()
    await site.gateway.said("sessions.db.damaged")
    async with let_in(site, "d1", Dial(clean=False)) as device:
        await device.publish("served")


async def test_a_gateway_with_devices_ends_well_within_the_promise_and_loses_nothing(site: GatewaySite) -> None:
    count = 20
    names = [f"x{number}" for number in range(count)]
    site.register(*names)
    await site.gateway.start()
    async with AsyncExitStack() as everybody:
        devices = [await everybody.enter_async_context(let_in(site, name)) for name in names]
        await asyncio.gather(*(device.publish("here") for device in devices))
        await site.gateway.stop()
        await asyncio.gather(*(device.disconnects.next() for device in devices))
    assert "everything acknowledged is on disk" in site.gateway.transcript()
    await site.gateway.start()
    # What had come before the end and was not answered for in time comes again: none is missing, that is all.
    await until(lambda: {each.properties["leafDeviceId"] for each in site.hub.events.read()} == set(names))
