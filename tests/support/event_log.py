"""Events kept in a log as the hub keeps them, without a hub."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from edgewire.message import Envelope, Message, identity
from standin.events import EventLog
from standin.journal import Journal


def message(body: bytes, device: str = "d1", module: str | None = None, **properties: str) -> Message:
    """A message of a device."""
    sender = identity(device, module)
    system = {"connectionDeviceId": device} | ({} if module is None else {"connectionModuleId": module})
    return Message(Envelope(sender=sender, properties=properties, system=system), body)


async def keep_all(log: EventLog, path: Path, messages: Sequence[Message], enqueued_at: float = 1.5) -> int:
    """Keep these messages together. Returns the sequence number of the first."""
    journal = Journal(path, ())
    first, statements = log.number(enqueued_at, messages)
    kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    journal.write(statements, kept.set_result)
    assert await kept
    journal.close()
    if messages:
        log.committed(first + len(messages) - 1)
    return first
