"""The Device Provisioning Service: says who is assigned to which hub, and has the hub take the device.

A registration is an operation: asked for, it is "assigning"; its end is told to whoever asks for the operation a little
later. The transports (`dps_mqtt`, `dps_amqp`, `dps_http`) bring in who has proven itself and take the answers out.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Self

import orjson

from edgewire.iothub.dps import Registrant, is_scope
from standin.documents import JsonObject
from standin.dps_admission import DpsAdmission, Proven
from standin.dps_enrolments import Enrolment, Enrolments, Reprovisioning
from standin.dps_errors import BAD_REQUEST, HUB_FAILED, NOT_FOUND, THROTTLED, UNAUTHORIZED, DpsError
from standin.dps_hubs import AssignableHub, AssignError, Assignment
from standin.dps_records import Record, Records, Status, Substatus, new_operation, time_text
from standin.hub import Closing, Hub, Line
from standin.registry import RegistryError

DEFAULT_SCOPE: Final = "0ne00STANDIN"
MAX_BODY_BYTES: Final = 98_304
"""A request: the cloud's own limit (iothub_wire.md §5.4)."""
MAX_POLLS: Final = 5
POLL_WINDOW_S: Final = 10.0
"""So many questions of one device in so long: the cloud's own limit (iothub_wire.md §5.4)."""
MAX_REGISTRATIONS: Final = 1_000
REGISTRATION_WINDOW_S: Final = 60.0
"""So many registrations in so long: the cloud's own limit (iothub_wire.md §5.4)."""
OK: Final = 200
ACCEPTED: Final = 202


@dataclass(frozen=True, slots=True, kw_only=True)
class DpsOptions:
    """What a person may choose of a provisioning service.

    delay_s: how long an operation is "assigning" at least. host: what devices are told to call; None for the address
    that the stand-in listens at, which needs no DNS.
    """

    scope: str = DEFAULT_SCOPE
    delay_s: float = 1.0
    host: str | None = None


