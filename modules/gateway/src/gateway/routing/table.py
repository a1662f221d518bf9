"""A compiled set of routes: which of them a message matches, and where it must go."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from edgewire.message import DEFAULT_PRIORITY, Delivery, Endpoint, Envelope, Identity, Message, MessageSource
from gateway.routing.body import Document, read_body
from gateway.routing.explain import RouteExplanation, explain_route
from gateway.routing.expression import Expression
from gateway.routing.generate import can_be_true, generate, reads_body
from gateway.routing.interpret import Interpreter
from gateway.routing.values import Value
from gateway.routing.view import View, covers, source_prefix, view_of

MAX_KNOWN_SOURCES: Final = 1024
"""How many sources a table remembers; the outputs of modules are sources of their own."""

MAX_SOURCE_CHARS: Final = 2_048
"""The longest source that is remembered: the name of an output is the module's own, of up to 65,535 characters."""

MAX_KNOWN_DECISIONS: Final = 4096
"""How many different outcomes a table keeps as shared objects; devices choose what comes out, so it is bounded."""

MAX_TALLIES: Final = 4_096
"""Tallies that are kept before they are summed up: one for each envelope, and some devices never repeat one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One checked route. `prefix` is what a message's source must begin with; no `condition` means always."""

    name: str
    text: str
    prefix: str
    condition: Expression | None
    endpoint: Endpoint
    priority: int = DEFAULT_PRIORITY
    time_to_live_s: int | None = None

    @property
    def delivery(self) -> Delivery:
        """Where this route sends, how urgently, and for how long the message is kept."""
        return Delivery(self.endpoint, self.priority, self.time_to_live_s)


@dataclass(slots=True, unsafe_hash=True)
class Decision:
    """Where a message goes: one delivery for each endpoint, and the names of all routes that matched.

    `count`, of the messages that were decided so, is no part of the value: `Table.take_hits` gathers it.
    """

    deliveries: tuple[Delivery, ...]
    routes: tuple[str, ...]
    count: int = field(default=0, compare=False, repr=False)


@dataclass(slots=True)
class Hits:
    """How many messages there were of each sender, how many each route has matched, and how many none did."""

    senders: dict[Identity, int] = field(default_factory=dict)
    routes: dict[str, int] = field(default_factory=dict)
    unrouted: int = 0

    def take(self, decision: Decision) -> None:
        """Move the count of a decision here."""
        count, decision.count = decision.count, 0
        for name in decision.routes:
            self.routes[name] = self.routes.get(name, 0) + count
        if not decision.deliveries:
            self.unrouted += count


class _Mark:
    """Says which table has worked something out; not the table itself, which ends when another is in force."""

    __slots__ = ()


_NO_TABLE: Final = _Mark()
"""Of an envelope whose view alone is known."""


@dataclass(slots=True)
class _Tally:
    """How many messages there were of an envelope, since they were gathered last.

    Apart from what is known of the envelope: it waits up to a second, and must not keep a topic of 64 KB for so long.
    """

    sender: Identity
    count: int = 0


@dataclass(slots=True)
class _Known:
    """What an envelope alone decides: routes that match already, groups whose conditions need the body.

    Noted on the envelope: a device repeats its topic, so its messages share one, and a tally.
    """

    mark: _Mark
    view: View
    hits: int
    groups: int
    tally: _Tally


@dataclass(slots=True)
class _Source:
    """What a message's source alone decides: the groups that may match, and the routes without a condition."""

    groups: int
    hits: int


