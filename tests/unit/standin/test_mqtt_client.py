import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from edgewire.codec.mqtt.packets import Disconnect, Puback, Publish, Unsuback, Unsubscribe
from edgewire.iothub.bag import Bag
from edgewire.iothub.messages import envelope_for
from edgewire.message import Message, identity
from standin.devicebound import C2dMessage
from standin.hub import MethodResult
from standin.mqtt_client import MAX_UNANSWERED
from standin.registry import symmetric_entry
from standin.routes import parse_routes
from support.hub_line import House, Line, house

LEAF = identity("leaf")
M1 = identity("edge-1", "m1")
M2 = identity("edge-1", "m2")
EVENTS = "devices/leaf/messages/events/"
M1_EVENTS = "devices/edge-1/modules/m1/messages/events/"
TWIN = "$iothub/twin/res/#"
DESIRED = "$iothub/twin/PATCH/properties/desired/#"
METHODS = "$iothub/methods/POST/#"
C2D = "devices/leaf/messages/devicebound/#"
M2_INPUTS = "devices/edge-1/modules/m2/inputs/#"
ROUTES = parse_routes(
    {
        "in": 'FROM /messages/modules/m1/outputs/local INTO BrokeredEndpoint("/modules/m2/inputs/in put")',
        "up": "FROM /messages/modules/m1/outputs/up INTO $upstream",
    }
)


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    hall = house(tmp_path, edge_device="edge-1", routes=ROUTES)
    for who in (LEAF, identity("edge-1"), M1, M2):
        hall.hub.add(symmetric_entry(who))
    yield hall
    await hall.close()


@pytest.fixture
async def leaf(hall: House) -> Line:
    line = hall.line()
    await line.login(LEAF)
    return line


@pytest.fixture
async def m1(hall: House) -> Line:
    line = hall.line()
    await line.login(M1)
    return line


@pytest.fixture
async def m2(hall: House) -> Line:
    line = hall.line()
    await line.login(M2)
    return line


# --- telemetry --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", [EVENTS, EVENTS.removesuffix("/")])
async def test_telemetry_is_kept_before_it_is_acknowledged(hall: House, leaf: Line, topic: str) -> None:
    leaf.publish(topic, b"\x00body", packet_id=7)
    assert await leaf.receive() == Puback(packet_id=7)
    (event,) = hall.hub.events.read()
    assert (event.device, event.module, event.body, event.properties) == ("leaf", None, b"\x00body", {})


async def test_properties_are_read_from_the_bag(hall: House, leaf: Line) -> None:
    # Recorded from azure-iot-device (iothub_wire.md §1.3), with the slash that Node puts behind it.
    bag = "%24.mid=m%201&%24.cid=cc&%24.ct=application%2Fjson&%24.ce=utf-8&a%20b=c%2Fd%26e&e=&n&z=1%2B1/"
    leaf.publish(EVENTS + bag, packet_id=1, retain=True)
    await leaf.receive()
    (event,) = hall.hub.events.read()
    assert event.properties == {"a b": "c/d&e", "e": "", "n": None, "z": "1+1", "mqtt-retain": "true"}
    assert event.system["messageId"] == "m 1"
    assert event.system["contentType"] == "application/json"


async def test_qos_0_is_kept_too(hall: House, leaf: Line) -> None:
    leaf.publish(EVENTS, b"zero")
    leaf.publish(EVENTS, b"one", packet_id=1)
    assert await leaf.receive() == Puback(packet_id=1)
    assert [event.body for event in hall.hub.events.read()] == [b"zero", b"one"]


async def test_acknowledgements_keep_the_order_of_the_publishes(leaf: Line) -> None:
    # A twin patch is done at once, telemetry only after its commit.
    leaf.publish(EVENTS, packet_id=1)
    leaf.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", b"{}", packet_id=2)
    leaf.publish(EVENTS, packet_id=3)
    assert [await leaf.receive() for _ in range(3)] == [Puback(packet_id=each) for each in (1, 2, 3)]


async def test_reading_stops_while_too_much_is_unanswered(leaf: Line) -> None:
    for packet_id in range(1, MAX_UNANSWERED + 1):
        leaf.publish(EVENTS, packet_id=packet_id)
    assert not leaf.reading
    for _ in range(MAX_UNANSWERED):
        await leaf.receive()
    assert leaf.reading


