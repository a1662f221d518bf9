"""docs/recipes/mosquitto-bridge.md as it stands: Debian's mosquitto, plain inside, TLS and a SAS token outside."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest

from edgewire.iothub import sas
from edgewire.message import identity
from standin.events import Event
from standin.hub import MethodResult
from support.broker_load import Machine, machine, repeats_without_mark
from support.clients import Client
from support.compatibility import Table, works
from support.cut_line import CutLine
from support.gateway_site import KEY, GatewaySite, until
from support.recipe import DEVICE, Recipe

PAGE: Final = "mosquitto-bridge.md"
BRIDGE_MQTT3: Final = Client.MOSQUITTO_BRIDGE.over("mqtt3")
BRIDGE_MQTT5: Final = Client.MOSQUITTO_BRIDGE.over("mqtt5")
TOPIC: Final = "sensors/room1/temp"
UPSTREAM: Final = "connected upstream on behalf of devices"
SECTIONS: Final = ("A device for the bridge", "The broker", "Telemetry")
A_FEW_S: Final = 60.0
"""robustness.md §3: also on bare defaults, which wait 5 to 30 s before they connect again."""


@pytest.fixture
async def recipe(site: GatewaySite, loopback: Iterator[str]) -> AsyncIterator[Recipe]:
    async with Recipe.open(PAGE, site, broker=next(loopback), ready="running") as recipe:
        yield recipe


async def start(site: GatewaySite, **settings: str) -> None:
    """A gateway that the cloud can reach devices through; the hub knows the device by the key that the reader has."""
    site.hub.add_device(DEVICE, keys=(sas.encode_key(KEY),))
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", **settings)
    await site.gateway.said(UPSTREAM)


async def broker_said(recipe: Recipe, text: str, log: str = "mosquitto.log") -> None:
    await until(lambda: text in recipe.text_of(log), A_FEW_S)


async def turn_left_when_somebody_listens(site: GatewaySite, recipe: Recipe) -> None:
    await broker_said(recipe, "boiler/commands/# (QoS 1)")
    site.hub.send_c2d(identity(DEVICE), b"turn left")


async def blink_when_somebody_listens(site: GatewaySite, recipe: Recipe) -> MethodResult:
    await broker_said(recipe, "boiler/methods/POST/# (QoS 0)")
    return await site.hub.hub.invoke_method(identity(DEVICE), "blink", {"times": 3}, connect_timeout_s=A_FEW_S)


@works(Table.GATEWAY, BRIDGE_MQTT5, "telemetry", "C2D", "method")
@works(Table.GATEWAY, BRIDGE_MQTT3, "telemetry")
async def test_the_page_does_what_it_says(site: GatewaySite, recipe: Recipe) -> None:
    await start(site)
    for section in SECTIONS:
        await recipe.follow(section)
    (event,) = await site.arrived(1)
    assert (event.device, event.body) == (DEVICE, b'{"temperature": 31}')
    assert event.properties == {"topic": TOPIC}
    assert (event.system["contentType"], event.system["contentEncoding"]) == ("application/json", "utf-8")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(recipe.follow("Messages from the cloud"))
        tasks.create_task(turn_left_when_somebody_listens(site, recipe))
    await until(lambda: site.hub.counters["c2d completed"] == 1)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(recipe.follow("Direct methods"))
        call = tasks.create_task(blink_when_somebody_listens(site, recipe))
    assert call.result() == MethodResult(200, b'{"done": true}')
    await recipe.follow("The next token")
    await recipe.follow("The least that works")
    (least,) = await site.arrived(1, after=1)
    assert (least.body, least.properties) == (b'{"temperature": 32}', {"room1/temp": None})
    assert await site.counted("gateway_ignored_bridge_states_total") >= 1
    assert recipe.left == []


# --- what breaks ------------------------------------------------------------------------------------------------------

COUNT: Final = 150
"""Three times of it are fewer than the thousand that mosquitto keeps by default."""
RETAINED: Final = 1_000_000
BOTH: Final = pytest.mark.parametrize("conf", ["broker.conf", "least.conf"])


async def bridge(recipe: Recipe, conf: str, token: str, *, port: int = 8883, more: str = "") -> None:
    """Start the page's broker with another token, by another port, or with one more line."""
    text = recipe.written(conf).replace(":8883", f":{port}")
    (recipe.folder / conf).write_text(f"{text}{more}remote_password {token}\n")
    assert await recipe.type(f"mosquitto -v -c {conf} > mosquitto.log 2>&1 &") == (0, "")


async def restart(recipe: Recipe, conf: str) -> None:
    assert await recipe.type("kill $! && wait $!") == (0, "")
    assert await recipe.type(f"mosquitto -v -c {conf} >> mosquitto.log 2>&1 &") == (0, "")


def say(mine: Machine, start: int, count: int = COUNT) -> None:
    for number in range(start, start + count):
        mine.publish(TOPIC, number)


def number_of(event: Event) -> int:
    return int(event.body.removeprefix(b'{"n": ').removesuffix(b"}"))


async def all_of(site: GatewaySite, *wanted: int) -> list[Event]:
    """What arrived, once all of these numbers are there."""
    await until(lambda: set(wanted) <= {number_of(event) for event in site.hub.events.read(0, 1_000_000)}, A_FEW_S)
    return site.hub.events.read(0, 1_000_000)


