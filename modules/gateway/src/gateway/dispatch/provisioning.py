"""Registers devices with the provisioning service in their name: what they say and prove goes there unchanged.

Nothing here holds a key for it: whether a token is good is the service's to say, here only whether it is for this
registration and still runs. Nobody can use this to hammer the service: questions at once are bounded, in all and from
one address, and so are questions and refusals in a time. While the service is away, who can be known by its key is told
what the service said last (`identity.assignments`).
"""

import asyncio
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.dps import Poll, Register, Registrant, Request, is_token_for
from edgewire.iothub.limits import TOKEN_SKEW_S
from edgewire.message import identity
from gateway.dispatch import provisioning_answers as answers
from gateway.dispatch.provisioning_answers import Answer
from gateway.identity.allowances import Allowances
from gateway.identity.assignments import Assignments
from gateway.identity.limiter import FailureLimiter
from gateway.observe.events import Event
from gateway.observe.provisioning import (
    AnsweredBy,
    AssignedElsewhere,
    DeviceProvisioned,
    ProvisioningRefusal,
    ProvisioningRefused,
)

MAX_REQUEST_BYTES: Final = 98_304
"""A request to register: the service's own limit for a message (iothub_wire.md §5.4)."""
MAX_OPERATION_CHARS: Final = 256
"""The id of an operation; the service's have 58."""
MAX_ASKED: Final = 32
"""Questions at once: each a connection to the service."""
MAX_ASKED_PER_ADDRESS: Final = 16
"""Of them from one address; devices behind a router may share one."""
REGISTRATION_BURST: Final = 8
REGISTRATION_RECOVERY_S: Final = 2.0
"""Questions about one registration from one address: five in ten seconds, the service's own, and the first three."""
ADDRESS_BURST: Final = 240
ADDRESS_RECOVERY_S: Final = 0.25
"""Questions from one address: eighty boards that start together, each with three."""
TOTAL_BURST: Final = 600
TOTAL_RECOVERY_S: Final = 0.06
"""All together: no more in a minute than the service takes registrations of all its gateways (iothub_wire.md §5.4)."""
ADDRESS_REFUSALS: Final = 20
ADDRESS_REFUSALS_RECOVERY_S: Final = 10.0
"""Refusals by the service, after which it is not asked for this address until some are forgiven."""
TOTAL_REFUSALS: Final = 200
TOTAL_REFUSALS_RECOVERY_S: Final = 1.0
"""The same for all addresses together."""
MAX_KEYS: Final = 4_096
"""Addresses and registrations whose questions are counted."""
BUSY_RETRY_S: Final = 2
"""When to come again if one's own question is being asked, or others'."""
OWN_OPERATION: Final = "gateway."
"""What the ids of operations begin with that are answered from memory; the service's begin with a number."""

_OPERATION: Final = re.compile(r"(?!\.+\Z)[A-Za-z0-9._\-]+")
_SERVICE_FAULT: Final = 500
_REFUSED: Final = frozenset({401, 403, 404})


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicant:
    """Who wants to register, from where, and what it shows for it. `certified`: it has shown a certificate."""

    registrant: Registrant
    token: str = field(repr=False)
    address: str
    certified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the service is asked; `token` and `body` are the device's own."""

    registrant: Registrant
    token: str = field(repr=False)
    request: Request
    body: bytes = field(default=b"", repr=False)


class ProvisioningService(Protocol):
    """Who asks the service."""

    def ask(self, question: Question, answer: Callable[[Answer | None], None]) -> None:
        """Ask; `answer` is called once, on the loop, in bounded time, with None if nobody could be asked."""


Then = Callable[[Answer], None]
"""Takes an answer; called once, later, unless a test or a refusal gives it at once."""