async def test_a_module_output_has_its_name(hall: House, m1: Line) -> None:
    m1.publish(M1_EVENTS + "%24.on=up", packet_id=1)
    await m1.receive()
    (event,) = hall.hub.events.read()
    assert (event.device, event.module, event.output) == ("edge-1", "m1", "up")


@pytest.mark.parametrize(
    "topic",
    [
        "devices/other/messages/events/",
        "devices/leaf/modules/m1/messages/events/",
        "devices/LEAF/messages/events/",
        "some/topic",
        "devices/leaf/messages/devicebound/",
        "$iothub/twin/POST/?$rid=1",
        "$iothub/twin/GET/",
        EVENTS + "a=1=2",
        EVENTS + "=1",
        EVENTS + "a=1&A=2",
        EVENTS + "a=%zz",
        EVENTS + "a=1/b=2",
        EVENTS + "iothub-connection-device-id=other",
    ],
)
async def test_what_iot_hub_does_not_take_closes_the_connection_unacknowledged(
    hall: House, leaf: Line, topic: str
) -> None:
    leaf.publish(topic, packet_id=1)
    await leaf.until_closed()
    assert leaf.received() == []
    assert hall.hub.events.count() == 0
    assert hall.hub.counters["closed: protocol error"] == 1


async def test_a_message_may_count_256_kib_and_no_more(hall: House, leaf: Line) -> None:
    # connectionDeviceId and its value count 16 + … bytes with it; see edgewire.iothub.messages.
    room = 262_144 - len("connectionDeviceId") - len("leaf")
    leaf.publish(EVENTS, b"x" * room, packet_id=1)
    assert await leaf.receive() == Puback(packet_id=1)
    leaf.publish(EVENTS, b"x" * (room + 1), packet_id=2)
    await leaf.until_closed()
    assert hall.hub.events.count() == 1


async def test_qos_2_closes_the_connection(hall: House, leaf: Line) -> None:
    leaf.send(Publish(EVENTS, b"x", 2, False, False, 1))
    await leaf.until_closed()
    assert hall.hub.events.count() == 0


# --- subscriptions ----------------------------------------------------------------------------------------------------


async def test_the_documented_filters_are_granted_with_qos_1_at_most(leaf: Line, m2: Line) -> None:
    assert await leaf.subscribe(C2D, TWIN, DESIRED, METHODS, qos=1) == (1, 1, 1, 1)
    assert await leaf.subscribe(TWIN, qos=0) == (0,)
    assert await leaf.subscribe(TWIN, qos=2) == (1,)
    assert await m2.subscribe(M2_INPUTS, "devices/edge-1/modules/m2/#") == (1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "#",
        "+/+",
        "devices/leaf/#",
        EVENTS + "#",
        "devices/other/messages/devicebound/#",
        M2_INPUTS,
        "$iothub/#",
        "$SYS/#",
    ],
)
async def test_any_other_filter_is_refused(leaf: Line, text: str) -> None:
    assert await leaf.subscribe(text) == (0x80,)


async def test_a_module_may_have_all_five_at_once(m2: Line) -> None:
    both = ("devices/edge-1/modules/m2/#", M2_INPUTS)
    assert await m2.subscribe(*both, TWIN, DESIRED, METHODS) == (1,) * 5


async def test_after_unsubscribing_nothing_comes(hall: House, leaf: Line) -> None:
    await leaf.subscribe(DESIRED)
    leaf.send(Unsubscribe(packet_id=2, filters=(DESIRED,)))
    assert isinstance(await leaf.receive(), Unsuback)
    hall.hub.patch_desired(LEAF, {"a": 1})
    leaf.publish(EVENTS, packet_id=1)
    assert await leaf.receive() == Puback(packet_id=1)


# --- twin -------------------------------------------------------------------------------------------------------------


async def published(line: Line) -> tuple[str, bytes]:
    packet = await line.receive()
    assert isinstance(packet, Publish)
    return packet.topic, packet.payload


