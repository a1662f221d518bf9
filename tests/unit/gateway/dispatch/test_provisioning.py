import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from edgewire.iothub import sas
from edgewire.iothub.dps import Poll, Register, Registrant
from gateway.dispatch import provisioning
from gateway.dispatch.provisioning import Applicant, Provisioning, RefusedApplicantError
from gateway.dispatch.provisioning_answers import Answer
from gateway.identity.assignments import Assignments
from gateway.identity.registry import Registry
from gateway.observe.events import Event
from gateway.observe.provisioning import (
    AnsweredBy,
    AssignedElsewhere,
    DeviceProvisioned,
    ProvisioningRefusal,
    ProvisioningRefused,
)
from support.provisioning_service import ScriptedService

NOW = 1_800_000_000
KEY = b"k" * 32
REG = Registrant("0ne00ABCDEF", "reg-01")
OPERATION = "4.0123456789abcdef.11111111-2222-3333-4444-555555555555"
STATE = {"registrationId": "reg-01", "assignedHub": "hub.test", "deviceId": "pump-7", "status": "assigned"}
ASSIGNED = {"operationId": OPERATION, "status": "assigned", "registrationState": STATE}
BODY = b'{"registrationId":"reg-01","payload":{"a":1}}'


def token(who: Registrant = REG, key: bytes = KEY, life_s: int = 3600) -> str:
    return sas.make(str(who), key, NOW + life_s)


def applicant(who: Registrant = REG, text: str | None = None, address: str = "10.0.0.1") -> Applicant:
    return Applicant(registrant=who, token=token(who) if text is None else text, address=address)


class Loop:
    """What the room needs of one. Its clock stands still: nothing is forgiven however long a test takes."""

    def __init__(self) -> None:
        self.held: list[float] = []

    def time(self) -> float:
        return 1000.0

    def call_later(self, delay_s: float, *_: object) -> None:
        self.held.append(delay_s)


class House:
    def __init__(self, folder: Path, **changes: Any) -> None:
        self.service = ScriptedService()
        self.events: list[Event] = []
        self.told: list[Answer] = []
        self.now = float(NOW)
        self.assignments = Assignments(
            folder / "assignments.json", Registry(folder / "devices.json"), self.events.append, lambda: self.now
        )
        options = {"gateway": "pi.local", "hub_names": ("hub.test", "pi.local")} | changes
        self.provisioning = Provisioning(
            self.service, self.assignments, emit=self.events.append, clock=lambda: self.now, **options
        )
        self.loop = Loop()
        self.provisioning._loop = self.loop  # type: ignore[assignment] # its shape

    def register(self, who: Applicant | None = None, body: bytes = BODY) -> None:
        self.provisioning.register(who or applicant(), body, self.told.append)

    def poll(self, who: Applicant | None = None, operation: str = OPERATION) -> None:
        self.provisioning.poll(who or applicant(), operation, self.told.append)

    def last(self) -> tuple[int, dict[str, Any]]:
        answer = self.told.pop()
        assert self.told == []
        return answer.status, json.loads(answer.document)

    def assign(self, who: Applicant | None = None) -> dict[str, Any]:
        """One device that the service has assigned."""
        self.poll(who)
        self.service.answer(200, ASSIGNED)
        return self.last()[1]

    @property
    def reasons(self) -> list[ProvisioningRefusal]:
        return [event.reason for event in self.events if isinstance(event, ProvisioningRefused)]


@pytest.fixture
async def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_a_request_goes_to_the_service_as_it_is(house: House) -> None:
    house.register()
    (question, _) = house.service.asked[0]
    assert (question.registrant, question.token, question.request, question.body) == (REG, token(), Register(), BODY)
    house.service.answer(202, {"operationId": OPERATION, "status": "assigning"}, 3)
    assert house.told[0].retry_after_s == 3
    assert house.last() == (202, {"operationId": OPERATION, "status": "assigning"})
    house.poll()
    assert house.service.asked[0][0].request == Poll(OPERATION)


async def test_who_is_assigned_hears_where_to_connect_and_the_hub_keeps_its_name(house: House) -> None:
    told = house.assign()
    assert told["registrationState"] == STATE | {"gatewayHostName": "pi.local"}
    assert house.events == [
        DeviceProvisioned("0ne00ABCDEF/registrations/reg-01", "10.0.0.1", "pump-7", "hub.test", AnsweredBy.SERVICE)
    ]


async def test_nothing_is_handed_out_where_nothing_is_to_be(tmp_path: Path) -> None:
    assert House(tmp_path, gateway="").assign()["registrationState"] == STATE


async def test_a_device_of_another_hub_is_not_sent_here(tmp_path: Path) -> None:
    house = House(tmp_path, hub_names=("hub-2.test",))
    assert house.assign()["registrationState"] == STATE
    assert house.events[-1] == AssignedElsewhere("0ne00ABCDEF/registrations/reg-01", "hub.test")


