from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from edgeca.authority import self_signed_device
from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import ULong
from edgewire.codec.amqp.message import AmqpMessage, Properties, Value, read_message, write_message
from edgewire.codec.amqp.performatives import ACCEPTED, DeliveryState, Rejected
from edgewire.session.amqp.events import SaslOutcomeReceived
from edgewire.session.amqp.link import Link, Role
from standin.dps_amqp import MAX_WAITING
from standin.dps_enrolments import Attestation, Enrolment
from support.amqp_line import AmqpLine
from support.dps_house import REG, dps_house, dps_of, request, token
from support.hub_line import House


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    async with dps_house(tmp_path) as hall:
        yield hall


def login(password: str | None = None, name: str = str(REG)) -> bytes:
    return b"\0".join((b"", name.encode(), (password or token()).encode()))


class Desk:
    """A client's two links."""

    def __init__(self, line: AmqpLine, requests: Link, answers: Link) -> None:
        self.line = line
        self.requests = requests
        self.answers = answers

    async def ask(self, operation: str, body: Any, correlation_id: Any = "c1", **said: object) -> DeliveryState | None:
        properties = None if correlation_id is None else Properties(correlation_id=correlation_id)
        message = AmqpMessage(
            properties=properties, application_properties={"iotdps-operation-type": operation} | said, body=body
        )
        return await self.line.settled(self.requests, write_message(message))

    async def answer(self, index: int = 0) -> tuple[AmqpMessage, Any]:
        await self.line.until(lambda: len(self.line.messages(self.answers)) > index)
        message = read_message(self.line.messages(self.answers)[index].payload)
        assert isinstance(message.body, bytes)
        return message, orjson.loads(message.body)


async def desk(line: AmqpLine, address: str = str(REG), credit: int = 10) -> Desk:
    session = await line.open()
    answers = line.client.attach_receiver(session, "answers", address, credit=credit)
    requests = line.client.attach_sender(session, "requests", address)
    await line.until(lambda: requests.credit > 0 and answers.attached)
    return Desk(line, requests, answers)


async def opened(hall: House) -> Desk:
    return await desk(AmqpLine(hall, sasl="PLAIN", response=login()))


@pytest.mark.parametrize("address", [str(REG), f"amqps://127.0.0.7/{REG}", f"/{REG}"])
async def test_a_device_registers_as_it_is_written_down(hall: House, address: str) -> None:
    at = await desk(AmqpLine(hall, sasl="PLAIN", response=login()), address)
    assert await at.ask("iotdps-register", request(), **{"iotdps-forceRegistration": False}) == ACCEPTED
    message, body = await at.answer()
    assert message.properties is not None
    assert message.properties.correlation_id == "c1"
    assert message.application_properties == {"retry-after": 0}
    assert (set(body), body["status"]) == ({"operationId", "status"}, "assigning")
    await dps_of(hall).until_idle()
    poll = {"iotdps-operation-id": body["operationId"]}
    assert await at.ask("iotdps-get-operationstatus", Value(""), ULong(7), **poll) == ACCEPTED
    message, last = await at.answer(1)
    assert message.properties is not None
    assert message.properties.correlation_id == ULong(7)
    assert last["registrationState"]["assignedHub"] == "127.0.0.7"


@pytest.mark.parametrize(
    ("operation", "body", "condition", "code"),
    [
        ("iotdps-register", b"{}", conditions.ARGUMENT_ERROR, 400004),
        ("iotdps-register", Value("x"), conditions.ARGUMENT_ERROR, 400004),
        ("iotdps-get-registration", b"{}", conditions.ARGUMENT_ERROR, 400004),
        ("iotdps-get-operationstatus", Value(""), conditions.NOT_FOUND, 404001),
    ],
)
async def test_a_refused_request_is_rejected_and_the_link_stays(
    hall: House, operation: str, body: Any, condition: str, code: int
) -> None:
    at = await opened(hall)
    verdict = await at.ask(operation, body)
    assert isinstance(verdict, Rejected)
    assert verdict.error is not None
    assert verdict.error.condition == condition
    assert orjson.loads(verdict.error.description or "")["errorCode"] == code
    assert await at.ask("iotdps-register", request()) == ACCEPTED