async def test_a_twin_is_read_without_a_wrapper(hall: House, leaf: Line) -> None:
    await leaf.subscribe(TWIN)
    leaf.publish("$iothub/twin/GET/?$rid=3f-x", b" ")
    topic, body = await published(leaf)
    assert topic == "$iothub/twin/res/200/?$rid=3f-x"
    assert orjson.loads(body) == {"desired": {"$version": 1}, "reported": {"$version": 1}}


async def test_a_reported_patch_is_merged_and_answered_with_its_version(hall: House, leaf: Line) -> None:
    await leaf.subscribe(TWIN)
    leaf.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", b'{"a":1,"b":2}')
    assert await published(leaf) == ("$iothub/twin/res/204/?$rid=1&$version=2", b"")
    leaf.publish("$iothub/twin/PATCH/properties/reported/?$rid=2", b'{"a":null}', packet_id=5)
    assert await published(leaf) == ("$iothub/twin/res/204/?$rid=2&$version=3", b"")
    assert await leaf.receive() == Puback(packet_id=5)
    assert hall.hub.twin(LEAF).reported == {"b": 2}


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"nonsense", 400), (b'{"a b":1}', 400), (orjson.dumps({str(n): "x" * 4000 for n in range(9)}), 413)],
)
async def test_a_bad_patch_is_answered_so_that_node_sees_it_too(leaf: Line, body: bytes, status: int) -> None:
    await leaf.subscribe(TWIN)
    leaf.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", body)
    topic, answer = await published(leaf)
    assert topic == f"$iothub/twin/res/{status}/?$rid=1"
    assert set(orjson.loads(answer)) == {"errorCode", "message"}


async def test_without_a_subscription_twin_requests_get_no_answer(leaf: Line) -> None:
    leaf.publish("$iothub/twin/GET/?$rid=1", b"")
    leaf.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", b"bad")
    leaf.publish(EVENTS, packet_id=1)
    assert await leaf.receive() == Puback(packet_id=1)


async def test_a_desired_patch_arrives_with_its_version_in_topic_and_body(hall: House, leaf: Line) -> None:
    await leaf.subscribe(DESIRED)
    hall.hub.patch_desired(LEAF, {"a": {"b": None}})
    assert await published(leaf) == (
        "$iothub/twin/PATCH/properties/desired/?$version=2",
        b'{"a":{"b":null},"$version":2}',
    )


# --- methods ----------------------------------------------------------------------------------------------------------


async def test_a_method_goes_there_and_back(hall: House, leaf: Line) -> None:
    await leaf.subscribe(METHODS)
    call = asyncio.create_task(hall.hub.invoke_method(LEAF, "re boot", {"in": 1}))
    topic, body = await published(leaf)
    before, _, rid = topic.rpartition("=")
    assert (before, body) == ("$iothub/methods/POST/re%20boot/?$rid", b'{"in":1}')
    assert str(uuid.UUID(rid)) == rid  # .NET's client reads it as one
    leaf.publish(f"$iothub/methods/res/207/?$rid={rid}", b'{"out":2}')
    assert await call == MethodResult(207, b'{"out":2}')


async def test_a_method_waits_until_the_device_subscribes(hall: House, leaf: Line) -> None:
    call = asyncio.create_task(hall.hub.invoke_method(LEAF, "m", connect_timeout_s=60))
    await leaf.subscribe(METHODS)
    rid = (await published(leaf))[0].rpartition("=")[2]
    leaf.publish(f"$iothub/methods/res/200/?$rid={rid}", b"")
    assert (await call).status == 200


async def test_an_answer_beyond_128_kib_closes_the_connection(leaf: Line) -> None:
    leaf.publish("$iothub/methods/res/200/?$rid=1", b"x" * (128 * 1024 + 1))
    await leaf.until_closed()


# --- module inputs ----------------------------------------------------------------------------------------------------


async def test_an_input_message_names_its_sender_and_is_completed_by_its_puback(
    hall: House, m1: Line, m2: Line
) -> None:
    await m2.subscribe(M2_INPUTS)
    m1.publish(M1_EVENTS + "%24.on=local&%24.ct=text%2Fplain&a=1", b"hi", packet_id=1)
    assert await m1.receive() == Puback(packet_id=1)
    packet = await m2.receive()
    assert isinstance(packet, Publish)
    assert packet.topic == (
        "devices/edge-1/modules/m2/inputs/in%20put/%24.ct=text%2Fplain&%24.cdid=edge-1&%24.cmid=m1&a=1"
    )
    assert (packet.qos, packet.payload) == (1, b"hi")
    assert hall.hub.inputs.waiting(M2) == 1
    m2.send(Puback(packet_id=packet.packet_id))
    assert hall.hub.inputs.waiting(M2) == 0
    assert hall.hub.events.count() == 0


