"""What comes down the connection on behalf of devices: messages, calls of methods, twins.

`Back` keeps a strand per device and kind that somebody wants, opens them in turns, tries again what was refused, and
says what a person should know. What a strand carries is its own: amqp_back_devicebound, -_methods, -_twins.
"""

from collections.abc import Callable
from typing import Final, Protocol

from edgewire.message import Identity
from edgewire.session.amqp.link import Link
from gateway.observe.events import Event
from gateway.observe.upstream import BackKind, BackRefused, BackRestored, DevicesWithoutPlace
from gateway.upstream.amqp_back_strand import HAS_TURN, Strand, StrandState
from gateway.upstream.amqp_link import AmqpLink
from gateway.upstream.amqp_seat import Seats

MAX_TURNS: Final = 16
"""Strands that are being opened at once: half of what goes for tokens, so telemetry always has the other half."""
SAID_AFTER: Final = 3
"""A strand that breaks is reported after so many tries in a row: what passes is no news."""
MAX_TOLD: Final = 10_000
"""Strands that are remembered as reported; beyond, the earliest is reported again."""
UNPLACED_S: Final = 10.0
"""A device that waits for a place for so long is one too many."""
UNPLACED_EVERY_S: Final = 600.0
"""So often that is said again."""
NAMED: Final = 3
"""Devices without a place that are named, those first that wait longest."""


class BackHost(Protocol):
    """What this needs of who keeps the connection."""

    seats: Seats

    def now(self) -> float:
        """The loop's clock."""
        ...

    def link(self) -> AmqpLink | None:
        """The connection, if it stands."""
        ...

    def flush_soon(self) -> None:
        """Something was said outside of the connection's calls."""


class Back:
    """All strands of one connection. A `Beside` of the proxy and the host of the strands."""

    def __init__(self, host: BackHost, emit: Callable[[Event], None]) -> None:
        self._host = host
        self._emit = emit
        self._strands: dict[tuple[Identity, BackKind], Strand] = {}
        self._queue: dict[Strand, None] = {}
        self._turns: set[Strand] = set()
        self._unplaced: dict[Strand, None] = {}
        self._told: dict[tuple[Identity, BackKind], None] = {}
        self._unplaced_told_at: float | None = None
        self._giving_turns = False

    # What the kinds call.

    def find(self, who: Identity, kind: BackKind) -> Strand | None:
        """The strand of a device, if it is wanted."""
        return self._strands.get((who, kind))

    def strands(self, kind: BackKind) -> list[Strand]:
        """All that are wanted of a kind."""
        return [strand for (_, its), strand in self._strands.items() if its is kind]

    def want(self, strand: Strand) -> None:
        """Open this one as soon as can be, and keep it open."""
        before = self._strands.pop((strand.who, strand.kind), None)
        if before is not None:
            before.end()
        self._strands[strand.who, strand.kind] = strand
        if self._host.link() is not None:
            strand.up()
            self.flush_soon()

    def drop(self, strand: Strand) -> None:
        """Nobody wants it any more."""
        if self._strands.get((strand.who, strand.kind)) is strand:
            del self._strands[strand.who, strand.kind]
        strand.end()
        self.flush_soon()

    # What the proxy tells.

    def on_up(self) -> None:
        """The connection stands: all is opened, in turns."""
        for strand in list(self._strands.values()):
            strand.up()

    def on_down(self) -> None:
        """The connection is gone, and all links with it."""
        for strand in list(self._strands.values()):
            strand.down()

    def on_token(self, who: Identity) -> None:
        """There is a newer token of a device."""
        for kind in BackKind:
            strand = self._strands.get((who, kind))
            if strand is not None:
                strand.try_now()

    def tend(self) -> None:
        """Look at the times."""
        for strand in list(self._strands.values()):
            strand.tend()
        self._tell_unplaced()

    # What strands call.

    def now(self) -> float:
        """The loop's clock."""
        return self._host.now()

    def link(self) -> AmqpLink | None:
        """The connection, if it stands."""
        return self._host.link()

    def flush_soon(self) -> None:
        """Something was said outside of the connection's calls."""
        self._host.flush_soon()

    def take_seat(self, strand: Strand) -> bool:
        """Ask for the device's token and session; False if there is no place."""
        return self._host.seats.take(strand)

    def leave_seat(self, strand: Strand, *links: Link) -> None:
        """These links are not wanted any more, and neither is the seat."""
        self._host.seats.leave(strand, *links)

    def is_wanted(self, strand: Strand) -> bool:
        """Whether somebody would have a place if this one were dropped."""
        return self._host.seats.is_wanted(strand)

    def refuse_seat(self, strand: Strand, reason: str) -> None:
        """The other end does not let the device in."""
        self._host.seats.refuse(strand, reason)

    def on_moved(self, strand: Strand, before: StrandState) -> None:
        """A strand has another state than before."""
        state = strand.state
        for table, member in ((self._queue, StrandState.QUEUED), (self._unplaced, StrandState.UNPLACED)):
            if state is member:
                table[strand] = None
            elif before is member:
                table.pop(strand, None)
        if state in HAS_TURN:
            self._turns.add(strand)
        elif before in HAS_TURN:
            self._turns.discard(strand)
        if state is StrandState.OPEN and (strand.who, strand.kind) in self._told:
            del self._told[strand.who, strand.kind]
            self._emit(BackRestored(strand.kind, str(strand.who)))
        self._give_turns()

    def on_fault(self, strand: Strand, reason: str, *, refused: bool) -> None:
        """A strand rests; a person is told once, until it is open again."""
        key = (strand.who, strand.kind)
        if key in self._told or not (refused or strand.failures >= SAID_AFTER):
            return
        self._told[key] = None
        if len(self._told) > MAX_TOLD:
            del self._told[next(iter(self._told))]
        self._emit(BackRefused(strand.kind, str(strand.who), reason))

    # Helpers.

    def _give_turns(self) -> None:
        """Those that have waited longest come first. A turn may end at once, and call this again."""
        if self._giving_turns or self._host.link() is None:
            return
        self._giving_turns = True
        while self._queue and len(self._turns) < MAX_TURNS:
            next(iter(self._queue)).turn()
        self._giving_turns = False
        self.flush_soon()

    def _tell_unplaced(self) -> None:
        """Name the devices that have no place, if some have waited for long."""
        now = self._host.now()
        first = next(iter(self._unplaced), None)
        if first is None:
            self._unplaced_told_at = None
            return
        told_at = self._unplaced_told_at
        if now - first.waits_since < UNPLACED_S or (told_at is not None and now - told_at < UNPLACED_EVERY_S):
            return
        self._unplaced_told_at = now
        waiting = dict.fromkeys(str(strand.who) for strand in self._unplaced)
        names = tuple(waiting)[:NAMED]
        self._emit(DevicesWithoutPlace(len(waiting), names, self._host.seats.max_listening))
