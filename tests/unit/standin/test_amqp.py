import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from edgeca.authority import self_signed_device
from edgeca.credential import Credential, thumbprint_sha256
from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.message import MESSAGE_FORMAT_BATCH, AmqpMessage, Value, write_batch, write_message
from edgewire.codec.amqp.performatives import ACCEPTED, DeliveryState, Rejected
from edgewire.codec.mqtt.packets import Connack, Puback
from edgewire.iothub import sas
from edgewire.iothub.amqp.addresses import Purpose, format_address
from edgewire.iothub.amqp.messages import write_telemetry
from edgewire.iothub.amqp.sasl import PlainLogin, write_plain
from edgewire.iothub.bag import WIRE_NAMES, Direction, read_bag, write_bag
from edgewire.iothub.messages import envelope_for
from edgewire.message import Identity, identity
from edgewire.session.amqp.events import ConnectionClosed, SaslOutcomeReceived
from edgewire.session.amqp.link import Role
from standin import amqp, amqp_devices, inputs
from standin.registry import certificate_entry, symmetric_entry
from standin.routes import parse_routes
from support.amqp_line import AmqpLine, text_message
from support.hub_line import HUB_NAME, House, house

LEAF = identity("leaf")
OTHER = identity("other")
M1 = identity("edge-1", "m1")
M2 = identity("edge-1", "m2")
ROUTES = parse_routes(
    {
        "up": "FROM /messages/modules/m1/outputs/up INTO $upstream",
        "in": 'FROM /messages/modules/m1/outputs/local INTO BrokeredEndpoint("/modules/m2/inputs/in1")',
    }
)


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    hall = house(tmp_path, edge_device="edge-1", routes=ROUTES)
    for who in (LEAF, OTHER, identity("edge-1"), M1, M2):
        hall.hub.add(symmetric_entry(who))
    yield hall
    await hall.close()


def condition(verdict: DeliveryState | None) -> str:
    assert isinstance(verdict, Rejected)
    assert verdict.error is not None
    return str(verdict.error.condition)


def bodies(hall: House) -> list[bytes]:
    return [event.body for event in hall.hub.events.read()]


def farewell(line: AmqpLine) -> str:
    """The condition that the stand-in closed the connection with."""
    [closed] = [each for each in line.events if isinstance(each, ConnectionClosed)]
    return "" if closed.error is None else str(closed.error.condition)


# Messages