async def test_an_unacknowledged_input_message_comes_again_on_the_next_connection(
    hall: House, m1: Line, m2: Line
) -> None:
    await m2.subscribe(M2_INPUTS)
    m1.publish(M1_EVENTS + "%24.on=local", b"1", packet_id=1)
    m1.publish(M1_EVENTS + "%24.on=local", b"2", packet_id=2)
    assert [(await published(m2))[1] for _ in range(2)] == [b"1", b"2"]
    m2.send(Disconnect())
    await m2.until_closed()
    again = hall.line()
    await again.login(M2)
    again.send(Puback(packet_id=1))  # of the old connection: it means nothing here
    await again.subscribe(M2_INPUTS)
    assert [(await published(again))[1] for _ in range(2)] == [b"1", b"2"]


async def test_at_qos_0_an_input_message_is_complete_when_sent(hall: House, m1: Line, m2: Line) -> None:
    await m2.subscribe(M2_INPUTS, qos=0)
    m1.publish(M1_EVENTS + "%24.on=local", b"1", packet_id=1)
    await published(m2)
    assert hall.hub.inputs.waiting(M2) == 0


async def test_no_more_input_messages_are_on_the_way_than_the_window_allows(hall: House, m1: Line, m2: Line) -> None:
    await m2.subscribe(M2_INPUTS)
    window = m2.session.window
    for packet_id in range(1, window + 2):
        m1.publish(M1_EVENTS + "%24.on=local", str(packet_id).encode(), packet_id=packet_id)
    for _ in range(window + 1):
        await m1.receive()
    sent = [await m2.receive() for _ in range(window)]
    assert m2.received() == []
    first = sent[0]
    assert isinstance(first, Publish)
    m2.send(Puback(packet_id=first.packet_id))
    assert (await published(m2))[1] == str(window + 1).encode()


async def test_a_peer_that_does_not_read_is_sent_no_more_until_it_does(hall: House, m1: Line, m2: Line) -> None:
    await m2.subscribe(M2_INPUTS)
    m2.pump.sending_paused()
    m1.publish(M1_EVENTS + "%24.on=local", b"1", packet_id=1)
    await m1.receive()
    assert m2.received() == []
    m2.pump.sending_resumed()
    assert (await published(m2))[1] == b"1"


# --- faults -----------------------------------------------------------------------------------------------------------


async def test_a_stalled_hub_keeps_the_connection_and_stores_and_answers_nothing(hall: House, leaf: Line) -> None:
    await leaf.subscribe(TWIN)
    hall.hub.faults.stalled = True
    leaf.publish(EVENTS, packet_id=1)
    leaf.publish("$iothub/twin/GET/?$rid=1", packet_id=2)
    leaf.pump.receive(b"\xc0\x00")  # PINGREQ
    assert type(await leaf.receive()).__name__ == "Pingresp"
    assert hall.hub.events.count() == 0
    assert not leaf.closed.is_set()
    assert hall.hub.counters["messages swallowed while stalled"] == 2


async def test_a_throttling_hub_closes_who_publishes_and_answers_twins(hall: House, leaf: Line) -> None:
    await leaf.subscribe(TWIN)
    hall.hub.faults.throttling = True
    leaf.publish("$iothub/twin/GET/?$rid=1")
    assert type(await leaf.receive()).__name__ == "Publish"
    leaf.publish(EVENTS, packet_id=2)
    await leaf.until_closed()
    assert hall.hub.events.count() == 0
    assert hall.hub.counters["messages refused on purpose"] == 1