class Table:
    """The routes in force. Not safe for several threads: it learns while it matches."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Generates the code; takes about a millisecond for ten routes."""
        self.routes = tuple(routes)
        self._mark = _Mark()
        self._prefixes = tuple(dict.fromkeys(route.prefix for route in self.routes))
        self._match_envelope = generate([self._group(prefix, body=False) for prefix in self._prefixes])
        body_groups = [self._group(prefix, body=True) for prefix in self._prefixes]
        self._match_body = generate(body_groups)
        self._body_groups = sum(1 << number for number, group in enumerate(body_groups) if group)
        self._sources: dict[str, _Source] = {}
        self._decisions: dict[int, Decision] = {}
        self._hits = Hits()
        self._tallies: list[_Tally] = []

    def match(self, message: Message) -> Decision:
        """Where `message` goes, which counts it. Equal decisions are the same object, unless there are too many."""
        known = message.envelope.notes.routed
        if not isinstance(known, _Known) or known.mark is not self._mark:
            known = self._learn(message.envelope)
        tally = known.tally
        if not tally.count:
            self._remember(tally)
        tally.count += 1
        hits = known.hits
        if known.groups:
            if known.view.shadows:
                hits = self._interpreted(known, message.body)
            else:
                hits |= self._match_body(known.groups, known.view, message.body)
        decision = self._decisions.get(hits) or self._decide(hits)
        decision.count += 1
        return decision

    def take_hits(self) -> Hits:
        """What was counted by this table since the last call."""
        self._gather_decisions()
        self._gather_senders()
        taken, self._hits = self._hits, Hits()
        return taken

    def _remember(self, tally: _Tally) -> None:
        """It has a count from now on, which is to be gathered."""
        if len(self._tallies) >= MAX_TALLIES:
            self._gather_senders()
        self._tallies.append(tally)

    def _gather_senders(self) -> None:
        senders = self._hits.senders
        for tally in self._tallies:
            senders[tally.sender] = senders.get(tally.sender, 0) + tally.count
            tally.count = 0
        self._tallies = []

    def _gather_decisions(self) -> None:
        for decision in self._decisions.values():
            if decision.count:
                self._hits.take(decision)

    def names(self, source: MessageSource) -> bool:
        """Whether some route names this source, or one that begins like it."""
        path = source_prefix(f"/{source.value}")
        return any(covers(prefix, path) for prefix in self._prefixes)

    def explain(self, message: Message) -> tuple[RouteExplanation, ...]:
        """For every route, in order: did it match, and what decided it."""
        view = view_of(message.envelope)
        document: list[Document] = []

        def read() -> Document:
            if not document:
                document.append(read_body(message.body, view.codec))
            return document[0]

        return tuple(
            explain_route(
                name=route.name,
                text=route.text,
                condition=route.condition,
                source_matched=covers(route.prefix, view.source),
                delivery=route.delivery,
                interpreter=Interpreter(view, read),
                message=message,
            )
            for route in self.routes
        )

    def _group(self, prefix: str, *, body: bool) -> list[tuple[int, Expression]]:
        """The conditions of one source, with the bits of their routes; those that read the body, or the others."""
        return [
            (bit, route.condition)
            for bit, route in enumerate(self.routes)
            if route.prefix == prefix
            and route.condition is not None
            and can_be_true(route.condition)
            and reads_body(route.condition) is body
        ]

    def _learn(self, envelope: Envelope) -> _Known:
        view = view_of(envelope)
        source = self._sources.get(view.source) or self._learn_source(view.source)
        if view.shadows:  # a property may win over anything with a '$': all routes are interpreted, for each message
            known = _Known(self._mark, view, 0, source.groups, _Tally(envelope.sender))
        else:
            hits = source.hits | self._match_envelope(source.groups, view, b"")
            known = _Known(self._mark, view, hits, source.groups & self._body_groups, _Tally(envelope.sender))
        envelope.notes.routed = known
        return known

    def _learn_source(self, source: str) -> _Source:
        groups = sum(1 << number for number, prefix in enumerate(self._prefixes) if covers(prefix, source))
        always = (
            1 << bit
            for bit, route in enumerate(self.routes)
            if route.condition is None and covers(route.prefix, source)
        )
        learnt = _Source(groups, sum(always))
        if len(source) <= MAX_SOURCE_CHARS:
            if len(self._sources) >= MAX_KNOWN_SOURCES:
                self._sources.clear()
            self._sources[source] = learnt
        return learnt

    def _interpreted(self, known: _Known, body: bytes) -> int:
        """The hits of a message one of whose properties begins with `$`."""
        interpreter = Interpreter(known.view, lambda: read_body(body, known.view.codec))
        return sum(
            1 << bit
            for bit, route in enumerate(self.routes)
            if covers(route.prefix, known.view.source) and interpreter.result(route.condition) is True
        )

    def _decide(self, hits: int) -> Decision:
        matched = [route for bit, route in enumerate(self.routes) if hits >> bit & 1]
        best: dict[Endpoint, Delivery] = {}
        for route in matched:
            rival = best.get(route.endpoint)
            best[route.endpoint] = route.delivery if rival is None else preferred(rival, route.delivery)
        decision = Decision(tuple(best.values()), tuple(route.name for route in matched))
        if len(self._decisions) >= MAX_KNOWN_DECISIONS:
            self._gather_decisions()
            self._decisions.clear()
        self._decisions[hits] = decision
        return decision


def value_of(expression: Expression, message: Message) -> Value:
    """What an expression comes to in a message."""
    return values_of((expression,), message)[0]


def values_of(expressions: Sequence[Expression], message: Message) -> list[Value]:
    """What each of these comes to; the body is read once."""
    known = message.envelope.notes.routed
    if not isinstance(known, _Known):
        envelope = message.envelope
        known = envelope.notes.routed = _Known(_NO_TABLE, view_of(envelope), 0, 0, _Tally(envelope.sender))
    view = known.view
    interpreter = Interpreter(view, lambda: read_body(message.body, view.codec))
    return [interpreter.value(expression) for expression in expressions]


def preferred(first: Delivery, second: Delivery) -> Delivery:
    """Of two deliveries to one endpoint the more urgent one; of equally urgent ones the one that is kept longer."""
    if first.priority != second.priority:
        return first if first.priority < second.priority else second
    if first.time_to_live_s is None or second.time_to_live_s is None:
        return first if first.time_to_live_s is None else second
    return first if first.time_to_live_s >= second.time_to_live_s else second
