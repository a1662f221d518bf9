"""Readers of partitions: what each gets next, and who gives way to whom (iothub_wire.md §4.4).

A reader sends as long as it has credit and there is something; then it sleeps until events are committed, the peer
gives credit, or its socket has room again.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from edgewire.codec.amqp import conditions
from edgewire.errors import ProtocolError
from edgewire.session.amqp.events import CreditReceived
from edgewire.session.amqp.link import Link
from standin.amqp_nodes import AmqpLine, Attached, Need
from standin.eventhub_messages import write_event, write_runtime_metric
from standin.events import EventLog
from standin.faults import Faults
from standin.namespace_log import NamespaceLog

MAX_READERS: Final = 5
"""Readers of one partition in one consumer group that have no owner level; an Event Hub's own limit."""
READ_AT_ONCE: Final = 32
"""Events that are held in memory on their way, of 256 KiB each at most."""
TURN_BYTES: Final = 262_144
"""What one reader sends before others have their turn."""


class Reader(Attached):
    """One link that reads a partition from `start` on. `level`: its owner level, None for one that shares."""

    __slots__ = ("_faults", "_link", "_log", "_next", "_sends", "_tells_end", "left", "level", "line", "partition")

    def __init__(
        self,
        line: AmqpLine,
        link: Link,
        log: EventLog | NamespaceLog,
        *,
        need: Need,
        partition: int,
        start: int,
        level: int | None,
        tells_end: bool,
        faults: Faults,
        left: "Callable[[Reader], None]",
    ) -> None:
        super().__init__(need)
        self.line = line
        self.partition = partition
        self.level = level
        self.left = left
        self._link = link
        self._log = log
        self._next = start
        self._tells_end = tells_end
        self._faults = faults
        self._sends = False
        """Whether `_send` is called soon."""

    def begin(self) -> None:
        """The link is attached."""
        self._log.follow(self.partition, self.wake)
        self.wake()

    def wake(self) -> None:
        """There may be something to send, and room for it."""
        if self._link.credit and not self._sends:
            self._sends = True
            asyncio.get_running_loop().call_soon(self._send)

    def on_credit(self, event: CreditReceived) -> None:
        """The peer takes more. Who drains gets all at once, as what is left of its credit is gone after this."""
        if event.drain:
            while self._send_some():
                pass
        else:
            self.wake()

    def on_writable(self) -> None:
        """The peer has read what it was behind with."""
        self.wake()

    def on_detached(self) -> None:
        """It reads no more."""
        self._log.unfollow(self.wake)
        self.left(self)

    def evict(self, what: str) -> None:
        """Another reader takes the partition over."""
        self.line.detach(self._link, conditions.STOLEN, what)
        self.line.flush_soon()

    def _send(self) -> None:
        self._sends = False
        if self.line.is_closing or self.line.is_choked or not self._link.attached:
            return
        if self._send_some():
            self.wake()
        self.line.flush_soon()

    def _send_some(self) -> bool:
        """Send a turn's worth. Returns whether there is more, and credit for it."""
        sent = 0
        while self._link.credit and not self._faults.stalled and sent < TURN_BYTES:
            wanted = min(self._link.credit, READ_AT_ONCE)
            events = self._log.read_partition(self.partition, self._next, wanted)
            for event in events:
                payload = write_event(event)
                if self._tells_end:
                    now_ms = int(time.time() * 1000)
                    payload = write_runtime_metric(self._log.end(self.partition), now_ms) + payload
                if not self._put(payload):
                    return False
                self._next = event.number + 1
                sent += len(payload)
            if len(events) < wanted:
                return False
        return sent >= TURN_BYTES and self._link.credit > 0

    def _put(self, payload: bytes) -> bool:
        """Send one event, settled: a log keeps it whatever becomes of it. False if it cannot be sent now, or ever."""
        link = self._link
        if link.peer_max_message_size and len(payload) > link.peer_max_message_size:
            what = f"an event has {len(payload)} bytes, where the link takes {link.peer_max_message_size}"
            self.line.detach(link, conditions.MESSAGE_SIZE_EXCEEDED, what)
            return False
        return self.line.session.send(link, payload, settled=True) is not None


class Readers:
    """The readers of all partitions, by consumer group: one owner, or up to MAX_READERS that share."""

    def __init__(self) -> None:
        self._readers: dict[tuple[str, int], list[Reader]] = {}

    def admit(self, group: str, partition: int, level: int | None) -> None:
        """Make room for a reader. Raises ProtocolError if it has to give way itself.

        The highest owner level wins, and of two that are equal the newer; who shares gives way to any owner.
        """
        there = tuple(self._readers.get((group, partition), ()))
        highest = max((each.level for each in there if each.level is not None), default=None)
        if highest is not None and (level is None or level < highest):
            what = f"a reader with owner level {highest} has this partition; yours is {level}"
            raise ProtocolError(what, reply=conditions.STOLEN)
        if level is None and len(there) >= MAX_READERS:
            what = f"{MAX_READERS} readers of this partition are in the consumer group {group} already"
            raise ProtocolError(what, reply=conditions.RESOURCE_LIMIT_EXCEEDED)
        if level is not None:
            for each in there:
                each.evict(f"a reader with owner level {level} has taken this partition over; yours was {each.level}")

    def add(self, group: str, reader: Reader) -> None:
        """It is one of them from now on."""
        self._readers.setdefault((group, reader.partition), []).append(reader)

    def remove(self, group: str, reader: Reader) -> None:
        """It is gone."""
        key = (group, reader.partition)
        there = self._readers[key]
        there.remove(reader)
        if not there:
            del self._readers[key]

    def count(self, group: str, partition: int) -> int:
        """How many there are."""
        return len(self._readers.get((group, partition), ()))
