import json

import pytest

from standin.app import StandIn
from support.standin_commands import run


async def test_devices_are_added_listed_disabled_enabled_and_removed(
    standin: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    said = await run(standin, capsys, "devices", "add", "leaf")
    assert said.out.startswith("HostName=standin-hub.test;DeviceId=leaf;SharedAccessKey=")
    assert "x509=true" in (await run(standin, capsys, "devices", "add", "x", "--thumbprint", "A" * 40)).out
    added = json.loads((await run(standin, capsys, "devices", "add", "leaf/m", "--json")).out)
    assert added["moduleId"] == "m"
    assert (await run(standin, capsys, "devices", "disable", "leaf")).out == "leaf is disabled\n"
    said = await run(standin, capsys, "devices", "list")
    assert said.out.splitlines() == [
        "edge-1  sas, enabled",
        "edge-1/m1  sas, enabled",
        "leaf  sas, disabled",
        "leaf/m  sas, enabled",
        "x  selfSigned, enabled",
    ]
    assert (await run(standin, capsys, "devices", "enable", "leaf")).out == "leaf is enabled\n"
    assert (await run(standin, capsys, "devices", "remove", "leaf")).out == "leaf is removed\n"
    assert len(json.loads((await run(standin, capsys, "devices", "list", "--json")).out)["devices"]) == 3


async def test_a_device_that_is_there_already_is_not_added(
    standin: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    said = await run(standin, capsys, "devices", "add", "edge-1")
    assert said.code == 1
    assert "already" in said.err