DEFAULT_OPTIONS: Final = DpsOptions()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a device is told: a status of HTTP, a document, and when to ask again."""

    status: int
    body: JsonObject
    retry_after_s: int | None = None


class Provisioning:
    """One provisioning service. Called on the event loop only, and entered as a context, for its tasks.

    `hubs`: by name, the stand-in's own by the empty one.
    """

    def __init__(
        self,
        hub: Hub,
        hubs: Mapping[str, AssignableHub],
        options: DpsOptions = DEFAULT_OPTIONS,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises RegistryError for an id scope that is none."""
        if not is_scope(options.scope):
            raise RegistryError(f"the id scope {options.scope!r} is impossible: ASCII letters and digits.")
        self.hub = hub
        self.scope = options.scope
        self.enrolments = Enrolments(hub.documents)
        self.records = Records(hub.documents)
        self.clock = clock
        self._delay_s = options.delay_s
        self._hubs = hubs
        self._admission = DpsAdmission(self.enrolments, scope=options.scope, clock=clock)
        self._tasks = asyncio.TaskGroup()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._registrations = _Rate(MAX_REGISTRATIONS, REGISTRATION_WINDOW_S)
        self._polls: dict[str, _Rate] = {}
        self._lines: dict[str, Line] = {}

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._running.values():
            task.cancel()
        await self._tasks.__aexit__(None, None, None)

    # What the transports ask

    def entered(self, registrant: Registrant, line: Line) -> None:
        """A connection that keeps being there, as MQTT's: an older one of the same device is closed."""
        older = self._lines.get(registrant.key)
        self._lines[registrant.key] = line
        self.hub.join(line)
        if older is not None:
            self.hub.counters[f"closed: {Closing.TAKEN_OVER.value}"] += 1
            older.close(Closing.TAKEN_OVER)

    def left(self, line: Line) -> None:
        """It is gone; a second call does nothing."""
        self.hub.leave(line)
        for key in [key for key, each in self._lines.items() if each is line]:
            del self._lines[key]

    def admit(self, registrant: Registrant, token: str | None, certificates: Sequence[bytes]) -> Proven:
        """Whether a token or a certificate proves this registrant. Raises DpsError."""
        try:
            self._refuse_on_purpose(token)
            return self._admission.admit(registrant, token, certificates)
        except DpsError as error:
            self.hub.counters[f"provisioning refused: {error.reason}"] += 1
            self.hub.note(f"refused provisioning: {error.what}")
            # What is wrong is for the person at the stand-in: a stranger learns nothing of who is enrolled.
            raise DpsError(UNAUTHORIZED, "Unauthorized", reason=error.reason) from error

    def register(self, proven: Proven, body: bytes) -> Answer:
        """Begin an operation; one that runs for this device is gone on with. Raises DpsError."""
        payload = _read_payload(proven.registrant, body)
        self._throttle(self._registrations)
        key = proven.registrant.key
        record = self.records.get(key)
        if record is None or key not in self._running:
            record = self._begin(proven, record)
            self._start(proven, record, payload)
        return self._assigning(record, least_s=0)

    def poll(self, proven: Proven, operation_id: str) -> Answer:
        """What has become of an operation. Raises DpsError."""
        key = proven.registrant.key
        self._throttle(self._polls.setdefault(key, _Rate(MAX_POLLS, POLL_WINDOW_S)))
        record = self.records.get(key)
        if record is None or record.operation != operation_id:
            raise DpsError(NOT_FOUND, f"{proven.registrant} has no such operation; register again")
        if record.status is Status.ASSIGNING and key not in self._running:
            self._start(proven, record, record.payload)  # what was under way when the stand-in last stopped
        if record.status is Status.ASSIGNING or self.clock() < record.ready_at:
            return self._assigning(record, least_s=1)
        body = {"operationId": operation_id, "status": record.status.value, "registrationState": record.state()}
        return Answer(OK, body)

    async def until_idle(self) -> None:
        """Wait until no operation runs."""
        while self._running:
            await asyncio.wait(tuple(self._running.values()))

    def refusal(self, error: DpsError) -> Answer:
        """The answer to a request that was refused."""
        self.hub.counters[f"provisioning answered {error.status}"] += 1
        return Answer(error.status, error.to_json(time_text(self.clock())), error.retry_after_s)

    # Operations

    def _begin(self, proven: Proven, old: Record | None) -> Record:
        now = self.clock()
        return Record(
            registration=proven.registrant.registration if old is None else old.registration,
            enrolment=proven.enrolment,
            device="" if old is None else old.device,
            hub="" if old is None else old.hub,
            assigned_hub="" if old is None else old.assigned_hub,
            operation=new_operation(),
            ready_at=now + self._delay_s,
            created_at=now if old is None else old.created_at,
            updated_at=now,
        )

    def _start(self, proven: Proven, record: Record, payload: Any) -> None:
        self.records.put(record := replace(record, payload=payload))
        key = proven.registrant.key
        task = self._tasks.create_task(self._assign(proven, record))
        self._running[key] = task
        task.add_done_callback(lambda _: self._running.pop(key, None))

    async def _assign(self, proven: Proven, record: Record) -> None:
        try:
            record = await self._assigned(proven, record)
        except DpsError as error:
            status = Status.DISABLED if error.code == UNAUTHORIZED else Status.FAILED
            record = replace(record, status=status, error_code=error.code, error_message=error.what)
        self.records.put(replace(record, updated_at=self.clock()))
        self.hub.counters[f"registrations {record.status.value}"] += 1
        self.hub.note(f"{proven.registrant} is {record.status.value} {record.assigned_hub} {record.error_message}")

    async def _assigned(self, proven: Proven, record: Record) -> Record:
        """The record of a device that its hub has taken. Raises DpsError."""
        enrolment = self.enrolments.by_key(proven.enrolment)
        if enrolment is None or not enrolment.enabled:
            raise DpsError(UNAUTHORIZED, f"the enrolment of {record.registration} is disabled")
        hub = self._hubs.get(enrolment.hub)
        if hub is None:
            raise DpsError(HUB_FAILED, f"no hub {enrolment.hub!r} is linked")
        device = enrolment.device or record.registration
        substatus = await self._settle(hub, _assignment(enrolment, proven, device), record, enrolment)
        return replace(
            record,
            status=Status.ASSIGNED,
            substatus=substatus,
            device=device,
            hub=enrolment.hub,
            assigned_hub=hub.host,
            payload=record.payload if enrolment.payload is None else enrolment.payload,
        )

    async def _settle(
        self, hub: AssignableHub, assignment: Assignment, record: Record, enrolment: Enrolment
    ) -> Substatus:
        """Have the device in this hub and in no other of ours. Returns what became of its data; raises DpsError."""
        again = bool(record.device)
        keep = enrolment.reprovisioning is Reprovisioning.KEEP
        moved = again and (record.hub, record.device) != (enrolment.hub, assignment.device)
        left = self._hubs.get(record.hub) if moved else None
        try:
            if left is not None and keep:
                taken = await left.sections(record.device) or (assignment.tags, assignment.desired)
                assignment = replace(assignment, tags=taken[0], desired=taken[1])
            was_there = await hub.assign(replace(assignment, reset=again and not keep))
            if left is not None:
                await left.release(record.device)  # not before the other has it: a failure must lose nothing
        except AssignError as error:
            raise DpsError(HUB_FAILED, str(error)) from error
        if not again or (not was_there and left is None):
            return Substatus.INITIAL
        return Substatus.MIGRATED if keep else Substatus.RESET

    def _assigning(self, record: Record, *, least_s: int) -> Answer:
        left_s = max(math.ceil(record.ready_at - self.clock()), least_s)
        return Answer(ACCEPTED, {"operationId": record.operation, "status": Status.ASSIGNING.value}, left_s)

    def _refuse_on_purpose(self, token: str | None) -> None:
        if token and self.hub.faults.refusing_tokens:
            raise DpsError(UNAUTHORIZED, "as asked for", reason="refusing tokens on purpose")

    def _throttle(self, rate: "_Rate") -> None:
        """Raise DpsError if this is one too many, or all are as a test wants it."""
        wait_s = rate.wait_s(self.clock())
        if self.hub.faults.throttling:
            wait_s = max(wait_s, math.ceil(self._delay_s))
        elif not wait_s:
            rate.count(self.clock())
            return
        raise DpsError(THROTTLED, "too many requests; come back later", retry_after_s=wait_s)


