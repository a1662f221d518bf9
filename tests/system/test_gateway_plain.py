"""The plain listener of a gateway's process, by clients we did not write: Debian's mosquitto and paho."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho

from support.azure_device import Inbox, blocking
from support.gateway_process import clean_environment
from support.gateway_site import GatewaySite, until
from support.plain_site import user, write_users

PORT = 1883
PATIENCE_S = 60.0
LOCAL_PORTS = itertools.count(21_883)
"""Of brokers beside the gateway: another address cannot be had without the rights to it."""
TOPICS = [{"match": "site/+room/#", "device": "{room}", "contentType": "application/json", "contentEncoding": "utf-8"}]


async def open_plain(site: GatewaySite, **environment: str) -> None:
    """A gateway with the plain listener and the users ann and bob."""
    write_users(site.data, user("ann"), user("bob"))
    await site.gateway.start(GATEWAY_PLAIN_PORT=str(PORT), GATEWAY_PLAIN_ADDRESS=site.address, **environment)


async def run(site: GatewaySite, program: str, *more: str, password: str = "tiger") -> tuple[int, str]:
    """Run a program of mosquitto's as ann. Returns its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(program, "-h", site.address, "-p", str(PORT), "-u", "ann", "-P", password, *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_mosquittos_programs_talk_through_it_and_a_rule_sends_a_device_up(site: GatewaySite) -> None:
    settings = site.write_settings(
        routes={"hot": "FROM /messages/* WHERE $body.t > 30 INTO $upstream"},
        topics=TOPICS,
        topicDevices={"create": True},
    )
    await open_plain(site, GATEWAY_SETTINGS_FILE=str(settings))
    assert await run(site, "mosquitto_pub", "-t", "lamp", "-m", "on", "-q", "1", "-r") == (0, "")
    for number, version in enumerate(("mqttv31", "mqttv311", "mqttv5")):
        both = ("-V", version, "-q", "1")
        hears = ("-t", "lamp", "-t", "site/#", "-C", "3", "-F", "%r %p")
        hearing = asyncio.create_task(run(site, "mosquitto_sub", *both, *hears))
        await site.counted("gateway_local_deliveries_total", 3 * number + 1)
        for value in (20, 40):
            said = await run(site, "mosquitto_pub", *both, "-t", "site/kitchen/t", "-m", f'{{"t":{value}}}')
            assert said == (0, "")
        assert await hearing == (0, '1 on\n0 {"t":20}\n0 {"t":40}\n')
    for event in await site.arrived(3):
        assert event.body == b'{"t":40}'
        assert event.properties == {"topic": "site/kitchen/t", "leafDeviceId": "kitchen"}
    code, said_no = await run(site, "mosquitto_pub", "-t", "a", "-m", "x", password="lion")
    assert code == 5
    assert "not authorised" in said_no
    await site.counted('gateway_refused_plain_logins_total{reason="wrong_password"}')


class Paho:
    """A client of paho's with a thread of its own."""

    def __init__(self, client_id: str, version: int, *, clean: bool = True) -> None:
        self.connects, self.disconnects, self.heard, self.answers = Inbox(), Inbox(), Inbox(), Inbox()
        self.client = paho.Client(client_id, protocol=version, clean_session=None if version == paho.MQTTv5 else clean)
        self.client.username_pw_set("bob", "tiger")
        self.client.on_connect = lambda *args: self.connects(args[3])
        self.client.on_disconnect = lambda *args: self.disconnects(args[2])
        self.client.on_message = lambda _client, _data, message: self.heard(message)
        self.client.on_publish = lambda *args: self.answers(args[2])
        self.client.on_subscribe = lambda *_: self.answers(None)
        self.client.on_socket_register_write = lambda *_: None

    @classmethod
    @asynccontextmanager
    async def open(cls, site: GatewaySite, client_id: str, version: int, **how: Any) -> "AsyncIterator[Paho]":
        mine = cls(client_id, version, **how)
        await blocking(lambda: mine.client.connect(site.address, PORT))
        mine.client.loop_start()
        try:
            await mine.connects.next()
            yield mine
        finally:
            mine.client.disconnect()
            await blocking(mine.client.loop_stop)

    async def subscribe(self, topic_filter: str) -> None:
        self.client.subscribe(topic_filter, 1)
        await self.answers.next()

    async def publish(self, topic: str, payload: str, **how: Any) -> None:
        self.client.publish(topic, payload, qos=1, **how)
        await self.answers.next()


async def test_paho_hears_what_paho_says_in_order(site: GatewaySite) -> None:
    await open_plain(site)
    for version in (paho.MQTTv311, paho.MQTTv5):
        async with Paho.open(site, "h", version) as hearer, Paho.open(site, "t", version) as teller:
            await hearer.subscribe("n/+")
            for number in range(300):
                teller.client.publish("n/x", str(number), qos=1)
            heard = [int((await hearer.heard.next()).payload) for _ in range(300)]
        assert heard == list(range(300))


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_what_was_retained_and_subscribed_is_there_after_an_end(site: GatewaySite, end: str) -> None:
    await open_plain(site)
    async with Paho.open(site, "h", paho.MQTTv311, clean=False) as hearer:
        await hearer.subscribe("a/#")
    async with Paho.open(site, "t", paho.MQTTv311) as teller:
        await teller.publish("lamp", "on", retain=True)
        await teller.publish("a/b", "waits")
    if end == "stop":
        await site.gateway.stop()
    else:
        await site.gateway.kill()
    await site.gateway.start()
    async with Paho.open(site, "h", paho.MQTTv311, clean=False) as hearer:
        if end == "stop":
            assert (await hearer.heard.next()).payload == b"waits"
        async with Paho.open(site, "t", paho.MQTTv311) as teller:
            await teller.publish("a/c", "live")
        assert (await hearer.heard.next()).payload == b"live"
        await hearer.subscribe("lamp")
        assert (await hearer.heard.next()).payload == b"on"