async def test_a_throttled_request_says_when_to_come_back(hall: House) -> None:
    at = await opened(hall)
    hall.hub.faults.throttling = True
    verdict = await at.ask("iotdps-register", request())
    assert isinstance(verdict, Rejected)
    assert verdict.error is not None
    assert verdict.error.condition == conditions.DEVICE_CONTAINER_THROTTLED
    assert verdict.error.info == {"retry-after": 0}


async def test_what_is_no_message_is_rejected(hall: House) -> None:
    at = await opened(hall)
    assert isinstance(await at.line.settled(at.requests, b"\xff\xff"), Rejected)


async def test_answers_wait_for_credit_and_so_do_requests(hall: House) -> None:
    at = await desk(AmqpLine(hall, sasl="PLAIN", response=login()), credit=0)
    for _ in range(MAX_WAITING):
        assert await at.ask("iotdps-register", request()) == ACCEPTED
    assert at.requests.credit == 0
    at.line.client.grant(at.answers, MAX_WAITING)
    await at.answer(MAX_WAITING - 1)
    await at.line.until(lambda: at.requests.credit == MAX_WAITING)


@pytest.mark.parametrize(
    ("response", "counted"),
    [
        (login("nonsense"), "malformed token"),
        (login(name="0ne00OTHER/registrations/reg-01"), "foreign hub"),
        (login(name="0ne00STANDIN/registrations/reg-02"), "token for another audience"),
    ],
)
async def test_a_wrong_login_is_told_by_the_outcome(hall: House, response: bytes, counted: str) -> None:
    line = AmqpLine(hall, sasl="PLAIN", response=response)
    await line.until_closed()
    [outcome] = [each for each in line.events if isinstance(each, SaslOutcomeReceived)]
    assert not outcome.ok
    assert hall.hub.counters[f"provisioning refused: {counted}"] == 1


async def test_a_malformed_name_is_refused(hall: House) -> None:
    line = AmqpLine(hall, sasl="PLAIN", response=login(name="0ne00STANDIN/registrations/a b"))
    await line.until_closed()


@pytest.mark.parametrize(
    ("address", "condition"),
    [
        ("0ne00STANDIN/registrations/reg-02", conditions.UNAUTHORIZED_ACCESS),
        ("0ne00STANDIN/registrations/a b", conditions.NOT_ALLOWED),
    ],
)
async def test_nobody_elses_address_can_be_had(hall: House, address: str, condition: str) -> None:
    line = AmqpLine(hall, sasl="PLAIN", response=login())
    link = await line.attach(await line.open(), address)
    assert line.reason(link) == condition


async def test_a_link_without_a_login_needs_a_certificate(hall: House) -> None:
    line = AmqpLine(hall)
    link = await line.attach(await line.open(), str(REG))
    assert line.reason(link) == conditions.UNAUTHORIZED_ACCESS


async def test_a_certificate_takes_the_place_of_a_login(hall: House) -> None:
    credential = self_signed_device("cert-1")
    der = credential.certificate.public_bytes(Encoding.DER)
    thumbprint = credential.certificate.fingerprint(SHA256()).hex().upper()
    hall.wall_clock.now = credential.certificate.not_valid_before_utc.timestamp() + 1
    dps_of(hall).enrolments.add(
        Enrolment(name="cert-1", group=False, attestation=Attestation.X509, thumbprints=(thumbprint,))
    )
    at = await desk(AmqpLine(hall, certificates=(der,)), "0ne00STANDIN/registrations/cert-1")
    assert await at.ask("iotdps-register", request("cert-1"), None) == ACCEPTED


async def test_a_second_link_of_a_direction_takes_the_place_of_the_first(hall: House) -> None:
    at = await opened(hall)
    session = await at.line.begin()
    await at.line.attach(session, str(REG), Role.RECEIVER)
    assert await at.line.until_detached(at.answers) == conditions.STOLEN


async def test_requests_end_once_the_token_has_expired(hall: House) -> None:
    at = await opened(hall)
    hall.wall_clock.now += 3601
    verdict = await at.ask("iotdps-register", request())
    assert isinstance(verdict, Rejected)
    assert verdict.error is not None
    assert verdict.error.condition == conditions.UNAUTHORIZED_ACCESS
    at.line.client.close()
    await at.line.until_closed()
