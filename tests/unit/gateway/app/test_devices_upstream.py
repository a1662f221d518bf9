import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from edgewire.message import Identity, identity
from gateway.app.devices_upstream import DevicesUpstream, make_devices_upstream, place_of
from gateway.app.dialing import Place
from gateway.app.settings import ConfigError, read_environment
from gateway.dispatch.delivery import Delivery
from gateway.dispatch.methods import Methods
from gateway.dispatch.twin_desk import TwinReply
from gateway.dispatch.twins import Twins
from gateway.identity.registry import Registry
from gateway.identity.tokens import Token
from gateway.observe.events import Event
from gateway.observe.upstream import BackKind
from gateway.upstream.amqp_back import Back
from gateway.upstream.amqp_proxy import AmqpProxy
from gateway.upstream.split import SplitProxy
from support.amqp_back_world import Device
from support.certificates import self_signed

SERVER = self_signed("localhost")
SIMULATOR = {"EdgeHubConnectionString": "HostName=b;GatewayHostName=sim"}
WEBSOCKET = {"GATEWAY_UPSTREAM_AMQP_TRANSPORT": "websocket"}
EDGE = {"IOTEDGE_GATEWAYHOSTNAME": "pi.local", "IOTEDGE_IOTHUBHOSTNAME": "hub.example"}


def place(environ: Mapping[str, str]) -> Place | None:
    return place_of(read_environment(environ), environ)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, None),
        ({"GATEWAY_UPSTREAM_AMQP": "edgehub", **EDGE}, Place("pi.local", 5671)),
        (
            {"GATEWAY_UPSTREAM_AMQP": "edgehub", **SIMULATOR},
            Place("sim", 5671),
        ),
        ({"GATEWAY_UPSTREAM_AMQP": "hub", **EDGE}, Place("hub.example", 5671)),
        (
            {"GATEWAY_UPSTREAM_AMQP": "hub", **WEBSOCKET, **EDGE},
            Place("hub.example", 443),
        ),
        ({"GATEWAY_UPSTREAM_AMQP": "my.host"}, Place("my.host", 5671)),
        ({"GATEWAY_UPSTREAM_AMQP": "my.host:15671"}, Place("my.host", 15671)),
        ({"GATEWAY_UPSTREAM_AMQP": "[fd00::1]:15671"}, Place("fd00::1", 15671)),
        ({"GATEWAY_UPSTREAM_AMQP": "[fd00::1]"}, Place("fd00::1", 5671)),
    ],
)
def test_the_place_is_what_the_settings_say(said: dict[str, str], found: Place | None) -> None:
    assert place(said) == found


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"GATEWAY_UPSTREAM_AMQP": "edgehub"}, "IOTEDGE_GATEWAYHOSTNAME is not set"),
        ({"GATEWAY_UPSTREAM_AMQP": "hub"}, "Set one of them to the hub's host name"),
        ({"GATEWAY_UPSTREAM_AMQP": "host:port"}, "it must be edgehub, hub, or a host name"),
        ({"GATEWAY_UPSTREAM_AMQP": "host:0"}, "it must be edgehub, hub, or a host name"),
        ({"GATEWAY_UPSTREAM_AMQP": ":5671"}, "it must be edgehub, hub, or a host name"),
    ],
)
def test_a_place_that_cannot_be_is_told_with_what_to_do(said: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        place(said)


class House:
    """What the way upstream needs of a gateway."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.environ = {"GATEWAY_DATA_DIR": str(folder), "GATEWAY_HUB_NAME": "hub.example", **environ}
        self.environment = read_environment({key: text for key, text in self.environ.items() if text})
        self.registry = Registry(folder / "devices.json")
        self.events: list[Event] = []
        self.ended: list[Identity] = []
        self.pem = SERVER.anchor_pem

    def make(self) -> DevicesUpstream | None:
        return make_devices_upstream(
            self.environment,
            self.environ,
            registry=self.registry,
            trust_pem=lambda: self.pem,
            emit=self.events.append,
            end=self.ended.append,
        )


async def test_nothing_is_made_where_the_settings_want_nothing(tmp_path: Path) -> None:
    assert House(tmp_path).make() is None


async def test_without_a_hubs_name_there_are_no_tokens(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the tokens of devices name their hub"):
        House(tmp_path, GATEWAY_UPSTREAM_AMQP="my.host", GATEWAY_HUB_NAME="").make()


@pytest.mark.parametrize("asks", ["ask", "refuse"])
async def test_it_goes_beside_a_module_or_alone(tmp_path: Path, asks: str) -> None:
    house = House(tmp_path, GATEWAY_UPSTREAM_AMQP="127.0.0.1:1", GATEWAY_UNKNOWN_DEVICES=asks)
    ours = house.make()
    assert ours is not None
    assert (ours.vouchers is not None) is (asks == "ask")
    assert isinstance(ours.beside(None), AmqpProxy)
    ours._presented.vouch(identity("d1"), Token("alone", 1e10))
    assert ours.has_presented(identity("d1"))
    assert isinstance(ours.beside(ours.proxy), SplitProxy)
    ours._presented.vouch(identity("d1"), Token("beside", 1e10))
    ours._presented.refuse(identity("d1"), "beside")
    assert house.ended == [identity("d1")]
    assert not ours.has_presented(identity("d1"))
    running = asyncio.create_task(ours.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert (tmp_path / "tokens.json").exists()


async def test_what_comes_back_is_brought_to_who_listens_already_and_later(tmp_path: Path) -> None:
    house = House(tmp_path, GATEWAY_UPSTREAM_AMQP="127.0.0.1:1")
    ours = house.make()
    assert ours is not None
    delivery, methods = Delivery(house.events.append, time.time), Methods(house.events.append)
    twins = Twins(house.events.append)
    methods.subscribe(identity("early"), Device())
    ours.bring_back(delivery=delivery, methods=methods, twins=twins)
    delivery.subscribe(identity("late"), Device(), 1)
    twins.subscribe(identity("late"), Device())
    [back, _cloud] = ours.proxy._beside
    assert isinstance(back, Back)
    assert [[str(strand.who) for strand in back.strands(kind)] for kind in BackKind] == [["late"], ["early"], ["late"]]
    replies: list[TwinReply] = []
    twins.get(identity("late"), replies.append)
    twins.closed_because("the disk is full")
    assert [reply.status for reply in replies] == [503]  # asked of the cloud, not 501
    running = asyncio.create_task(ours.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
