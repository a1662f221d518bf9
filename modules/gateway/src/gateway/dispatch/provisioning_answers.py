"""What a device that registers is told: the service's own documents, and ours in their form (iothub_wire.md §5)."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from edgewire.iothub.dps import ASSIGNED, ASSIGNING

BAD_REQUEST: Final = 400004
UNAUTHORIZED: Final = 401002
NOT_FOUND: Final = 404001
NOT_ALLOWED: Final = 405001
TOO_LARGE: Final = 413001
THROTTLED: Final = 429001
AWAY: Final = 503001
"""The service's codes, their status in front."""
_CODES_OF_A_STATUS: Final = 1_000
RETRY_S: Final = 10
"""When to come again while the service is away, or there is no room."""

GATEWAY_FIELD: Final = "gatewayHostName"
"""Beside `assignedHub`: where to connect to for it. The word of connection strings for the same."""
REMEMBERED_FIELD: Final = "gatewayRememberedDateTimeUtc"
"""Marks what was not said by the service now, and says since when it is known here."""

State = Mapping[str, Any]
"""A registration state, as the service tells it."""

_ESSENTIAL: Final = ("registrationId", "assignedHub", "deviceId", "status", "substatus", GATEWAY_FIELD)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status of the service's, a document, and when to ask again."""

    status: int
    document: bytes = field(repr=False)
    retry_after_s: int | None = None


def refusal(code: int, what: str, retry_after_s: int | None = None) -> Answer:
    """A refusal of ours in the service's form; `what` is a sentence without a secret."""
    document = {
        "errorCode": code,
        "trackingId": str(uuid.uuid4()),
        "message": what,
        "info": {},
        "timestampUtc": _time_text(datetime.now(UTC)),
    }
    return Answer(code // _CODES_OF_A_STATUS, _json(document), retry_after_s)


def assigning(operation: str, retry_after_s: int) -> Answer:
    """The operation has begun; ask for it."""
    return Answer(202, _json({"operationId": operation, "status": ASSIGNING}), retry_after_s)


def remembered(operation: str, state: Mapping[str, Any], kept_at: float, gateway: str) -> Answer:
    """What the service said earlier, marked as that."""
    marked = {**state, REMEMBERED_FIELD: _time_text(datetime.fromtimestamp(kept_at, UTC))}
    return Answer(
        200, _json({"operationId": operation, "status": ASSIGNED, "registrationState": _led(marked, gateway)})
    )


def led_here(answer: Answer, document: Mapping[str, Any], gateway: str) -> Answer:
    """An answer of the service with an assignment in it, and the gateway's name where there is one."""
    if not gateway:
        return answer
    led = {**document, "registrationState": _led(document["registrationState"], gateway)}
    return Answer(answer.status, _json(led), answer.retry_after_s)


def read_document(answer: Answer) -> dict[str, Any] | None:
    """The document of an answer, None if it is no JSON object: then it was not the service who answered."""
    try:
        found = json.loads(answer.document)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def code_of(answer: Answer) -> int | None:
    """The service's code in a refusal, None if there is none."""
    document = None if answer.status < 400 else read_document(answer)
    code = None if document is None else document.get("errorCode")
    return code if isinstance(code, int) else None


def assignment_of(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The state of a device that is assigned, None if it is not or the document does not say to what."""
    state = document.get("registrationState")
    if document.get("status") != ASSIGNED or not isinstance(state, dict):
        return None
    return state if all(isinstance(state.get(name), str) for name in ("assignedHub", "deviceId")) else None


def shortened(answer: Answer) -> Answer:
    """The answer for who has little room: of an assignment what is needed to connect, else a refusal that says so."""
    document = read_document(answer)
    state = None if document is None else assignment_of(document)
    if document is None or state is None:
        return refusal(TOO_LARGE, "the answer is too large for this connection")
    short = {name: state[name] for name in _ESSENTIAL if name in state}
    kept: dict[str, Any] = {name: document[name] for name in ("operationId", "status") if name in document}
    return Answer(answer.status, _json(kept | {"registrationState": short}), answer.retry_after_s)


def _led(state: Mapping[str, Any], gateway: str) -> dict[str, Any]:
    return {**state, GATEWAY_FIELD: gateway} if gateway else dict(state)


def _time_text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