async def test_a_route_speaks_on_a_local_topic(site: GatewaySite) -> None:
    settings = site.write_settings(
        routes={"alarm": 'FROM /messages/* WHERE $body.t > 30 INTO Topic("alerts/{device}/{kind}")'},
        topics=[{**TOPICS[0], "match": "site/+room/+kind", "properties": {"kind": "{kind}"}}],
        topicDevices={"create": True},
    )
    await open_plain(site, GATEWAY_SETTINGS_FILE=str(settings))
    async with Paho.open(site, "c", paho.MQTTv5) as client:
        await client.subscribe("alerts/#")
        await client.publish("site/kitchen/temp", '{"t": 20}')
        await client.publish("site/kitchen/temp", '{"t": 40}')
        found = await client.heard.next()
    assert (found.topic, found.payload, found.qos) == ("alerts/kitchen/temp", b'{"t": 40}', 1)
    assert ("topic", "site/kitchen/temp") in found.properties.UserProperty


async def test_users_change_while_it_runs(site: GatewaySite) -> None:
    await open_plain(site)
    async with Paho.open(site, "c", paho.MQTTv311) as client:
        await client.subscribe("a")
        assert (await site.command("users", "allow", "bob", "--only", "--subscribe", "b")).code == 0
        await client.disconnects.next()
        await client.connects.next()
        assert (await site.command("users", "remove", "bob")).code == 0
        await site.counted('gateway_refused_plain_logins_total{reason="unknown_user"}')


# --- mosquitto's bridge ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def mosquitto(site: GatewaySite, tmp_path: Path, *bridge: str) -> AsyncIterator[int]:
    """Debian's broker with a bridge to the gateway, nothing set but what must be. Gives its port."""
    port = next(LOCAL_PORTS)
    conf = tmp_path / "bridge.conf"
    lines = (
        f"listener {port} {site.address}",
        "allow_anonymous true",
        "connection plant",
        f"address {site.address}:{PORT}",
        "remote_username ann",
        "remote_password tiger",
        *bridge,
    )
    conf.write_text("\n".join((*lines, "")))
    process = await asyncio.create_subprocess_exec(
        "mosquitto",
        *("-c", str(conf)),
        env=clean_environment({}),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.terminate()
        await process.wait()


async def test_mosquittos_bridge_brings_and_takes_without_a_loop(site: GatewaySite, tmp_path: Path) -> None:
    settings = site.write_settings(
        routes={"all": "FROM /messages/* INTO $upstream"}, topics=TOPICS, topicDevices={"create": True}
    )
    await open_plain(site, GATEWAY_SETTINGS_FILE=str(settings))
    await bring_and_take(site, tmp_path)
    await bring_and_take(site, tmp_path, "bridge_protocol_version mqttv50")
    events = await site.arrived(20)
    assert [event.body for event in events] == [b"%d" % number for number in range(10)] * 2


async def bring_and_take(site: GatewaySite, tmp_path: Path, *how: str) -> None:
    """Both ways over a bridge, which announces itself and is seen to go."""
    async with Paho.open(site, "here", paho.MQTTv311) as here:
        async with mosquitto(site, tmp_path, "topic # both 1", *how) as port:
            await here.subscribe("$SYS/broker/connection/#")
            while (state := await here.heard.next()).payload != b"1":
                pass  # retained, of a bridge that was here before
            assert state.topic.endswith("/state")
            await here.subscribe("#")
            there = ("mosquitto_pub", "-h", site.address, "-p", str(port), "-q", "1")
            for number in range(10):
                process = await asyncio.create_subprocess_exec(*there, "-t", "site/hall/n", "-m", str(number))
                assert await process.wait() == 0
            assert [(await here.heard.next()).payload for _ in range(10)] == [b"%d" % number for number in range(10)]
            listen = f"mosquitto_sub -h {site.address} -p {port} -t cmd/# -C 1 -q 1 -W 60"
            listening = await asyncio.create_subprocess_shell(f"exec {listen}", stdout=asyncio.subprocess.PIPE)
            await until(lambda: _heard(here, listening))
            async with asyncio.timeout(PATIENCE_S):
                assert (await listening.communicate())[0] == b"go\n"
        gone = await here.heard.next()
        while gone.topic.startswith("cmd/"):
            gone = await here.heard.next()
        assert (gone.topic.endswith("/state"), gone.payload) == (True, b"0")


async def _heard(client: Paho, listening: asyncio.subprocess.Process) -> bool:
    """Say it until somebody who may not have subscribed yet has heard it."""
    client.client.publish("cmd/x", "go", qos=1)
    await asyncio.sleep(0.1)
    return listening.returncode is not None
