"""The node `$management`: tells a reader what there is to read (iothub_wire.md §4.4)."""

from dataclasses import dataclass
from typing import Final

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Array, Int, Symbol, Timestamp
from edgewire.codec.amqp.message import AmqpMessage, Properties, Value, write_message
from standin.events import EventLog
from standin.namespace_log import NamespaceLog

OK: Final = 200
BAD_REQUEST: Final = 400
NOT_FOUND: Final = 404
NOT_IMPLEMENTED: Final = 501
_READ: Final = "READ"
EVENT_HUB: Final = "com.microsoft:eventhub"
PARTITION: Final = "com.microsoft:partition"


class ManagementError(Exception):
    """A request that is refused."""

    def __init__(self, status: int, condition: Symbol, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.condition = condition
        self.what = what


@dataclass(frozen=True, slots=True)
class Management:
    """Answers for one entity, whose events are those of `log`."""

    entity: str
    log: EventLog | NamespaceLog

    def answer(self, request: AmqpMessage) -> bytes:
        """The message that answers a request; its id comes back in its own type."""
        try:
            return _reply(request, OK, "OK", self._read(request))
        except ManagementError as error:
            return _reply(request, error.status, error.what, condition=error.condition)

    def _read(self, request: AmqpMessage) -> dict[str, object]:
        said = request.application_properties or {}
        operation, kind, name = (said.get(key) for key in ("operation", "type", "name"))
        if operation != _READ or kind not in (EVENT_HUB, PARTITION):
            what = f"only {_READ} of {EVENT_HUB} and of {PARTITION} is there"
            raise ManagementError(NOT_IMPLEMENTED, conditions.NOT_IMPLEMENTED, what)
        if not isinstance(name, str) or name.lower() != self.entity.lower():
            what = f"the messaging entity '{str(name)[:80]}' could not be found"
            raise ManagementError(NOT_FOUND, conditions.NOT_FOUND, what)
        return self._event_hub() if kind == EVENT_HUB else self._partition(said.get("partition"))

    def _event_hub(self) -> dict[str, object]:
        ids = tuple(map(str, range(self.log.partitions)))
        return {
            "name": self.entity,
            "type": EVENT_HUB,
            "created_at": Timestamp(int(self.log.created_at * 1000)),
            "partition_count": Int(len(ids)),
            "partition_ids": Array(ids),
        }

    def _partition(self, named: object) -> dict[str, object]:
        partition = partition_number(named, self.log.partitions)
        if partition is None:
            what = f"there is no partition '{str(named)[:40]}'; there are 0 to {self.log.partitions - 1}"
            raise ManagementError(BAD_REQUEST, conditions.ARGUMENT_OUT_OF_RANGE, what)
        end = self.log.end(partition)
        return {
            "name": self.entity,
            "type": PARTITION,
            "partition": str(partition),
            "begin_sequence_number": self.log.begin(partition),
            "last_enqueued_sequence_number": end.number,
            "last_enqueued_offset": end.offset,
            "last_enqueued_time_utc": Timestamp(end.enqueued_at_ms),
            "is_partition_empty": end.number < self.log.begin(partition),
        }


def partition_number(named: object, partitions: int) -> int | None:
    """The partition with this id, or None."""
    return next((number for number in range(partitions) if str(number) == named), None)


def _reply(
    request: AmqpMessage, status: int, what: str, body: object = None, *, condition: Symbol | None = None
) -> bytes:
    said: dict[str, object] = {"status-code": Int(status), "status-description": what}
    if condition is not None:
        said["error-condition"] = condition
    asked = None if request.properties is None else request.properties.message_id
    properties = Properties(correlation_id=asked)
    return write_message(AmqpMessage(properties=properties, application_properties=said, body=Value(body)))