async def test_what_cannot_be_kept_closes_its_sender_unacknowledged(
    hall: House, m1: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standin.inputs.MAX_WAITING", 0)
    refused = Publish(M1_EVENTS + "%24.on=local", b"1", 1, False, False, 1)
    behind_it = Publish(M1_EVENTS + "%24.on=up", b"2", 1, False, False, 2)
    m1.send(refused, behind_it)
    await m1.until_closed()
    assert m1.received() == []
    assert hall.hub.events.count() == 0


# --- messages from the cloud ------------------------------------------------------------------------------------------


def message(body: bytes = b"on", **system: str) -> C2dMessage:
    return C2dMessage(Bag({"a b": "c/d&e"}, system), body)


async def test_a_message_from_the_cloud_is_completed_by_its_puback(hall: House, leaf: Line) -> None:
    await leaf.subscribe(C2D)
    hall.hub.send_c2d(LEAF, message(messageId="m 1"))
    packet = await leaf.receive()
    assert isinstance(packet, Publish)
    bag = "%24.mid=m%201&%24.to=%2Fdevices%2Fleaf%2Fmessages%2Fdevicebound&a%20b=c%2Fd%26e"
    assert packet.topic == f"devices/leaf/messages/devicebound/{bag}"
    assert (packet.qos, packet.payload, hall.hub.c2d_waiting(LEAF)) == (1, b"on", 1)
    leaf.send(Puback(packet_id=packet.packet_id))
    assert hall.hub.c2d_waiting(LEAF) == 0


async def test_with_qos_0_a_message_is_completed_when_it_is_sent(hall: House, leaf: Line) -> None:
    await leaf.subscribe(C2D, qos=0)
    hall.hub.send_c2d(LEAF, message())
    packet = await leaf.receive()
    assert isinstance(packet, Publish)
    assert (packet.qos, hall.hub.c2d_waiting(LEAF)) == (0, 0)


async def test_what_was_not_acknowledged_comes_again_and_counts(hall: House) -> None:
    line = hall.line()
    await line.login(LEAF, clean=False)
    await line.subscribe(C2D)
    for number in range(2):
        hall.hub.send_c2d(LEAF, message(b"%d" % number))
    await published(line)
    line.abort()
    await line.until_closed()
    again = hall.line()
    await again.login(LEAF, clean=False)
    assert [(await published(again))[1] for _ in range(2)] == [b"0", b"1"]
    again.abort()
    await again.until_closed()
    locked = hall.hub.lock_c2d(LEAF)
    assert locked is not None
    assert (locked.body, locked.delivery_count) == (b"0", 2)


async def test_a_puback_after_the_lock_is_lost_settles_nothing(hall: House, leaf: Line) -> None:
    await leaf.subscribe(C2D)
    hall.hub.send_c2d(LEAF, message())
    packet = await leaf.receive()
    assert isinstance(packet, Publish)
    hall.hub.purge_c2d(LEAF)
    leaf.send(Puback(packet_id=packet.packet_id))
    assert hall.hub.counters["c2d settled too late"] == 1


async def test_a_stalled_hub_keeps_messages_until_it_behaves(hall: House, leaf: Line) -> None:
    await leaf.subscribe(C2D)
    hall.hub.faults.stalled = True
    hall.hub.send_c2d(LEAF, message())
    hall.hub.faults.stalled = False
    hall.hub.send_c2d(LEAF, message(b"second"))
    assert [(await published(leaf))[1] for _ in range(2)] == [b"on", b"second"]


async def test_what_no_topic_can_hold_is_rejected(hall: House, leaf: Line) -> None:
    await leaf.subscribe(C2D)
    hall.hub.send_c2d(LEAF, C2dMessage(Bag({"p": "/" * 30_000}, {}), b""))
    hall.hub.send_c2d(LEAF, message())
    assert (await published(leaf))[1] == b"on"
    assert (hall.hub.counters["c2d rejected"], hall.hub.c2d_waiting(LEAF)) == (1, 1)


async def test_an_input_that_no_topic_can_hold_is_dropped(hall: House, m2: Line) -> None:
    await m2.subscribe(M2_INPUTS)
    sent: list[bool] = []
    envelope = envelope_for(M1, Bag({"p": "/" * 30_000}, {"outputName": "local"}))
    hall.hub.receive(Message(envelope, b""), sent.append)
    m1 = hall.line()
    await m1.login(M1)
    m1.publish(M1_EVENTS + "%24.on=local", b"1", packet_id=1)
    assert (await published(m2))[1] == b"1"
    assert (sent, hall.hub.inputs.waiting(M2)) == ([True], 1)
