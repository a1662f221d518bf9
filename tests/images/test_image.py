"""The image, run as the deployment template says: hardened, its ports published, the stand-in outside of it."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.amqp_peers import BODIES, MESSAGES, UAMQP, Server, accepted, succeed
from support.container_site import TEMPLATE, ContainerSite, gateway_in, podman, podman_beside
from support.gateway_site import MODULE
from support.numbered_devices import all_arrived, judge, numbered, progress, sending
from support.paho_device import JSON, let_in

pytestmark = pytest.mark.timeout(1500)  # the first one waits for the image to be built
ALL = {"all": "FROM /messages/* INTO $upstream"}
OPTIONS: Any = gateway_in(TEMPLATE)["settings"]["createOptions"]


def image_config(image: str) -> Any:
    [document] = json.loads(podman("image", "inspect", image))
    return document["Config"]


async def started(site: ContainerSite) -> None:
    site.hub.set_desired(MODULE, {"schemaVersion": "1.0", "routes": ALL})
    await site.container.start()


async def test_messages_go_in_by_published_ports_and_arrive_at_the_hub(site: ContainerSite) -> None:
    await started(site)
    site.register("d1", "d2")
    async with let_in(site, "d1") as device:
        await device.publish('{"messageType":"alert"}', JSON)
    said = await succeed(UAMQP, Server.of(site).token("d2", messages=MESSAGES))
    assert accepted(said) == len(MESSAGES)
    arrived = await site.arrived(1 + len(MESSAGES))
    assert [event.body for event in arrived] == [
        b'{"messageType":"alert"}',
        *BODIES,
    ]


async def test_https_is_published_at_443(site: ContainerSite) -> None:
    await started(site)
    site.register("d1")
    address = f"https://{site.address}/devices/d1/messages/events?api-version=2021-04-12"
    headers = {"authorization": site.token("d1")}
    async with (
        aiohttp.ClientSession() as session,
        session.post(address, data=b"x", headers=headers, ssl=site.client_tls()) as answer,
    ):
        assert answer.status == 204
    [event] = await site.arrived(1)
    assert event.body == b"x"


async def test_it_runs_with_nothing_but_what_the_template_grants(site: ContainerSite) -> None:
    await started(site)
    status = site.container.status()
    assert set(status["Uid"].split() + status["Gid"].split()) == {"13699"}
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"
    limits = podman("container", "inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}", "gateway")
    assert limits == f"{OPTIONS['HostConfig']['Memory']} {OPTIONS['HostConfig']['PidsLimit']}"
    written = [
        site.container.run_inside("sh", "-c", f"touch {place}/x 2>&1 && echo written", check=False)
        for place in ("/", "/run", "/var/tmp", "/opt/gateway")
    ]
    assert not [text for text in written if "written" in text]
    assert "written" in site.container.run_inside("sh", "-c", "touch /tmp/x /data/x && echo written")


async def test_the_engine_sees_that_it_lives(site: ContainerSite) -> None:
    await started(site)
    await podman_beside("healthcheck", "run", "gateway")
    assert podman("container", "inspect", "--format", "{{.State.Health.Status}}", "gateway") == "healthy"


async def test_sigterm_under_load_loses_nothing_that_was_acknowledged(site: ContainerSite) -> None:
    await started(site)
    devices = numbered(site, 3)
    async with sending(devices):
        await progress(devices, 200)
        took_s = await site.container.stop()
        assert took_s < site.container.stop_timeout_s
        acknowledged = [len(device.acknowledged) for device in devices]
        await site.container.start()
        await progress(devices, 20, patience_s=60)
    assert min(acknowledged) >= 200
    judge(devices, await all_arrived(site, devices)).assert_none()


async def test_the_line_is_compiled_and_nothing_to_build_with_was_left(image: str) -> None:
    def python(program: str) -> str:
        return podman("run", "--rm", "--network=none", "--entrypoint", "python", image, "-c", program)

    assert python("import gateway.dispatch.ingress as line; print(line.__file__)").endswith(".so")
    names = ("pip", "setuptools", "mypy", "debugpy")
    assert python(f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])") == "[]"
    assert python("import shutil; print([n for n in ('gcc', 'cc', 'pip') if shutil.which(n)])") == "[]"


async def test_the_debug_image_is_plain_python_that_an_editor_can_attach_to(
    debug_image: str, tmp_path: Path, certificates: Path
) -> None:
    template = TEMPLATE.with_name("deployment.debug.template.json")
    async with ContainerSite.open_image(debug_image, tmp_path, certificates, template) as site:
        await started(site)
        site.register("d1")
        async with let_in(site, "d1") as device:
            await device.publish("plain")
        [event] = await site.arrived(1)
        assert event.body == b"plain"
        reader, writer = await asyncio.open_connection("127.0.0.1", 5678)
        # Two events with their lengths before them, maybe in a packet each (Debug Adapter Protocol, "Base Protocol").
        await asyncio.wait_for(reader.readuntil(b"debugpy"), 20)
        writer.close()


def test_the_image_is_what_its_file_says(image: str) -> None:
    config = image_config(image)
    assert config["User"] == OPTIONS["User"]
    assert set(config["ExposedPorts"]) == set(OPTIONS["HostConfig"]["PortBindings"])
    assert (config["Entrypoint"], config["Cmd"]) == (["gateway"], ["run"])
    assert config["StopSignal"] in {"SIGTERM", "15"}
    # Nothing of the machine that built it: no index, no authority, no proxy.
    names = {each.partition("=")[0] for each in config["Env"]}
    assert names == {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "GATEWAY_WEBSOCKET_PORT"}
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == gateway_in(TEMPLATE)["version"]
    assert time.strptime(labels["org.opencontainers.image.created"], "%Y-%m-%dT%H:%M:%SZ")
