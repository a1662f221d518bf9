"""What became of each registration: the state a device is told, kept across restarts (iothub_wire.md §5.1)."""

import base64
import hashlib
import secrets
import uuid
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, Final

from edgewire.iothub.amqp.values import format_time
from standin.documents import Documents, JsonObject

_KIND: Final = "registration"


class Status(Enum):
    """How far a registration is; the values are the service's own words."""

    ASSIGNING = "assigning"
    ASSIGNED = "assigned"
    FAILED = "failed"
    DISABLED = "disabled"


class Substatus(Enum):
    """What happened to a device that is assigned."""

    INITIAL = "initialAssignment"
    MIGRATED = "deviceDataMigrated"
    RESET = "deviceDataReset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One registration. Times are seconds since 1970.

    operation: the id of the newest operation; earlier ones are forgotten. ready_at: from when on its end is told.
    hub: the linked hub that has the device, empty for the stand-in's own; assigned_hub: the host that devices call.
    """

    registration: str
    enrolment: str
    device: str
    hub: str
    operation: str
    ready_at: float
    created_at: float
    updated_at: float
    status: Status = Status.ASSIGNING
    substatus: Substatus = Substatus.INITIAL
    assigned_hub: str = ""
    payload: Any = None
    error_code: int | None = None
    error_message: str = ""

    def state(self) -> JsonObject:
        """`registrationState`, as it is told."""
        told: JsonObject = {
            "registrationId": self.registration,
            "createdDateTimeUtc": time_text(self.created_at),
            "status": self.status.value,
            "lastUpdatedDateTimeUtc": time_text(self.updated_at),
            "etag": self._etag(),
        }
        if self.status is Status.ASSIGNED:
            told |= {"assignedHub": self.assigned_hub, "deviceId": self.device, "substatus": self.substatus.value}
            if self.payload is not None:
                told["payload"] = self.payload
        if self.error_code is not None:
            told |= {"errorCode": self.error_code, "errorMessage": self.error_message}
        return told

    def _etag(self) -> str:
        changing = f"{self.operation} {self.updated_at}".encode()
        return base64.b64encode(f'"{hashlib.sha256(changing).hexdigest()[:32]}"'.encode()).decode()


def new_operation() -> str:
    """An operation id in the cloud's form."""
    return f"4.{secrets.token_hex(8)}.{uuid.uuid4()}"


def time_text(at: float) -> str:
    """A time as the service writes it."""
    return format_time(round(at * 1000), "a registration")


class Records:
    """All registrations by their ids; every change is on disk when the call returns."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        found = (_from_json(body) for body in documents.all(_KIND).values())
        self._records = {record.registration.lower(): record for record in found}

    def get(self, key: str) -> Record | None:
        """The registration with this id in small letters, or None if there is none."""
        return self._records.get(key)

    def all(self) -> tuple[Record, ...]:
        """All of them, in the order of their ids."""
        return tuple(self._records[key] for key in sorted(self._records))

    def put(self, record: Record) -> None:
        """Keep this, over an older one of the same device."""
        key = record.registration.lower()
        self._records[key] = record
        self._documents.put(_KIND, key, _to_json(record))


def _to_json(record: Record) -> JsonObject:
    values = {field.name: getattr(record, field.name) for field in fields(Record)}
    return values | {"status": record.status.value, "substatus": record.substatus.value}


def _from_json(body: JsonObject) -> Record:
    return Record(**(body | {"status": Status(body["status"]), "substatus": Substatus(body["substatus"])}))
