import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.app.provisioning import ProvisioningRoom
from gateway.app.settings import ConfigError, read_environment
from gateway.head.mqtt_dps import MqttProvisioning
from gateway.identity.registry import Registry
from gateway.observe.events import Event
from gateway.observe.head import HttpAction
from gateway.observe.provisioning import AssignmentsNotKept

OFF = """
import sys
import gateway.app.gateway, gateway.head.mqtt
loaded = {name for name in sys.modules if "provisioning" in name or name.endswith(("dps_link", "mqtt_dps", "http_dps"))}
assert loaded <= {"gateway.observe.provisioning"}, loaded
"""


def room(folder: Path, events: list[Event], **environ: str) -> ProvisioningRoom:
    environ = {"GATEWAY_DATA_DIR": str(folder), "GATEWAY_HOST_NAME": "pi.local", **environ}
    return ProvisioningRoom(
        read_environment(environ),
        environ,
        registry=Registry(folder / "devices.json"),
        hub_names=("hub.test",),
        trust_pem=lambda: b"",
        emit=events.append,
        clock=lambda: 0.0,
    )


@pytest.mark.parametrize(
    "said", ["dps.test:", "dps.test:x", "dps.test:0", ":443", "dps..test", "d\u00fcs.test", "a b", "https://dps.test"]
)
async def test_a_service_that_cannot_be_is_told_with_what_to_do(tmp_path: Path, said: str) -> None:
    with pytest.raises(ConfigError, match="unset it if no device registers through here"):
        room(tmp_path, [], GATEWAY_DPS=said)


@pytest.mark.parametrize("hand_out", ["gateway", "hub"])
async def test_it_runs_until_it_is_told_to_stop(tmp_path: Path, hand_out: str) -> None:
    events: list[Event] = []
    (tmp_path / "assignments.json").write_text("{")
    mine = room(tmp_path, events, GATEWAY_DPS="dps.test:8443", GATEWAY_DPS_HAND_OUT=hand_out)
    assert isinstance(mine.visitors, MqttProvisioning)
    assert mine.service().action is HttpAction.PROVISION
    running = asyncio.ensure_future(mine.run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [type(event) for event in events] == [AssignmentsNotKept]


def test_what_is_switched_off_is_not_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
