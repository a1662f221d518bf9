import json
from typing import Any

import pytest

from gateway.dispatch import provisioning_answers as answers
from gateway.dispatch.provisioning_answers import Answer

STATE = {"registrationId": "r", "assignedHub": "hub.test", "deviceId": "d", "status": "assigned", "etag": "x"}
ASSIGNED = {"operationId": "4.x", "status": "assigned", "registrationState": STATE}


def answer_of(document: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document).encode())


def test_a_refusal_has_the_services_form() -> None:
    refused = answers.refusal(answers.THROTTLED, "too many", 7)
    assert (refused.status, refused.retry_after_s) == (429, 7)
    document = json.loads(refused.document)
    assert (document["errorCode"], document["message"], document["info"]) == (429001, "too many", {})
    assert len(document["trackingId"]) == 36
    assert document["timestampUtc"].endswith("Z")
    assert answers.code_of(refused) == 429001


def test_answers_that_are_no_refusals_have_no_code() -> None:
    assert answers.code_of(answer_of(ASSIGNED)) is None
    assert answers.code_of(answer_of({"errorCode": "x"}, 400)) is None
    assert answers.code_of(Answer(502, b"<html>")) is None


@pytest.mark.parametrize("text", [b"", b"<html>", b"[]", b"7", b"[" * 100_000, b"\xff"])
def test_what_is_no_document_is_nobodys(text: bytes) -> None:
    assert answers.read_document(Answer(200, text)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "assigning"},
        {"status": None},
        {"registrationState": None},
        {"registrationState": []},
        {"registrationState": {"deviceId": "d"}},
        {"registrationState": STATE | {"assignedHub": 7}},
    ],
)
def test_what_does_not_say_to_what_is_no_assignment(changes: dict[str, Any]) -> None:
    assert answers.assignment_of(ASSIGNED) == STATE
    assert answers.assignment_of(ASSIGNED | changes) is None


def test_the_gateways_name_stands_beside_the_hubs() -> None:
    led = json.loads(answers.led_here(answer_of(ASSIGNED), ASSIGNED, "pi.local").document)
    assert led["registrationState"] == STATE | {"gatewayHostName": "pi.local"}
    assert led["operationId"] == "4.x"
    untouched = answer_of(ASSIGNED)
    assert answers.led_here(untouched, ASSIGNED, "") is untouched


def test_what_is_remembered_is_marked() -> None:
    told = json.loads(answers.remembered("gateway.1", STATE, 1_800_000_000.5, "pi.local").document)
    assert told["status"] == "assigned"
    assert told["registrationState"] == STATE | {
        "gatewayHostName": "pi.local",
        "gatewayRememberedDateTimeUtc": "2027-01-15T08:00:00.500000Z",
    }


def test_for_little_room_there_is_what_is_needed_to_connect() -> None:
    large = ASSIGNED | {"registrationState": STATE | {"payload": "x" * 5_000, "gatewayHostName": "pi.local"}}
    short = answers.shortened(answer_of(large))
    state = json.loads(short.document)["registrationState"]
    assert state == {key: STATE[key] for key in ("registrationId", "assignedHub", "deviceId", "status")} | {
        "gatewayHostName": "pi.local"
    }
    assert len(short.document) < 300


def test_another_answer_that_is_too_large_is_a_refusal_that_says_so() -> None:
    short = answers.shortened(answer_of({"errorCode": 400004, "message": "x" * 5_000}, 400))
    assert short.status == 413