async def all_answered(recipe: Recipe) -> None:
    """The bridge has heard of all that it has sent; at the hub it may be earlier."""

    def is_so() -> bool:
        said = recipe.text_of("mosquitto.log")
        sent = set(re.findall(r"Sending PUBLISH to local\.boiler \(.*?, m(\d+),", said))
        return bool(sent) and sent <= set(re.findall(r"Received PUBACK from local\.boiler \(Mid: (\d+),", said))

    await until(is_so, A_FEW_S)


async def registered(site: GatewaySite) -> str:
    """The device is known here alone. Returns its token."""
    site.register(DEVICE)
    return site.token(DEVICE)


def states(site: GatewaySite) -> list[Event]:
    return [event for event in site.hub.events.read(0, 1_000_000) if number_of(event) == RETAINED]


@BOTH
async def test_a_killed_gateway_loses_nothing_that_the_broker_acknowledged(
    site: GatewaySite, recipe: Recipe, conf: str
) -> None:
    token = await registered(site)
    await site.gateway.start()
    await bridge(recipe, conf, token)
    async with machine(recipe.broker) as mine:
        mine.publish("sensors/room1/state", RETAINED, retain=True)
        say(mine, 0)
        await all_of(site, RETAINED, *range(COUNT // 3))
        site.gateway.pause()  # what the bridge sends now has no answer
        say(mine, COUNT)
        await until(lambda: len(mine.acknowledged) == 2 * COUNT + 1)
        await site.gateway.kill()
        say(mine, 2 * COUNT)
        await site.gateway.start()
        await all_of(site, *range(3 * COUNT))
        # mosquitto repeats it at each connection, behind what waits
        await until(lambda: len({event.system["messageId"] for event in states(site)}) > 1, A_FEW_S)
    events, state = site.hub.events.read(0, 1_000_000), states(site)
    assert mine.acknowledged == {RETAINED, *range(3 * COUNT)} == {number_of(event) for event in events}
    assert repeats_without_mark(events) == []
    assert any("mqtt-dup" in event.properties for event in events)
    assert all(event.properties["mqtt-retain"] == "true" for event in state)


@BOTH
async def test_repetitions_after_a_break_are_marked(site: GatewaySite, recipe: Recipe, conf: str) -> None:
    token = await registered(site)
    await site.gateway.start()
    async with CutLine.to(recipe.address, 8883) as line:
        await bridge(recipe, conf, token, port=line.port)
        async with machine(recipe.broker) as mine:
            mine.publish(TOPIC, 0)
            await all_of(site, 0)
            await all_answered(recipe)
            line.deaf = True
            say(mine, 1, 10)
            before = await all_of(site, *range(11))
            line.cut()
            mine.publish(TOPIC, 11)
            events = await all_of(site, 11)
    assert [number_of(event) for event in before] == list(range(11))
    again = events[11:21]
    assert [number_of(event) for event in again] == list(range(1, 11)), "the bridge has heard no answer for these"
    assert all(event.properties["mqtt-dup"] == "true" for event in again)
    assert not any("mqtt-dup" in event.properties for event in before)


# --- what does not work, and what is said of it -----------------------------------------------------------------------


@works(Table.GATEWAY, BRIDGE_MQTT5, "refusals")
async def test_a_refused_token_is_explained_and_what_waits_flows_with_the_next(
    site: GatewaySite, recipe: Recipe
) -> None:
    await registered(site)
    await site.gateway.start()
    recipe.written("new-token.sh")
    await bridge(recipe, "broker.conf", site.token(DEVICE, key=b"x" * 32))
    await site.gateway.said("was not let in: its token is not signed with its key")
    await broker_said(recipe, "Connection Refused: Not authorized")
    assert await recipe.type("kill $! && wait $!") == (0, "")
    await bridge(recipe, "broker.conf", site.token(DEVICE, life_s=-3600))
    await site.gateway.said("its token has expired")
    async with machine(recipe.broker) as mine:
        say(mine, 0)
    assert await recipe.type("sh new-token.sh") == (0, "")
    await restart(recipe, "broker.conf")
    assert len(await all_of(site, *range(COUNT))) == COUNT


async def test_a_message_that_cannot_be_taken_is_got_past_by_mqtt_5(site: GatewaySite, recipe: Recipe) -> None:
    token = await registered(site)
    await site.gateway.start()
    await bridge(recipe, "least.conf", token, more="restart_timeout 1 2\n")
    async with machine(recipe.broker) as mine:
        mine.publish("sensors/a=b=c", 1)
        mine.publish(TOPIC, 2)
        await site.counted('gateway_refused_messages_total{reason="malformed_properties"}', 2)
        assert site.hub.events.count() == 0, "MQTT 3.1.1 knows no other answer than to close"
        await until(lambda: mine.is_done)  # else the next broker is told of them, too
        await recipe.type("kill $! && wait $!")
        await bridge(recipe, "least.conf", token, more="bridge_protocol_version mqttv50\n")
        mine.publish("sensors/a=b=c", 1)
        mine.publish(TOPIC, 3)
        assert [number_of(event) for event in await all_of(site, 3)] == [3]
    say_it = f"mosquitto_pub -V 5 -h {recipe.broker} -q 1 -t {TOPIC} -m x -D publish user-property unit C"
    assert await recipe.type(f"{say_it} -D publish content-type text/plain") == (0, "")
    (event,) = await site.arrived(1, after=1)
    assert event.properties == {"room1/temp": "", "unit": "C", "leafDeviceId": DEVICE}
    assert event.system["contentType"] == "text/plain"
