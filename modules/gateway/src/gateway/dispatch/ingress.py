"""Device to cloud: route each message, keep what a route wants, and answer when the disk has it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgewire.message import Message, MessageSource
from gateway.observe.dispatch import MessagesReceived, MessagesUnrouted
from gateway.observe.events import Event
from gateway.observe.ledger import Ledger
from gateway.observe.tap import Routed, Tap
from gateway.routing.table import Table
from gateway.store.store import Store
from gateway.store.values import AppendResult

if TYPE_CHECKING:
    from gateway.dispatch.filters import Filters, Passed

__all__ = ["Answer", "AppendResult", "Ingress"]

Answer = Callable[[AppendResult], None]
"""Hears what became of a batch, in the store's own words: on disk, or nothing of it kept."""


class Ingress:
    """Where every head hands in what devices sent.

    Counts are plain numbers, reported once a second by `report`: an event per message would cost more than the message.
    So it is with who sent and what matched: the table counts as it matches, and `report` takes what it has counted.
    """

    def __init__(self, table: Table, store: Store, tap: Tap, emit: Callable[[Event], None]) -> None:
        self._table = table
        self._store = store
        self._tap = tap
        self._emit = emit
        self._received = 0
        self._told = 0
        self._unrouted = 0
        self._ledger: Ledger | None = None
        self._filters: Filters | None = None

    def use(self, table: Table, filters: "Filters | None" = None) -> None:
        """Route by `table` from the next message on; what is in the store keeps its destinations.

        `filters` are those of its routes, None if each match goes where the route says.
        """
        self._count_hits()
        self._table = table
        self._filters = filters

    def follow(self, ledger: Ledger) -> None:
        """Write into `ledger` who sent and which routes matched, from now on."""
        self._ledger = ledger

    @property
    def received(self) -> int:
        """All messages since the start."""
        return self._told + self._received

    def wants(self, source: MessageSource) -> bool:
        """Whether some route names this source: else nobody need make a message of it."""
        return self._table.names(source)

    def accept(self, messages: Sequence[Message], answer: Answer) -> None:
        """Route and store `messages`; `answer` is called once, when the disk has all of them or none is kept."""
        if self._filters is not None:
            self._accept_less(messages, answer, self._filters)
            return
        match = self._table.match
        batch = []
        for message in messages:
            decision = match(message)
            if self._tap.watchers:
                self._tap.show(Routed(message, decision.routes, decision.deliveries))
            batch.append((message, decision.deliveries))
        self._received += len(batch)
        self._store.append(batch, answer)

    def _accept_less(self, messages: Sequence[Message], answer: Answer, filters: "Filters") -> None:
        """As `accept`, but what a filter holds back is acknowledged with the rest and goes nowhere."""
        batch = []
        passed: Passed = []
        for message in messages:
            decision = self._table.match(message)
            deliveries = filters.deliveries(message, decision, passed)
            if self._tap.watchers:
                self._tap.show(Routed(message, decision.routes, deliveries))
            batch.append((message, deliveries))
        self._received += len(batch)
        self._store.append(batch, filters.answered(passed, answer))

    def _count_hits(self) -> None:
        hits = self._table.take_hits()
        self._unrouted += hits.unrouted
        if self._ledger is not None:
            self._ledger.heard(hits.senders)
            self._ledger.matched(hits.routes, hits.unrouted)

    def report(self) -> None:
        """Emit what was counted since the last call."""
        self._count_hits()
        if self._filters is not None:
            for held in self._filters.report():
                self._emit(held)
        received, self._received = self._received, 0
        self._told += received
        unrouted, self._unrouted = self._unrouted, 0
        if received:
            self._emit(MessagesReceived(received))
        if unrouted:
            self._emit(MessagesUnrouted(unrouted))