# Who is not passed on.


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", ProvisioningRefusal.NO_TOKEN),
        ("SharedAccessSignature sr=x", ProvisioningRefusal.MALFORMED_TOKEN),
        ("Bearer x", ProvisioningRefusal.MALFORMED_TOKEN),
        (token() + "\r\nHost: other", ProvisioningRefusal.MALFORMED_TOKEN),
        (token(Registrant(REG.scope, "reg-02")), ProvisioningRefusal.FOREIGN_TOKEN),
        (token(Registrant("0ne00OTHER", "reg-01")), ProvisioningRefusal.FOREIGN_TOKEN),
        (sas.make(str(REG), KEY, NOW + 60, "iothubowner"), ProvisioningRefusal.FOREIGN_TOKEN),
        (sas.make("hub.test/devices/reg-01", KEY, NOW + 60), ProvisioningRefusal.FOREIGN_TOKEN),
        (token(life_s=-301), ProvisioningRefusal.EXPIRED),
    ],
)
async def test_a_token_that_cannot_be_right_is_not_shown_to_the_service(
    house: House, text: str, reason: ProvisioningRefusal
) -> None:
    house.register(applicant(text=text))
    assert house.last()[0] == 401
    assert house.service.asked == []
    assert house.reasons == [reason]


async def test_a_certificate_cannot_be_passed_on(house: House) -> None:
    house.register(Applicant(registrant=REG, token="", address="10.0.0.1", certified=True))
    status, document = house.last()
    assert (status, document["message"]) == (401, "a certificate cannot be passed on to the service")
    assert house.reasons == [ProvisioningRefusal.CERTIFICATE]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, ProvisioningRefusal.MALFORMED),
        (b"[]", 400, ProvisioningRefusal.MALFORMED),
        (b"[" * 90_000, 400, ProvisioningRefusal.MALFORMED),
        (b"\xff", 400, ProvisioningRefusal.MALFORMED),
        (b"{}", 400, ProvisioningRefusal.FOREIGN_REGISTRATION),
        (b'{"registrationId":"reg-02"}', 400, ProvisioningRefusal.FOREIGN_REGISTRATION),
        (b'{"registrationId":["reg-01"]}', 400, ProvisioningRefusal.FOREIGN_REGISTRATION),
        (b" " * 98_305, 413, ProvisioningRefusal.TOO_LARGE),
    ],
)
async def test_a_document_that_is_not_for_this_registration_is_not_passed_on(
    house: House, body: bytes, status: int, reason: ProvisioningRefusal
) -> None:
    house.register(body=body)
    assert house.last()[0] == status
    assert (house.service.asked, house.reasons) == ([], [reason])


@pytest.mark.parametrize("operation", ["", ".", "..", "a/b", "a?b", "a b", "a%2fb", "a\r\nb", "x" * 257])
async def test_an_operation_that_is_none_is_not_asked_for(house: House, operation: str) -> None:
    house.poll(operation=operation)
    assert house.last()[0] == 400
    assert house.service.asked == []


async def test_check_says_the_same_to_a_login(house: House) -> None:
    house.provisioning.check(applicant())
    with pytest.raises(RefusedApplicantError):
        house.provisioning.check(applicant(text="x"))


# What the service refuses, and how often it may be asked.


async def test_a_refusal_of_the_service_is_told_as_it_is(house: House) -> None:
    house.register()
    house.service.answer(401, {"errorCode": 401002, "message": "Unauthorized"})
    assert house.last() == (401, {"errorCode": 401002, "message": "Unauthorized"})
    assert house.reasons == [ProvisioningRefusal.SERVICE]


async def test_an_operation_that_the_service_has_forgotten_is_nobodys_guess(house: House) -> None:
    house.poll()
    house.service.answer(404, {"errorCode": 404001})
    assert house.last()[0] == 404
    assert house.reasons == []


async def test_after_many_refusals_the_service_is_not_asked_for_this_address(house: House) -> None:
    for number in range(provisioning.ADDRESS_REFUSALS):
        who = Registrant(REG.scope, f"guess-{number}")
        house.register(applicant(who), json.dumps({"registrationId": who.registration}).encode())
        house.service.answer(401, {"errorCode": 401002})
    house.told.clear()
    house.register()
    assert house.last()[0] == 429
    house.register(applicant(address="10.0.0.2"))
    assert len(house.service.asked) == 1


async def test_guesses_for_one_registration_wait_ever_longer(house: House) -> None:
    for _ in range(provisioning.REGISTRATION_BURST):
        house.register(applicant(text="SharedAccessSignature x"))
    for _ in range(5):
        house.register(applicant(text="SharedAccessSignature x"))
    assert len(house.told) == 10
    assert house.loop.held == [1, 2, 3]


