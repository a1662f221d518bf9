"""Debian's mosquitto_pub and mosquitto_sub with a SAS token as its password and our root as its CA file."""

import asyncio

import pytest

from edgewire.iothub import sas
from edgewire.message import identity
from support.clients import Client
from support.compatibility import Table, each_of, works
from support.gateway_site import KEY, PATIENCE_S, GatewaySite, until
from support.paho_device import JSON

EVENTS = "devices/d1/messages/events/"
CONNECTION_REFUSED = 5
ROWS = {"mqttv311": Client.MOSQUITTO.over("mqtt3"), "mqttv5": Client.MOSQUITTO.over("mqtt5")}
"""By the names that the programs have for the versions."""


async def run(site: GatewaySite, program: str, *more: str, token: str | None = None) -> tuple[int, str]:
    """Run a program of mosquitto's as device d1. Returns its exit code and what it said."""
    arguments = ["--host", site.address, "--port", "8883", "--cafile", str(site.root_file), "--id", "d1"]
    arguments += ["--username", site.username("d1"), "--pw", token or site.token("d1"), "--qos", "1", *more]
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def publish(site: GatewaySite, *more: str, token: str | None = None) -> tuple[int, str]:
    """Run mosquitto_pub as device d1."""
    return await run(site, "mosquitto_pub", *more, token=token)


@pytest.mark.parametrize("version", each_of(Table.GATEWAY, ROWS, "telemetry"))
async def test_it_publishes(site: GatewaySite, version: str) -> None:
    await site.gateway.start()
    code, said = await publish(site, "-V", version, "--topic", EVENTS + JSON + "&a=b", "--message", '{"t":31}')
    assert code == 0, said
    (event,) = await site.arrived(1)
    assert event.body == b'{"t":31}'
    assert event.properties == {"a": "b", "leafDeviceId": "d1"}
    assert event.system["contentType"] == "application/json"


@pytest.mark.parametrize("version", each_of(Table.GATEWAY, ROWS, "C2D"))
async def test_it_hears_what_the_cloud_sends(site: GatewaySite, version: str) -> None:
    site.hub.add_device("d1", keys=(sas.encode_key(KEY),))
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub")
    await site.gateway.said("connected upstream on behalf of devices")
    site.hub.send_c2d(identity("d1"), b"turn left")
    one = ("-V", version, "--topic", "devices/d1/messages/devicebound/#", "-C", "1")
    assert await run(site, "mosquitto_sub", *one) == (0, "turn left\n")
    await until(lambda: site.hub.counters["c2d completed"] == 1)


async def test_lines_of_a_file_arrive_in_their_order(site: GatewaySite) -> None:
    await site.gateway.start()
    lines = site.folder / "lines"
    lines.write_text("".join(f"{number}\n" for number in range(500)))
    shell = f"exec mosquitto_pub -h {site.address} -p 8883 --cafile {site.root_file} -i d1 -q 1 -l -t {EVENTS} "
    shell += f"-u '{site.username('d1')}' -P '{site.token('d1')}' < {lines}"
    process = await asyncio.create_subprocess_shell(shell)
    async with asyncio.timeout(PATIENCE_S):
        assert await process.wait() == 0
    events = await site.arrived(500)
    assert [int(event.body) for event in events] == list(range(500))


@works(Table.GATEWAY, ROWS["mqttv311"], "refusals")
async def test_a_wrong_password_is_told_to_it(site: GatewaySite) -> None:
    await site.gateway.start()
    wrong = site.token("d1", key=b"x" * 32)
    code, said = await publish(site, "--topic", EVENTS, "--message", "x", token=wrong)
    assert code == CONNECTION_REFUSED
    assert "not authorised" in said.lower()
