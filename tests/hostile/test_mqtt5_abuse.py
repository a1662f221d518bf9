"""What MQTT 5 lets a client ask for, beyond what anybody needs: refused with the code that the specification has."""

import sqlite3

import pytest

from edgewire.iothub import sas
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import Group, SymmetricKeys
from support import raw_mqtt
from support.gateway_site import GatewaySite
from support.good_client import GoodClient
from support.process_watch import watched
from support.raw_mqtt import publish, subscribe, text, user_property
from support.raw_peer import RawPeer, hello

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOPIC = "devices/d2/messages/events/"
ALIASES = 10
RECEIVE_MAXIMUM = 1_000
FLEET = 200
FOR_EVER = b"\x11\xff\xff\xff\xff"


def alias(number: int) -> bytes:
    return b"\x23" + number.to_bytes(2, "big")


def aliased(number: int, packet_id: int, topic: str = TOPIC) -> bytes:
    return publish(topic, b"", packet_id=packet_id, properties=alias(number))


MANY_PROPERTIES = user_property("", "") * 10_000

REFUSED = [
    ("alias 0", aliased(0, 1), 0x94),
    ("an alias over the maximum", aliased(ALIASES + 1, 1), 0x94),
    ("65,535 aliases", b"".join(aliased(number, number) for number in range(1, 65_536)), 0x94),
    ("an alias that was never set", aliased(3, 1, topic=""), 0x82),
    ("10,000 user properties", publish(TOPIC, properties=MANY_PROPERTIES), 0x97),
    ("10,000 user properties of SUBSCRIBE", subscribe(["a"], properties=MANY_PROPERTIES), 0x97),
    ("a property of 60,000 bytes", publish(TOPIC, properties=user_property("a", "x" * 60_000)), 0x97),
    ("subscription identifier 0", subscribe(["a"], properties=b"\x0b\x00"), 0x82),
    ("subscription identifier 1", subscribe(["a"], properties=b"\x0b\x01"), 0xA1),
    ("a PUBLISH with a subscription identifier", publish(TOPIC, properties=b"\x0b\x01"), 0x82),
    ("a shared subscription", subscribe(["$share/g/devices/d2/messages/devicebound/#"], properties=b""), 0x9E),
    (
        "more than the receive maximum",
        aliased(1, 1) + b"".join(aliased(1, number, topic="") for number in range(2, RECEIVE_MAXIMUM + 300)),
        0x93,
    ),
    ("QoS 2", publish(TOPIC, qos=2, properties=b""), 0x9B),
    ("AUTH", b"\xf0\x00", 0x82),
    ("a packet identifier in use", publish(TOPIC, properties=b"") * 2, 0x82),
    ("a response topic with a wildcard", publish(TOPIC, properties=b"\x08" + text("#")), 0x81),
]


@pytest.mark.parametrize(("what", "wire", "reason"), REFUSED, ids=[row[0] for row in REFUSED])
async def test_abuse_after_the_login_is_refused_by_its_code(
    running: GatewaySite, what: str, wire: bytes, reason: int
) -> None:
    async with watched(running), GoodClient.running(running, "good"):
        peer = await RawPeer.login(running, "d2", level=5)
        peer.send(wire)
        told = await peer.ended()
    assert told[-1][0] == raw_mqtt.DISCONNECT, what
    assert told[-1][1][0] == reason


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        (MANY_PROPERTIES, 0x97),
        (user_property("a", "x" * 60_000), 0x97),
        (b"\x21\x00\x00", 0x82),  # receive maximum 0
        (b"\x27\x00\x00\x00\x00", 0x82),  # maximum packet size 0
        (b"\x27\x00\x00\x00\x01", 0x95),  # not even CONNACK would fit, so it is closed without one
        (b"\x15" + text("SCRAM-SHA-1"), 0x8C),
        (b"\x11\x00\x00\x00\x01" * 2, 0x82),  # given twice
    ],
)
async def test_abuse_in_connect_is_refused_by_its_code(running: GatewaySite, properties: bytes, code: int) -> None:
    async with watched(running), GoodClient.running(running, "good"):
        peer = await RawPeer.dial(running)
        peer.send(hello(running, "d2", level=5, properties=properties).wire)
        told = await peer.ended()
    assert [body[1] for _, body in told] == ([] if code == 0x95 else [code])


async def test_sessions_that_are_to_live_for_ever_live_for_two_days_and_take_no_more_room_than_one_row_each(
    running: GatewaySite,
) -> None:
    key = b"g" * 32
    fleet = Group("fleet", SymmetricKeys(key, key), id_prefix="fleet-")
    Registry(running.data / FILE_NAME).edit(lambda roster: roster.with_group(fleet))
    names = [f"fleet-{number}" for number in range(FLEET)]
    async with watched(running), GoodClient.running(running, "good"):
        for name in names * 2:
            device_key = sas.derive_device_key(key, name)
            right = hello(running, name, level=5, clean=False, properties=FOR_EVER)
            password = running.token(name, key=device_key)
            peer = await RawPeer.dial(running)
            peer.send(
                raw_mqtt.Hello(
                    client_id=name,
                    username=right.username,
                    password=password,
                    level=5,
                    clean=False,
                    properties=FOR_EVER,
                ).wire
            )
            answer = await peer.expect(raw_mqtt.CONNACK)
            assert answer[1] == 0
            assert b"\x11\x00\x02\xa3\x00" in answer  # 172,800 s
            peer.abort()
    with sqlite3.connect(f"file:{running.data}/sessions.db?mode=ro", uri=True) as database:
        (count,) = database.execute("SELECT count(*) FROM session").fetchone()
    database.close()
    assert count <= FLEET