async def test_one_registration_asks_so_often_from_one_address(house: House) -> None:
    for _ in range(provisioning.REGISTRATION_BURST):
        house.poll()
        house.service.answer(202, {"operationId": OPERATION, "status": "assigning"})
    house.told.clear()
    house.poll()
    assert house.told[0].retry_after_s == 2
    assert house.last()[0] == 429
    assert house.reasons == [ProvisioningRefusal.TOO_MANY]


async def test_all_together_ask_no_more_than_the_service_takes(house: House) -> None:
    for number in range(provisioning.TOTAL_BURST):
        house.poll(applicant(Registrant(REG.scope, f"r-{number}"), address=f"10.0.{number // 200}.{number % 200}"))
        house.service.answer(404, {})
    house.told.clear()
    house.poll()
    assert house.last()[0] == 429


async def test_questions_at_once_are_bounded_in_all_and_from_one_address(house: House) -> None:
    for number in range(provisioning.MAX_ASKED_PER_ADDRESS):
        house.poll(applicant(Registrant(REG.scope, f"r-{number}")))
    house.poll()
    assert house.last()[0] == 429
    for number in range(provisioning.MAX_ASKED - provisioning.MAX_ASKED_PER_ADDRESS):
        house.poll(applicant(Registrant(REG.scope, f"s-{number}"), address="10.0.0.2"))
    house.poll(applicant(address="10.0.0.3"))
    assert house.last()[0] == 429
    house.service.answer(404, {})
    house.told.clear()
    house.poll(applicant(address="10.0.0.3"))
    assert len(house.service.asked) == provisioning.MAX_ASKED


async def test_one_question_of_one_token_at_a_time(house: House) -> None:
    house.poll()
    house.poll()
    assert house.last()[0] == 429
    house.poll(applicant(text=token(key=b"z" * 32)))  # who guesses for it does not stand in its way
    assert len(house.service.asked) == 2


# Without the service.


@pytest.mark.parametrize("answer", ["away", "html", "fault"])
async def test_without_the_service_who_is_unknown_is_told_to_come_again(house: House, answer: str) -> None:
    house.register()
    match answer:
        case "away":
            house.service.away()
        case "html":
            house.service.asked.pop(0)[1](Answer(200, b"<html>please log in to this network</html>"))
        case _:
            house.service.answer(502, {"errorCode": 502000})
    assert house.told[0].retry_after_s == 10
    assert house.last()[0] == 503


async def test_who_is_remembered_is_assigned_in_the_services_two_steps(house: House) -> None:
    house.assign()
    house.register()
    house.service.away()
    status, begun = house.last()
    assert (status, begun["status"]) == (202, "assigning")
    house.poll(operation=begun["operationId"])
    assert house.service.asked == []  # it is no operation of the service's
    status, told = house.last()
    assert (status, told["status"], told["operationId"]) == (200, "assigned", begun["operationId"])
    state = told["registrationState"]
    assert state.pop("gatewayRememberedDateTimeUtc") == "2027-01-15T08:00:00.000000Z"
    assert state == STATE | {"gatewayHostName": "pi.local"}
    assert isinstance(house.events[-1], DeviceProvisioned)
    assert house.events[-1].by is AnsweredBy.MEMORY


async def test_an_operation_of_the_services_that_was_open_is_answered_too(house: House) -> None:
    house.assign()
    house.poll()
    house.service.away()
    assert house.last()[1]["registrationState"]["deviceId"] == "pump-7"


async def test_another_token_gets_nothing_of_it(house: House) -> None:
    house.assign()
    for text in (token(key=b"z" * 32), token(life_s=7200)):
        house.poll(applicant(text=text), "gateway.0123456789abcdef")
        assert house.last()[0] == 404
        house.poll(applicant(text=text))
        house.service.away()
        assert house.last()[0] == 503


async def test_a_token_that_has_expired_gets_nothing_of_it(house: House) -> None:
    house.assign()
    house.now += 3600 + 300
    house.poll(operation="gateway.0123456789abcdef")
    assert house.last()[0] == 401


@pytest.mark.parametrize(
    ("status", "document"), [(401, {"errorCode": 401002}), (200, {"operationId": "4.x", "status": "disabled"})]
)
async def test_what_the_service_takes_back_is_forgotten(house: House, status: int, document: dict[str, Any]) -> None:
    house.assign()
    house.register()
    house.service.answer(status, document)
    house.told.clear()
    house.register()
    house.service.away()
    assert house.last()[0] == 503


async def test_who_guesses_makes_nobody_forgotten(house: House) -> None:
    house.assign()
    house.register(applicant(text=token(key=b"z" * 32)))
    house.service.answer(401, {"errorCode": 401002})
    house.told.clear()
    house.register()
    house.service.away()
    assert house.last()[0] == 202


async def test_events_hold_no_token(house: House) -> None:
    house.assign()
    house.register(applicant(text=token(life_s=-301)))
    secret = sas.parse(token()).signature
    assert not any(secret in repr(event) or secret in event.sentence() for event in house.events)
    assert secret not in repr(applicant())
    await asyncio.sleep(0)