async def test_telemetry_is_accepted_once_it_is_kept(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    assert await line.settled(link, text_message(b"one", a="1")) == ACCEPTED
    [event] = hall.hub.events.read()
    assert (event.device, event.body, event.properties) == ("leaf", b"one", {"a": "1"})
    assert event.system == {"connectionDeviceId": "leaf"}


async def test_a_batch_is_many_events_and_one_verdict(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    line.events.clear()
    assert await line.settled_batch(link, [text_message(str(n).encode(), a="1") for n in range(300)]) == ACCEPTED
    assert bodies(hall) == [str(n).encode() for n in range(300)]
    assert len(line.verdicts()) == 1


async def test_the_order_of_a_link_is_the_order_of_its_events(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    for number in range(0, 40, 4):
        parts = [text_message(str(number + n).encode()) for n in range(3)]
        line.send(link, write_batch(parts), MESSAGE_FORMAT_BATCH)
        last = line.send(link, text_message(str(number + 3).encode()))
    await line.until(lambda: last.settled)
    assert bodies(hall) == [str(n).encode() for n in range(40)]


async def test_a_message_is_the_same_event_by_either_protocol(hall: House) -> None:
    system = {wire: f"value of {wire}" for wire in WIRE_NAMES[Direction.FROM_DEVICE] if wire not in {"$.exp", "$.on"}}
    sent = read_bag(
        write_bag({"a": "1", "room": "kitchen"}, {})
        + "&"
        + "&".join(f"{k}={quote(v)}" for k, v in system.items())
        + "&$.exp=2026-11-21T07:00:00.0000000Z&$.on=o1"
    )
    mqtt = hall.line()
    await mqtt.login(LEAF)
    bag = write_bag(sent.properties, sent.system, Direction.FROM_DEVICE)
    mqtt.publish(f"devices/leaf/messages/events/{bag}", b"body", 1)
    assert await mqtt.receive() == Puback(packet_id=1)
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    assert await line.settled(link, write_telemetry(envelope_for(LEAF, sent), b"body")) == ACCEPTED
    by_mqtt, by_amqp = hall.hub.events.read()
    assert len(by_mqtt.system) == len(WIRE_NAMES[Direction.FROM_DEVICE]) + 1
    assert (by_amqp.properties, by_amqp.system, by_amqp.body) == (by_mqtt.properties, by_mqtt.system, by_mqtt.body)


async def test_what_comes_settled_is_kept_without_a_verdict(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    line.events.clear()
    line.client.send(link, text_message(b"settled"), settled=True)
    assert await line.settled(link, text_message(b"unsettled")) == ACCEPTED
    assert bodies(hall) == [b"settled", b"unsettled"]
    assert len(line.verdicts()) == 1


async def test_credit_is_topped_up(hall: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqp_devices, "CREDIT", 4)
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    for number in range(20):
        await line.until(lambda: link.credit > 0)
        assert await line.settled(link, text_message(str(number).encode())) == ACCEPTED


async def test_one_bad_message_refuses_its_batch_and_nothing_else(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    bad = write_message(AmqpMessage(body=Value([1])))
    verdict = await line.settled_batch(link, [text_message(b"1"), bad, text_message(b"2")])
    assert condition(verdict) == conditions.ARGUMENT_ERROR
    assert condition(await line.settled(link, b"\x00\x53")) == conditions.DECODE_ERROR
    assert hall.hub.counters["messages refused: malformed"] == 2
    assert await line.settled(link, text_message(b"3")) == ACCEPTED
    assert bodies(hall) == [b"3"]


async def test_a_message_too_large_is_rejected_and_one_beyond_the_links_limit_ends_the_link(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    assert link.peer_max_message_size == amqp_devices.MAX_LINK_MESSAGE_BYTES
    assert condition(await line.settled(link, text_message(bytes(262_144)))) == conditions.MESSAGE_SIZE_EXCEEDED
    half = text_message(bytes(131_072))
    assert condition(await line.settled_batch(link, [half, half])) == conditions.MESSAGE_SIZE_EXCEEDED
    assert await line.settled_batch(link, [half]) == ACCEPTED
    link.peer_max_message_size = 0  # a client that does not listen
    line.send(link, text_message(bytes(amqp_devices.MAX_LINK_MESSAGE_BYTES)))
    assert await line.until_detached(link) == conditions.MESSAGE_SIZE_EXCEEDED
    assert hall.hub.connected() == ()
    again = await line.telemetry(link.session, LEAF)
    assert await line.settled(again, text_message(b"small")) == ACCEPTED


async def test_a_modules_output_goes_where_the_routes_say(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(M1)
    batch = [text_message(name.encode(), **{"iothub-outputname": name}) for name in ("up", "local", "nowhere")]
    assert await line.settled_batch(link, batch) == ACCEPTED
    assert [(event.module, event.output) for event in hall.hub.events.read()] == [("m1", "up")]
    assert hall.hub.inputs.waiting(M2) == 1
    assert await line.settled(link, batch[2]) == ACCEPTED
    assert hall.hub.counters["messages unrouted"] == 2


async def test_a_batch_that_fills_an_input_is_throttled_and_leaves_no_trace(
    hall: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "MAX_WAITING", 1)
    line = AmqpLine(hall)
    link = await line.enter(M1)
    local = text_message(b"x", **{"iothub-outputname": "local"})
    verdict = await line.settled_batch(link, [text_message(b"up", **{"iothub-outputname": "up"}), local, local])
    assert condition(verdict) == conditions.DEVICE_CONTAINER_THROTTLED
    assert (bodies(hall), hall.hub.inputs.waiting(M2)) == ([], 0)


async def test_reading_stops_while_too_much_is_unanswered(hall: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqp_devices, "MAX_UNANSWERED_BYTES", 10_000)
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    delivery = line.send(link, text_message(bytes(12_000)))
    line.carry()
    assert not line.reading
    await line.until(lambda: delivery.settled)
    assert line.reading


# Who may


@pytest.mark.parametrize("sasl", [None, "ANONYMOUS", "MSSBCBS"])
async def test_a_token_opens_links_whatever_stands_before_it(hall: House, sasl: str | None) -> None:
    line = AmqpLine(hall, sasl=sasl)
    link = await line.enter(LEAF)
    assert await line.settled(link, text_message()) == ACCEPTED
    assert hall.hub.connected() == (LEAF,)
    assert hall.hub.counters["connections accepted"] == 1
    assert hall.hub.counters["tokens accepted"] == 1


def plain(line: AmqpLine, who: Identity, *, hub: str = "hub", token: str | None = None) -> bytes:
    return write_plain(PlainLogin(identity=who, hub=hub, token=token or line.token(who)))


@pytest.mark.parametrize("who", [LEAF, M1])
async def test_plain_opens_links_of_that_identity_alone(hall: House, who: Identity) -> None:
    line = AmqpLine(hall, sasl="PLAIN", response=plain(AmqpLine(hall, sasl=None), who))
    session = await line.open()
    link = await line.telemetry(session, who)
    assert await line.settled(link, text_message()) == ACCEPTED
    another = await line.attach(session, format_address(OTHER, Purpose.EVENTS))
    assert line.reason(another) == conditions.NOT_ALLOWED


@pytest.mark.parametrize(
    ("response", "counted"),
    [
        (b"", "malformed login"),
        (b"\0leaf@sas.hub\0nonsense", "malformed token"),
        (b"\0leaf@sas.elsewhere\0nonsense", "foreign hub"),
        (b"\0nobody@sas.hub\0nonsense", "unknown identity"),
    ],
)
async def test_a_wrong_login_is_told_by_the_outcome(hall: House, response: bytes, counted: str) -> None:
    line = AmqpLine(hall, sasl="PLAIN", response=response)
    await line.until_closed()
    [outcome] = [each for each in line.events if isinstance(each, SaslOutcomeReceived)]
    assert (outcome.ok, outcome.code) == (False, 1)
    assert hall.hub.counters[f"refused: {counted}"] == 1


def der(credential: Credential) -> tuple[bytes, ...]:
    return (credential.certificate.public_bytes(Encoding.DER),)


@pytest.mark.parametrize("sasl", [None, "EXTERNAL"])
async def test_a_certificate_opens_the_links_of_its_device(hall: House, sasl: str | None) -> None:
    credential = self_signed_device("thumb")
    hall.wall_clock.now = credential.certificate.not_valid_before_utc.timestamp() + 60
    thumb = hall.hub.add(certificate_entry(identity("thumb"), [thumbprint_sha256(credential.certificate)])).identity
    line = AmqpLine(hall, sasl=sasl, certificates=der(credential))
    session = await line.open()
    link = await line.telemetry(session, thumb)
    assert await line.settled(link, text_message()) == ACCEPTED
    another = await line.attach(session, format_address(LEAF, Purpose.EVENTS))
    assert line.reason(another) == conditions.UNAUTHORIZED_ACCESS
    stranger = AmqpLine(hall, certificates=der(self_signed_device("thumb")))
    refused = await stranger.attach(await stranger.open(), format_address(thumb, Purpose.EVENTS))
    assert stranger.reason(refused) == conditions.UNAUTHORIZED_ACCESS
    assert hall.hub.counters["refused: wrong certificate"] == 1


async def test_a_link_needs_a_token_of_its_identity(hall: House) -> None:
    line = AmqpLine(hall)
    session = await line.open()
    assert (await line.put(await line.cbs(session), line.token(OTHER))).status == 200
    link = await line.attach(session, format_address(LEAF, Purpose.EVENTS))
    assert line.reason(link) == conditions.UNAUTHORIZED_ACCESS
    assert hall.hub.counters["links refused"] == 1


@pytest.mark.parametrize(
    ("address", "role"),
    [
        ("", Role.SENDER),
        ("$management", Role.SENDER),
        ("/devices/leaf", Role.SENDER),
        ("/devices/leaf/messages/everything", Role.SENDER),
        ("/devices/le%zzaf/messages/events", Role.SENDER),
        ("/devices/leaf/messages/devicebound", Role.SENDER),
        ("/devices/leaf/messages/events", Role.RECEIVER),
    ],
)
async def test_addresses_that_lead_nowhere_are_not_allowed(hall: House, address: str, role: Role) -> None:
    line = AmqpLine(hall)
    good = await line.enter(LEAF)
    link = await line.attach(good.session, address, role)
    assert line.reason(link) == conditions.NOT_ALLOWED
    assert await line.settled(good, text_message()) == ACCEPTED


@pytest.mark.parametrize(
    ("make", "counted"),
    [
        (lambda line: "nonsense", "malformed token"),
        (lambda line: line.token(LEAF, life_s=-301), "expired"),
        (lambda line: line.token(LEAF, key=b"0" * 32), "wrong key"),
        (lambda line: line.token(LEAF, hub="elsewhere.test"), "token for another audience"),
        (lambda line: line.token(LEAF).replace("%2Fdevices%2Fleaf", ""), "token for another audience"),
        (lambda line: line.token(LEAF).replace("%2Fleaf", "%2Fnobody"), "unknown identity"),
        (lambda line: line.token(LEAF) + "&skn=owner", "unknown identity"),
    ],
)
async def test_a_bad_token_is_answered_with_401_and_the_connection_stays(
    hall: House, make: "object", counted: str
) -> None:
    line = AmqpLine(hall)
    session = await line.open()
    cbs = await line.cbs(session)
    reply = await line.put(cbs, make(line))  # type: ignore[operator]  # one of the rows above
    assert (reply.status, reply.description) == (401, counted)
    assert hall.hub.counters[f"refused: {counted}"] == 1
    assert (await line.put(cbs, line.token(LEAF))).status == 200
    assert (await line.telemetry(session, LEAF)).credit > 0


async def test_a_bad_token_ends_the_links_of_the_good_one_before_it(hall: House) -> None:
    line = AmqpLine(hall)
    leaf = await line.enter(LEAF)
    cbs = await line.cbs(leaf.session)
    assert (await line.put(cbs, line.token(OTHER))).status == 200
    other = await line.telemetry(leaf.session, OTHER)
    assert (await line.put(cbs, line.token(LEAF, key=b"0" * 32))).status == 401
    assert await line.until_detached(leaf) == conditions.UNAUTHORIZED_ACCESS
    assert await line.settled(other, text_message()) == ACCEPTED
    assert hall.hub.connected() == (OTHER,)


async def test_tokens_may_be_checked_late_as_edgehub_does(hall: House) -> None:
    hall.hub.faults.late = True
    line = AmqpLine(hall)
    session = await line.open()
    cbs = await line.cbs(session)
    assert (await line.put(cbs, line.token(LEAF, key=b"0" * 32))).status == 200
    link = await line.attach(session, format_address(LEAF, Purpose.EVENTS))
    assert line.reason(link) == conditions.UNAUTHORIZED_ACCESS
    assert (await line.put(cbs, "nonsense")).status == 401


async def test_an_expired_token_ends_the_links_of_its_identity_alone(hall: House) -> None:
    line = AmqpLine(hall)
    other = await line.enter(OTHER)
    cbs = await line.cbs(other.session)
    hall.wall_clock.now += 0.95
    assert (await line.put(cbs, line.token(LEAF, life_s=1))).status == 200
    leaf = await line.telemetry(other.session, LEAF)
    hall.wall_clock.now += 1
    assert await line.until_detached(leaf) == conditions.UNAUTHORIZED_ACCESS
    assert hall.hub.counters["closed: token expired"] == 1
    assert await line.settled(other, text_message()) == ACCEPTED
    refused = await line.attach(other.session, format_address(LEAF, Purpose.EVENTS))
    assert line.reason(refused) == conditions.UNAUTHORIZED_ACCESS


async def test_a_thousand_identities_share_a_connection(hall: House) -> None:
    leaves = [hall.hub.add(symmetric_entry(identity(f"leaf-{n}"))).identity for n in range(1_000)]
    line = AmqpLine(hall)
    session = await line.open()
    cbs = await line.cbs(session)
    for who in leaves:
        await line.put(cbs, line.token(who))
        line.events.clear()
    links = [
        line.client.attach_sender(session, "same name" + str(who), format_address(who, Purpose.EVENTS))
        for who in leaves
    ]
    await line.until(lambda: all(link.credit for link in links))
    deliveries = [
        line.send(link, write_batch([text_message(b"1"), text_message(b"2")]), MESSAGE_FORMAT_BATCH) for link in links
    ]
    await line.until(lambda: all(delivery.settled for delivery in deliveries))
    assert hall.hub.events.count() == 2_000
    assert hall.hub.connected() == tuple(leaves)
    hall.hub.remove(leaves[500])
    assert await line.until_detached(links[500]) == conditions.UNAUTHORIZED_ACCESS
    assert await line.settled(links[501], text_message()) == ACCEPTED
    assert len(hall.hub.connected()) == 999
    line.client.close()
    await line.until_closed()
    assert hall.hub.connected() == ()


async def test_who_is_disabled_is_cut_and_needs_a_new_token_when_enabled(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    hall.hub.set_enabled(LEAF, enabled=False)
    assert await line.until_detached(link) == conditions.UNAUTHORIZED_ACCESS
    assert hall.hub.counters["closed: no longer allowed"] == 1
    hall.hub.set_enabled(LEAF, enabled=True)
    refused = await line.attach(link.session, format_address(LEAF, Purpose.EVENTS))
    assert line.reason(refused) == conditions.UNAUTHORIZED_ACCESS


async def test_who_has_a_token_and_no_link_loses_it_when_disabled(hall: House) -> None:
    line = AmqpLine(hall)
    session = await line.open()
    assert (await line.put(await line.cbs(session), line.token(LEAF))).status == 200
    hall.hub.set_enabled(LEAF, enabled=False)
    hall.hub.set_enabled(LEAF, enabled=True)
    refused = await line.attach(session, format_address(LEAF, Purpose.EVENTS))
    assert line.reason(refused) == conditions.UNAUTHORIZED_ACCESS


# One connection of an identity, one link of a kind


async def test_the_newer_connection_of_an_identity_takes_its_links_and_not_its_neighbours(hall: House) -> None:
    older = AmqpLine(hall)
    leaf = await older.enter(LEAF)
    assert (await older.put(await older.cbs(leaf.session), older.token(OTHER))).status == 200
    other = await older.telemetry(leaf.session, OTHER)
    newer = AmqpLine(hall)
    taken = await newer.enter(LEAF)
    assert await older.until_detached(leaf) == conditions.STOLEN
    assert await older.settled(other, text_message()) == ACCEPTED
    assert await newer.settled(taken, text_message()) == ACCEPTED


async def test_an_identity_may_come_back_by_the_other_protocol(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    mqtt = hall.line()
    assert await mqtt.login(LEAF) == Connack(session_present=False, code=0)
    assert await line.until_detached(link) == conditions.STOLEN
    await line.telemetry(link.session, LEAF)
    await mqtt.until_closed()
    assert hall.hub.connected() == (LEAF,)


async def test_a_second_link_of_a_kind_takes_the_place_of_the_first(hall: House) -> None:
    line = AmqpLine(hall)
    first = await line.enter(LEAF)
    second = line.client.attach_sender(first.session, "second", format_address(LEAF, Purpose.EVENTS))
    assert await line.until_detached(first) == conditions.STOLEN
    assert await line.settled(second, text_message()) == ACCEPTED
    assert hall.hub.connected() == (LEAF,)


async def test_an_identity_leaves_with_its_last_link_or_its_session(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    twin = await line.attach(link.session, format_address(LEAF, Purpose.TWIN))
    line.client.detach(link)
    await line.until_detached(link)
    assert hall.hub.connected() == (LEAF,)
    line.client.end(twin.session)
    await line.begin()
    assert hall.hub.connected() == ()


async def test_a_module_may_listen_on_the_address_it_sends_to(hall: House) -> None:
    line = AmqpLine(hall)
    session = (await line.enter(M1)).session
    assert (await line.attach(session, format_address(M1, Purpose.EVENTS), Role.RECEIVER)).attached


# Faults on demand, and ends


async def test_refusing_closes_who_opens_and_leaves_who_is_there(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    hall.hub.faults.refusing = True
    refused = AmqpLine(hall)
    await refused.until_closed()
    assert farewell(refused) == conditions.SERVER_BUSY
    assert await line.settled(link, text_message()) == ACCEPTED


async def test_a_throttling_hub_rejects_what_comes_and_the_link_stays(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    hall.hub.faults.throttling = True
    verdict = await line.settled_batch(link, [text_message(b"1"), text_message(b"2")])
    assert condition(verdict) == conditions.DEVICE_CONTAINER_THROTTLED
    hall.hub.faults.throttling = False
    assert await line.settled(link, text_message(b"3")) == ACCEPTED
    assert bodies(hall) == [b"3"]


async def test_a_stalled_hub_answers_nothing_and_keeps_nothing(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    hall.hub.faults.stalled = True
    delivery = line.send(link, text_message())
    asked = line.client.attach_sender(link.session, "asked", format_address(LEAF, Purpose.TWIN))
    late = AmqpLine(hall)
    late.carry()
    line.client.detach(link)  # the engine's own answers come, as pings do
    await line.until_detached(link)
    assert hall.hub.counters["messages swallowed while stalled"] == 1
    assert (delivery.settled, asked.attached, late.client.opened) == (False, False, False)
    assert hall.hub.events.count() == 0


async def test_what_was_on_its_way_to_the_disk_is_kept_and_not_told_in_a_stall(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    delivery = line.send(link, text_message())
    line.carry()
    hall.hub.faults.stalled = True
    assert len(await hall.hub.events.wait(0, timeout_s=30)) == 1
    await asyncio.sleep(0)  # the turn in which it would be told
    line.carry()
    assert not delivery.settled


async def test_dropping_cuts_connections_with_and_without_identities(hall: House) -> None:
    lines = [AmqpLine(hall), AmqpLine(hall)]
    await lines[0].enter(LEAF)
    await lines[1].open()
    mqtt = hall.line()
    await mqtt.login(OTHER)
    assert hall.hub.drop_connections() == 3
    for line in lines:
        await line.until_closed()
    await mqtt.until_closed()
    assert hall.hub.connected() == ()
    assert hall.hub.drop_connections() == 0


async def test_a_broken_rule_closes_the_connection_and_is_noted(hall: House) -> None:
    line = AmqpLine(hall)
    await line.enter(LEAF)
    line.pump.receive(b"\x00\x00\x00\x01nonsense")
    await line.until_closed()
    assert hall.hub.counters["closed: protocol error"] == 1
    assert hall.hub.connected() == ()


class Deaf(AmqpLine):
    """A client that says what the test has, whatever the stand-in answers."""

    def write(self, data: bytes) -> None:
        pass


async def everything(hall: House) -> bytes:
    """What a client says in a connection with all that there is."""
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    await line.settled_batch(link, [text_message(b"1", a="1"), text_message(b"2", a="1")])
    await line.settled(link, text_message(b"3"))
    for purpose in (Purpose.TWIN, Purpose.METHODS, Purpose.DEVICEBOUND):
        await line.attach(link.session, format_address(LEAF, purpose), Role.RECEIVER)
    twin = await line.attach(link.session, format_address(LEAF, Purpose.TWIN))
    await line.until(lambda: twin.credit > 0)
    await line.settled(twin, text_message(b" "))
    line.client.detach(link)
    line.client.end(link.session)
    line.client.close()
    await line.until_closed()
    return bytes(line.sent)


async def said(hall: House, data: bytes) -> None:
    """Have the stand-in hear this and no more."""
    line = Deaf(hall)
    for at in range(0, len(data), 400):
        line.pump.receive(data[at : at + 400])
        for _ in range(3):  # what waited for answers is read in the turns behind them
            await asyncio.sleep(0)
    line.abort()
    await asyncio.sleep(0)


async def test_mangled_bytes_are_no_fault_of_the_stand_in(hall: House) -> None:
    data = await everything(hall)
    attached = hall.hub.counters["links attached"]
    await said(hall, data)
    assert hall.hub.counters["links attached"] == 2 * attached
    dice = random.Random(4)
    for _ in range(300):
        mangled = bytearray(data)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(20, len(mangled))
            match dice.randrange(3):
                case 0:
                    mangled[at] = dice.randrange(256)
                case 1:
                    del mangled[at : at + dice.randint(1, 9)]
                case _:
                    mangled[at:at] = dice.randbytes(dice.randint(1, 9))
        await said(hall, bytes(mangled))  # a fault of ours raises: `Wire.crash`
    await asyncio.sleep(0)
    assert hall.hub.connected() == ()
    assert (await everything(hall))[:100] == data[:100]


async def test_silence_closes_the_connection(hall: House) -> None:
    line = AmqpLine(hall)
    await line.enter(LEAF)
    hall.clock.now += 2 * amqp.LIMITS.idle_timeout_s
    line.pump.wake(hall.clock.now)
    await line.until_closed()
    assert hall.hub.connected() == ()


async def test_a_listener_that_stops_and_a_hub_that_closes_say_so(hall: House) -> None:
    stopped, closed = AmqpLine(hall), AmqpLine(hall)
    await stopped.open()
    await closed.enter(LEAF)
    stopped.pump.stop()
    hall.hub.close()
    assert farewell(stopped) == farewell(closed) == conditions.CONNECTION_FORCED


async def test_a_message_that_cannot_be_written_is_throttled(hall: House, monkeypatch: pytest.MonkeyPatch) -> None:
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    monkeypatch.setattr(hall.hub.events, "_numbered", -1)
    assert await line.settled(link, text_message(b"0")) == ACCEPTED
    monkeypatch.setattr(hall.hub.events, "_numbered", -1)
    assert condition(await line.settled(link, text_message(b"0 again"))) == conditions.DEVICE_CONTAINER_THROTTLED
    assert bodies(hall) == []
    assert hall.hub.counters["messages refused: not written"] == 1


async def test_the_person_at_the_terminal_is_told(tmp_path: Path) -> None:
    lines: list[str] = []
    hall = house(tmp_path, edge_device="edge-1", show=lines.append)
    hall.hub.add(symmetric_entry(LEAF))
    line = AmqpLine(hall)
    link = await line.enter(LEAF)
    await line.settled(link, text_message(b"hello"))
    await line.attach(link.session, "/devices/leaf/nowhere")
    hall.hub.set_enabled(LEAF, enabled=False)
    await line.until_detached(link)
    await hall.close()
    text = "\n".join(lines)
    for said in [
        "AMQP connection of 'client' from 127.0.0.1",
        "connected leaf",
        "#1 leaf hello",
        "refused a link of leaf: no address of a device",
        "detaching leaf: no longer allowed",
    ]:
        assert said in text


# Policies that stand for devices


def device_token(hall: House, *, life_s: float = 3600) -> str:
    """A token of the policy `device`, for the hub."""
    policy = hall.hub.policies.get("device")
    assert policy is not None
    return sas.make(HUB_NAME, policy.signing_keys()[0], int(hall.wall_clock.now + life_s), "device")


async def test_a_policy_stands_for_each_device_that_the_registry_lets_in(hall: House) -> None:
    line = AmqpLine(hall)
    session = await line.open()
    assert (await line.put(await line.cbs(session), device_token(hall))).status == 200
    for who in (LEAF, OTHER):
        assert (await line.telemetry(session, who)).credit > 0
    hall.hub.set_enabled(LEAF, enabled=False)
    again = await line.attach(session, format_address(LEAF, Purpose.EVENTS))
    assert await line.until_detached(again) == conditions.UNAUTHORIZED_ACCESS
    assert hall.hub.connected() == (OTHER,)


async def test_devices_of_a_policy_stay_as_long_as_it_is_proven_anew(hall: House) -> None:
    line = AmqpLine(hall)
    session = await line.open()
    cbs = await line.cbs(session)
    hall.wall_clock.now += 0.98
    assert (await line.put(cbs, device_token(hall, life_s=1))).status == 200
    link = await line.telemetry(session, LEAF)
    assert (await line.put(cbs, device_token(hall, life_s=3_000))).status == 200
    hall.wall_clock.now += 0.5
    await asyncio.sleep(0.05)  # longer than the first would have lasted
    assert await line.settled(link, text_message()) == ACCEPTED
    hall.wall_clock.now += 3_600
    other = await line.attach(session, format_address(OTHER, Purpose.EVENTS))
    assert await line.until_detached(other) == conditions.UNAUTHORIZED_ACCESS