class RefusedApplicantError(Exception):
    """Not passed on: why, and what the device is told."""

    def __init__(self, reason: ProvisioningRefusal, answer: Answer, detail: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.answer = answer
        self.detail = detail


class Provisioning:
    """Takes registrations from the heads. `clock` gives seconds since 1970, never less than a time known to have been.

    `gateway`: the name handed out for connections, empty for none; `hub_names`: the hubs that it is handed out for.
    """

    def __init__(
        self,
        service: ProvisioningService,
        assignments: Assignments,
        *,
        gateway: str,
        hub_names: tuple[str, ...],
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        skew_s: float = TOKEN_SKEW_S,
    ) -> None:
        self._service = service
        self._assignments = assignments
        self._gateway = gateway
        self._hub_names = frozenset(map(sas.host_of, hub_names))
        self._emit = emit
        self._clock = clock
        self._skew_s = skew_s
        self._loop = asyncio.get_running_loop()
        self._limiter = FailureLimiter()
        self._open: dict[tuple[Registrant, str], str] = {}
        """Questions that have no answer yet, with the address of each."""
        self._by_registration = Allowances(REGISTRATION_BURST, REGISTRATION_RECOVERY_S, MAX_KEYS)
        self._by_address = Allowances(ADDRESS_BURST, ADDRESS_RECOVERY_S, MAX_KEYS)
        self._all = Allowances(TOTAL_BURST, TOTAL_RECOVERY_S, 1)
        self._refusals = Allowances(ADDRESS_REFUSALS, ADDRESS_REFUSALS_RECOVERY_S, MAX_KEYS)
        self._all_refusals = Allowances(TOTAL_REFUSALS, TOTAL_REFUSALS_RECOVERY_S, 1)

    # What the heads call.

    def check(self, applicant: Applicant) -> None:
        """Raise RefusedApplicantError for who shows nothing that the service could take."""
        if not applicant.token:
            reason = ProvisioningRefusal.CERTIFICATE if applicant.certified else ProvisioningRefusal.NO_TOKEN
            what = (
                "a certificate cannot be passed on to the service"
                if applicant.certified
                else "the request has no token"
            )
            raise RefusedApplicantError(reason, answers.refusal(answers.UNAUTHORIZED, what))
        try:
            token = sas.parse(applicant.token)
            is_ours = is_token_for(token, applicant.registrant)
        except ProtocolError as error:
            raise _unauthorized(ProvisioningRefusal.MALFORMED_TOKEN, error.what) from error
        if not is_ours:
            raise _unauthorized(ProvisioningRefusal.FOREIGN_TOKEN)
        if self._clock() >= token.expires_at + self._skew_s:
            raise _unauthorized(ProvisioningRefusal.EXPIRED, f"at {token.expiry}")

    def register(self, applicant: Applicant, body: bytes, then: Then) -> None:
        """Begin an operation."""
        try:
            self.check(applicant)
            _check_document(applicant.registrant, body)
            self._enter(applicant)
        except RefusedApplicantError as refused:
            self.refused(applicant, refused, then)
            return
        self._ask(applicant, Register(), body, then)

    def poll(self, applicant: Applicant, operation: str, then: Then) -> None:
        """Ask what has become of an operation."""
        try:
            self.check(applicant)
            _check_operation(operation)
            self._enter(applicant)
        except RefusedApplicantError as refused:
            self.refused(applicant, refused, then)
            return
        if operation.startswith(OWN_OPERATION):
            self._leave(applicant)
            self._answer_from_memory(applicant, Poll(operation), then)
        else:
            self._ask(applicant, Poll(operation), b"", then)

    def refused(self, applicant: Applicant, refused: RefusedApplicantError, then: Then) -> None:
        """Say so, and answer; later where there were many."""
        registrant = applicant.registrant
        self._emit(ProvisioningRefused(str(registrant), applicant.address, refused.reason, refused.detail))
        who = identity(registrant.key)
        is_guess = refused.answer.status in _REFUSED
        hold_s = self._limiter.failed(applicant.address, who, self._loop.time()) if is_guess else 0.0
        if hold_s:
            self._loop.call_later(hold_s, then, refused.answer)
        else:
            then(refused.answer)

    # Bounds.

    def _enter(self, applicant: Applicant) -> None:
        """Count a question in. Raises RefusedApplicantError."""
        now, address = self._loop.time(), applicant.address
        wait_s = max(
            self._by_registration.wait_s((address, applicant.registrant.key), now),
            self._by_address.wait_s(address, now),
            self._all.wait_s("", now),
            self._refusals.wait_s(address, now),
            self._all_refusals.wait_s("", now),
        )
        at_once = sum(each == address for each in self._open.values())
        key = (applicant.registrant, applicant.token)
        if not wait_s and (key in self._open or len(self._open) >= MAX_ASKED or at_once >= MAX_ASKED_PER_ADDRESS):
            wait_s = BUSY_RETRY_S
        if wait_s:
            answer = answers.refusal(answers.THROTTLED, "too many requests; come back later", wait_s)
            raise RefusedApplicantError(ProvisioningRefusal.TOO_MANY, answer)
        self._by_registration.spend((address, applicant.registrant.key), now)
        self._by_address.spend(address, now)
        self._all.spend("", now)
        self._open[key] = address

    def _leave(self, applicant: Applicant) -> None:
        del self._open[applicant.registrant, applicant.token]

    # The service.

    def _ask(self, applicant: Applicant, request: Request, body: bytes, then: Then) -> None:
        question = Question(registrant=applicant.registrant, token=applicant.token, request=request, body=body)
        self._service.ask(question, lambda answer: self._on_answer(applicant, request, answer, then))

    def _on_answer(self, applicant: Applicant, request: Request, answer: Answer | None, then: Then) -> None:
        self._leave(applicant)
        document = None if answer is None else answers.read_document(answer)
        if answer is None or document is None or answer.status >= _SERVICE_FAULT:
            self._answer_from_memory(applicant, request, then)
        elif answer.status in _REFUSED:
            self._on_refused(applicant, request, answer, then)
        else:
            state = answers.assignment_of(document)
            if state is not None:
                gateway = self._on_assigned(applicant, state)
                answer = answers.led_here(answer, document, gateway)
            elif document.get("status") in ("failed", "disabled"):
                self._assignments.refuse(applicant.registrant, applicant.token)
            then(answer)

    def _on_refused(self, applicant: Applicant, request: Request, answer: Answer, then: Then) -> None:
        """By the service: as for a wrong key, or for an operation that it has forgotten, which is nobody's guess."""
        if isinstance(request, Poll) and answer.status not in (401, 403):
            then(answer)
            return
        self._assignments.refuse(applicant.registrant, applicant.token)
        now = self._loop.time()
        self._refusals.spend(applicant.address, now)
        self._all_refusals.spend("", now)
        self.refused(applicant, RefusedApplicantError(ProvisioningRefusal.SERVICE, answer), then)

    def _on_assigned(self, applicant: Applicant, state: answers.State) -> str:
        """Remember it. Returns the gateway's name to hand out, empty for none."""
        self._limiter.succeeded(applicant.address, identity(applicant.registrant.key))
        self._assignments.keep(applicant.registrant, applicant.token, state)
        self._tell(applicant, state, AnsweredBy.SERVICE)
        return self._gateway_for(applicant, state)

    # Without the service.

    def _answer_from_memory(self, applicant: Applicant, request: Request, then: Then) -> None:
        kept = self._assignments.recall(applicant.registrant, applicant.token)
        if kept is None and isinstance(request, Poll) and request.operation_id.startswith(OWN_OPERATION):
            then(answers.refusal(answers.NOT_FOUND, "there is no such operation; register again"))
        elif kept is None:
            then(answers.refusal(answers.AWAY, "the provisioning service cannot be reached now", answers.RETRY_S))
        elif isinstance(request, Register):
            # In two steps, as the service: raw clients read no assignment in the first answer.
            then(answers.assigning(OWN_OPERATION + secrets.token_hex(8), BUSY_RETRY_S))
        else:
            self._tell(applicant, kept.state, AnsweredBy.MEMORY)
            gateway = self._gateway_for(applicant, kept.state)
            then(answers.remembered(request.operation_id, kept.state, kept.kept_at, gateway))

    def _gateway_for(self, applicant: Applicant, state: answers.State) -> str:
        hub = str(state["assignedHub"])
        if sas.host_of(hub) in self._hub_names:
            return self._gateway
        self._emit(AssignedElsewhere(str(applicant.registrant), hub))
        return ""

    def _tell(self, applicant: Applicant, state: answers.State, by: AnsweredBy) -> None:
        who, address = str(applicant.registrant), applicant.address
        self._emit(DeviceProvisioned(who, address, str(state["deviceId"]), str(state["assignedHub"]), by))


def _unauthorized(reason: ProvisioningRefusal, detail: str = "") -> RefusedApplicantError:
    """What is wrong is for the operator: a stranger learns nothing."""
    return RefusedApplicantError(reason, answers.refusal(answers.UNAUTHORIZED, "Unauthorized"), detail)


def _check_document(registrant: Registrant, body: bytes) -> None:
    """Raise RefusedApplicantError for a request to register that is none, or is for another registration."""
    if len(body) > MAX_REQUEST_BYTES:
        what = f"the request has more than {MAX_REQUEST_BYTES} bytes"
        raise RefusedApplicantError(ProvisioningRefusal.TOO_LARGE, answers.refusal(answers.TOO_LARGE, what))
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _malformed("the request is no JSON object")
    named = document.get("registrationId")
    if not isinstance(named, str) or named.lower() != registrant.key:
        what = f"the request's registrationId is not {registrant.registration}"
        refused = answers.refusal(answers.BAD_REQUEST, what)
        raise RefusedApplicantError(ProvisioningRefusal.FOREIGN_REGISTRATION, refused)


def _check_operation(operation: str) -> None:
    if len(operation) > MAX_OPERATION_CHARS or _OPERATION.fullmatch(operation) is None:
        raise _malformed("this is not the id of an operation")


def _malformed(what: str) -> RefusedApplicantError:
    return RefusedApplicantError(ProvisioningRefusal.MALFORMED, answers.refusal(answers.BAD_REQUEST, what), what)