class _Rate:
    """At most `limit` within any `window_s`."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._window_s = window_s
        self._times: deque[float] = deque(maxlen=limit)

    def count(self, now: float) -> None:
        self._times.append(now)

    def wait_s(self, now: float) -> int:
        """Whole seconds until one more is allowed; 0 if it is now."""
        if len(self._times) < (self._times.maxlen or 0):
            return 0
        return math.ceil(max(self._times[0] + self._window_s - now, 0))


def _assignment(enrolment: Enrolment, proven: Proven, device: str) -> Assignment:
    return Assignment(
        device=device,
        keys=proven.keys,
        thumbprints=proven.thumbprints,
        edge=enrolment.edge,
        tags=enrolment.tags,
        desired=enrolment.desired,
    )


def _read_payload(registrant: Registrant, body: bytes) -> Any:
    """The payload in a request to register. Raises DpsError."""
    if len(body) > MAX_BODY_BYTES:
        raise DpsError(BAD_REQUEST, f"the request has more than {MAX_BODY_BYTES} bytes")
    document: Any = None
    with suppress(orjson.JSONDecodeError):
        document = orjson.loads(body)
    if not isinstance(document, dict):
        raise DpsError(BAD_REQUEST, "the request is no JSON object")
    named = document.get("registrationId")
    if not isinstance(named, str) or named.lower() != registrant.key:
        raise DpsError(BAD_REQUEST, f"the request's registrationId is not {registrant.registration}")
    if "tpm" in document:
        raise DpsError(BAD_REQUEST, "attestation by TPM is not served here")
    return document.get("payload")
