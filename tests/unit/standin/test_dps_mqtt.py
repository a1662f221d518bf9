from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from edgeca.authority import self_signed_device
from edgewire.codec.mqtt.packets import Connack, Connect, Disconnect, Puback, Publish, Unsuback, Unsubscribe, Will
from standin.dps_enrolments import Attestation, Enrolment
from support.dps_house import K2, REG, dps_house, dps_of, request, token
from support.hub_line import House, Line

RESULTS = "$dps/registrations/res/#"
REGISTER = "$dps/registrations/PUT/iotdps-register/?$rid="
POLL = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid="


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    async with dps_house(tmp_path) as hall:
        yield hall


def connect(text: str | None = None, **changes: Any) -> Connect:
    packet = Connect(
        client_id="reg-01",
        level=4,
        clean_start=True,
        keep_alive_s=60,
        will=None,
        username=f"{REG}/api-version=2019-03-31&ClientVersion=py-azure-iot-device%2F2.14",
        password=(text or token()).encode(),
    )
    return replace(packet, **changes)


async def entered(hall: House, packet: Connect | None = None) -> Line:
    line = hall.line()
    line.send(packet or connect())
    assert await line.receive() == Connack(session_present=False, code=0)
    return line


async def answer(line: Line, topic: str, payload: bytes, packet_id: int = 0) -> tuple[str, Any]:
    line.publish(topic, payload, packet_id)
    if packet_id:
        assert await line.receive() == Puback(packet_id=packet_id)
    packet = await line.receive()
    assert isinstance(packet, Publish)
    return packet.topic, orjson.loads(packet.payload)


async def test_a_device_registers_as_it_is_written_down(hall: House) -> None:
    line = await entered(hall)
    assert await line.subscribe(RESULTS) == (1,)
    topic, body = await answer(line, f"{REGISTER}r1", request(payload={"a": 1}), packet_id=7)
    assert topic == "$dps/registrations/res/202/?$rid=r1&retry-after=0"
    assert set(body) == {"operationId", "status"}
    await dps_of(hall).until_idle()
    topic, last = await answer(line, f"{POLL}r2&operationId={body['operationId']}", b" ")
    assert topic == "$dps/registrations/res/200/?$rid=r2"
    assert (last["status"], last["registrationState"]["payload"]) == ("assigned", {"a": 1})
    line.send(Disconnect())
    await line.until_closed()


async def test_a_refusal_is_an_answer_and_the_connection_stays(hall: House) -> None:
    line = await entered(hall)
    await line.subscribe(RESULTS, qos=0)
    topic, body = await answer(line, f"{REGISTER}1", b"{}")
    assert (topic, body["errorCode"]) == ("$dps/registrations/res/400/?$rid=1", 400004)
    topic, body = await answer(line, f"{POLL}2&operationId=4.x", b" ")
    assert (topic, body["errorCode"]) == ("$dps/registrations/res/404/?$rid=2", 404001)
    hall.hub.faults.throttling = True
    topic, _ = await answer(line, f"{REGISTER}3", request())
    assert topic == "$dps/registrations/res/429/?$rid=3&retry-after=0"


@pytest.mark.parametrize(
    ("packet", "code", "counted"),
    [
        (connect(client_id="other"), 2, "client id"),
        (connect(username="0ne00STANDIN/registrations/a b/api-version=1"), 4, "malformed user name"),
        (connect(username="0ne00OTHER/registrations/reg-01/api-version=1"), 5, "foreign hub"),
        (connect(will=Will(topic="t", payload=b"", qos=0, retain=False)), 5, "foreign will"),
        (connect("nonsense"), 5, "malformed token"),
        (connect(password=None), 5, "no credentials"),
        (connect(token(life_s=-301)), 5, "expired"),
    ],
)
async def test_who_does_not_belong_here_gets_the_code_and_is_closed(
    hall: House, packet: Connect, code: int, counted: str
) -> None:
    line = hall.line()
    line.send(packet)
    assert await line.receive() == Connack(session_present=False, code=code)
    await line.until_closed()
    assert hall.hub.counters[f"provisioning refused: {counted}"] == 1


async def test_a_certificate_takes_the_place_of_a_token(hall: House) -> None:
    credential = self_signed_device("cert-1")
    der = credential.certificate.public_bytes(Encoding.DER)
    thumbprint = credential.certificate.fingerprint(SHA256()).hex().upper()
    hall.wall_clock.now = credential.certificate.not_valid_before_utc.timestamp() + 1
    dps_of(hall).enrolments.add(
        Enrolment(name="cert-1", group=False, attestation=Attestation.X509, thumbprints=(thumbprint,))
    )
    line = hall.line((der,))
    line.send(connect(client_id="cert-1", username="0ne00STANDIN/registrations/cert-1/api-version=1", password=None))
    assert await line.receive() == Connack(session_present=False, code=0)


async def test_only_the_topic_of_answers_is_granted(hall: House) -> None:
    line = await entered(hall)
    assert await line.subscribe("#", "$dps/#", RESULTS) == (0x80, 0x80, 1)
    line.send(Unsubscribe(packet_id=2, filters=(RESULTS,)))
    assert await line.receive() == Unsuback(packet_id=2)
    line.publish(f"{REGISTER}1", request(), 3)
    assert await line.receive() == Puback(packet_id=3)
    assert line.received() == []


@pytest.mark.parametrize("topic", ["devices/reg-01/messages/events/", "$dps/x", REGISTER, f"{POLL}1"])
async def test_any_other_topic_closes_the_connection(hall: House, topic: str) -> None:
    line = await entered(hall)
    line.publish(topic)
    await line.until_closed()
    assert hall.hub.counters["closed: protocol error"] == 1


async def test_a_newer_connection_closes_the_older(hall: House) -> None:
    older, newer = await entered(hall), await entered(hall, connect(token(key=K2)))
    await older.until_closed()
    assert await newer.subscribe(RESULTS) == (1,)


async def test_a_connection_ends_once_its_token_has_expired(hall: House) -> None:
    line = await entered(hall)
    await line.subscribe(RESULTS)
    hall.wall_clock.now += 3601
    line.publish(f"{REGISTER}1", request())
    await line.until_closed()
    assert line.received() == []
    assert dps_of(hall).records.all() == ()


async def test_dropping_cuts_who_registers_too(hall: House) -> None:
    line = await entered(hall)
    assert hall.hub.drop_connections() == 1
    await line.until_closed()
    assert hall.hub.drop_connections() == 0


async def test_a_stalled_service_answers_nothing(hall: House) -> None:
    line = await entered(hall)
    await line.subscribe(RESULTS)
    hall.hub.faults.stalled = True
    line.publish(f"{REGISTER}1", request(), 3)
    line.send(Unsubscribe(packet_id=2, filters=(RESULTS,)))
    assert line.received() == []
    assert hall.hub.counters["messages swallowed while stalled"] == 1


async def test_refusing_says_come_back_later(hall: House) -> None:
    hall.hub.faults.refusing = True
    line = hall.line()
    line.send(connect())
    assert await line.receive() == Connack(session_present=False, code=3)
