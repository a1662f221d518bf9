"""Which endpoint and priority each queue number stands for: the files `queues` and `queues.copy`.

Layout: magic, CRC-32 of the rest, version, 0, store id, number of queues; per queue its number, its
endpoint's kind, u32 priority, the first sequence it may stand for, two values (name, input) as u32 length + 1 and
UTF-8, 0 for none. Kind 0 is the cloud without a name, and with one a module's input.
A number is given again only when nothing waits under its old meaning; `since` keeps old records from counting.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct, error
from types import MappingProxyType
from typing import Final

from edgewire.message import UPSTREAM, Endpoint, EndpointKind, module_input
from gateway.store.files import File, Files
from gateway.store.segment import VERSION
from gateway.store.values import MAX_QUEUES

NAME = "queues"
COPY_NAME = "queues.copy"
NEW_SUFFIX = ".new"

MAGIC = b"EGQU"
HEADER = Struct("<4sIHHI16sI")  # magic, CRC-32, version, 0, 0, store id, queues
QUEUE = Struct("<HHIQ")  # queue, kind, priority, since
LENGTH = Struct("<I")
MAX_FILE_BYTES = 8 << 20

KINDS: Final = MappingProxyType(
    {
        EndpointKind.UPSTREAM: 0,
        EndpointKind.MODULE: 0,
        EndpointKind.NAMED: 1,
        EndpointKind.TOPIC: 2,
        EndpointKind.STAGE: 3,
    }
)
_KINDS_READ: Final = MappingProxyType({number: kind for kind, number in KINDS.items() if number})


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What waits for one endpoint at one priority."""

    queue_id: int
    endpoint: Endpoint
    priority: int
    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """The whole table, and which store it belongs to."""

    version: int = VERSION
    store_id: bytes
    queues: tuple[Queue, ...]


def write_queues(table: Queues) -> bytes:
    """The file's bytes."""
    parts = [HEADER.pack(MAGIC, 0, table.version, 0, 0, table.store_id, len(table.queues))[8:]]
    for queue in table.queues:
        parts.append(QUEUE.pack(queue.queue_id, KINDS[queue.endpoint.kind], queue.priority, queue.since))
        parts.append(_value(queue.endpoint.name))
        parts.append(_value(queue.endpoint.input))
    rest = b"".join(parts)
    return MAGIC + zlib.crc32(rest).to_bytes(4, "little") + rest


def read_queues(data: bytes) -> Queues | None:
    """The table of these bytes; None if they are not whole or not ours. Of another version only that is read."""
    if len(data) < HEADER.size:
        return None
    magic, crc, version, _, _, store_id, count = HEADER.unpack_from(data)
    if magic != MAGIC or zlib.crc32(data[8:]) != crc:
        return None
    if version != VERSION:
        return Queues(version=version, store_id=store_id, queues=())
    try:
        return Queues(store_id=store_id, queues=tuple(_read_all(data, count)))
    except (error, ValueError):
        return None


def load_queues(files: Files, name: str = NAME) -> Queues | None:
    """The table in the file `name`; None if the file is damaged. Raises FileNotFoundError."""
    file = files.open_to_read(name)
    try:
        return read_queues(file.read_at(0, MAX_FILE_BYTES))
    finally:
        file.close()


def save_queues(files: Files, data: bytes) -> None:
    """Replace the table, the copy first, and return once both are on the disk."""
    for name in (COPY_NAME, NAME):
        file = files.create(name + NEW_SUFFIX)
        _fill(file, data)
        files.rename(name + NEW_SUFFIX, name)
        files.sync_names()


def _fill(file: File, data: bytes) -> None:
    try:
        file.write_at(0, data)
        file.sync()
    finally:
        file.close()


def _value(text: str | None) -> bytes:
    if text is None:
        return LENGTH.pack(0)
    data = text.encode("utf-8", "surrogatepass")
    return LENGTH.pack(len(data) + 1) + data


def _read_all(data: bytes, count: int) -> Iterable[Queue]:
    at = HEADER.size
    if count > MAX_QUEUES:
        raise ValueError("more queues than there can be")
    for _ in range(count):
        queue_id, kind, priority, since = QUEUE.unpack_from(data, at)
        name, at = _read_value(data, at + QUEUE.size)
        input_name, at = _read_value(data, at)
        endpoint = _endpoint(kind, name, input_name)
        yield Queue(queue_id=queue_id, endpoint=endpoint, priority=priority, since=since)


def _endpoint(kind: int, name: str | None, input_name: str | None) -> Endpoint:
    if kind:
        if kind not in _KINDS_READ:
            raise ValueError("a kind of endpoint that this version does not know")
        return Endpoint(_KINDS_READ[kind], name, input_name)
    return UPSTREAM if name is None else module_input(name, input_name or "")


def _read_value(data: bytes, at: int) -> tuple[str | None, int]:
    (length,) = LENGTH.unpack_from(data, at)
    at += LENGTH.size
    if length == 0:
        return None, at
    end = at + length - 1
    if end > len(data):
        raise ValueError("a text longer than the file")
    return data[at:end].decode("utf-8", "surrogatepass"), end
