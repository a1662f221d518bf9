"""One link, or one pair of links, on which something comes down for a device: from being wanted until nobody wants it.

All transitions stand in `NEXT`; what is not in it has no effect, so whatever comes late does nothing.
"""

from abc import ABC, abstractmethod
from enum import Enum
from types import MappingProxyType
from typing import ClassVar, Final, Protocol

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.performatives import DeliveryState, Error
from edgewire.message import Identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Delivery, Link
from edgewire.session.amqp.session import Session
from edgewire.transport.backoff import Backoff
from gateway.observe.upstream import BackKind
from gateway.upstream.amqp_link import AmqpLink
from gateway.upstream.amqp_refusal import words_of
from gateway.upstream.amqp_seat import OPEN_S

RETRY_FIRST_S: Final = 1.0
RETRY_CAP_S: Final = 300.0
"""How long a strand that is refused or breaks waits before it is tried again, doubled each time up to this."""
STEADY_S: Final = 30.0
"""A strand that was open for so long was a good one: its loss counts as the first failure again."""


class StrandState(Enum):
    """How far a strand is."""

    AWAY = "away"
    """There is no connection."""
    QUEUED = "queued"
    """It waits for its turn: not all are opened at once."""
    SEATING = "seating"
    """The device's token is on the way."""
    UNPLACED = "unplaced"
    """There is no place for the device on the connection."""
    ATTACHING = "attaching"
    OPEN = "open"
    RESTING = "resting"
    """It was refused, or broke: it is tried again later."""
    OVER = "over"
    """Nobody wants it any more."""


class Step(Enum):
    """What happens to a strand."""

    UP = "up"
    """The connection stands."""
    TURN = "turn"
    NO_PLACE = "no place"
    PLACE = "place"
    SEATED = "seated"
    ATTACHED = "attached"
    """All of its links."""
    FAILED = "failed"
    DUE = "due"
    """It has rested."""
    DOWN = "down"
    """The connection is gone."""
    UNWANTED = "unwanted"


_S = StrandState
NEXT: Final = MappingProxyType(
    {
        (_S.AWAY, Step.UP): _S.QUEUED,
        (_S.QUEUED, Step.TURN): _S.SEATING,
        (_S.SEATING, Step.NO_PLACE): _S.UNPLACED,
        (_S.UNPLACED, Step.PLACE): _S.QUEUED,
        (_S.SEATING, Step.SEATED): _S.ATTACHING,
        (_S.ATTACHING, Step.ATTACHED): _S.OPEN,
        (_S.SEATING, Step.FAILED): _S.RESTING,
        (_S.ATTACHING, Step.FAILED): _S.RESTING,
        (_S.OPEN, Step.FAILED): _S.RESTING,
        (_S.RESTING, Step.DUE): _S.QUEUED,
    }
    | {(state, Step.DOWN): _S.AWAY for state in _S if state is not _S.OVER}
    | {(state, Step.UNWANTED): _S.OVER for state in _S if state is not _S.OVER}
)

HAS_TURN: Final = (StrandState.SEATING, StrandState.ATTACHING)


class StrandHost(Protocol):
    """What a strand needs of who keeps all of them."""

    def now(self) -> float:
        """The loop's clock."""
        ...

    def link(self) -> AmqpLink | None:
        """The connection, if it stands."""
        ...

    def flush_soon(self) -> None:
        """Something was said outside of the connection's calls."""

    def drop(self, strand: "Strand") -> None:
        """It is not wanted any more."""

    def take_seat(self, strand: "Strand") -> bool:
        """Ask for the device's token and session; False if there is no place."""
        ...

    def leave_seat(self, strand: "Strand", *links: Link) -> None:
        """These links are not wanted any more, and neither is the seat."""

    def is_wanted(self, strand: "Strand") -> bool:
        """Whether somebody would have a place if this one were dropped."""
        ...

    def refuse_seat(self, strand: "Strand", reason: str) -> None:
        """The other end does not let the device in."""

    def on_moved(self, strand: "Strand", before: StrandState) -> None:
        """It has another state than before."""

    def on_fault(self, strand: "Strand", reason: str, *, refused: bool) -> None:
        """It rests: the device was refused, or something else is wrong."""


class Strand(ABC):
    """One kind of what comes down, for one device; a user of its seat. Calls may leave something to be flushed."""

    listens: ClassVar[bool] = True
    kind: ClassVar[BackKind]

    def __init__(self, who: Identity, host: StrandHost) -> None:
        self.who = who
        self.state = StrandState.AWAY
        self.used_at = host.now()
        self.waits_since = host.now()
        """Since when it has been waiting for what it waits for."""
        self._host = host
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_CAP_S)
        self._links: tuple[Link, ...] = ()
        self._attached = 0
        self._rest_s = 0.0

    @property
    def gives_way(self) -> bool:
        """Whether its place may go to somebody else: not while a device listens."""
        return False

    @property
    def failures(self) -> int:
        """Tries that failed in a row."""
        return self._backoff.failures

    # What each kind does differently.

    @abstractmethod
    def _attach(self, connection: AmqpLink, session: Session) -> tuple[Link, ...]:
        """Ask for its links."""

    @abstractmethod
    def _on_open(self) -> None:
        """All of its links are attached."""

    @abstractmethod
    def _on_void(self) -> None:
        """Its links are gone, and whatever was on its way on them."""

    @abstractmethod
    def on_credit(self) -> None:
        """There is credit for what it sends."""

    @abstractmethod
    def on_message(self, event: MessageReceived) -> None:
        """A message has come down."""

    # What its keeper calls.

    def up(self) -> None:
        """The connection stands."""
        self._move(Step.UP)

    def down(self) -> None:
        """The connection is gone."""
        self._move(Step.DOWN)
        self._let_go()

    def turn(self) -> None:
        """Open now."""
        if self._move(Step.TURN) and not self._host.take_seat(self):
            self._move(Step.NO_PLACE)

    def end(self) -> None:
        """Nobody wants it any more."""
        if self._move(Step.UNWANTED):
            self._leave()

    def try_now(self) -> None:
        """There is a newer token: whoever rests goes on."""
        self._move(Step.DUE)

    def tend(self) -> None:
        """Look at the times: links that take too long, a rest that is over."""
        waited_s = self._host.now() - self.waits_since
        if self.state is StrandState.RESTING and waited_s >= self._rest_s:
            self._move(Step.DUE)
        elif self.state is StrandState.ATTACHING and waited_s >= OPEN_S:
            self._fail(f"the other end did not answer for {OPEN_S:.0f} s")

    # What its seat tells.

    def on_place(self) -> None:
        """There is a place again."""
        self._move(Step.PLACE)

    def retire(self) -> None:
        """Leave: somebody else needs the place."""
        self._host.drop(self)

    def on_seated(self, session: Session) -> None:
        """The token is taken."""
        connection = self._host.link()
        if connection is not None and self._move(Step.SEATED):
            self._attached = 0
            self._links = self._attach(connection, session)

    def on_refused(self, reason: str) -> None:
        """The device is not let in, or there is no token for it."""
        self._fail(reason, refused=True)

    def on_unseated(self, reason: str) -> None:
        """There is no seat now."""
        self._fail(reason)

    # What its links tell.

    def on_attached(self) -> None:
        """The other end has one more of its links."""
        self._attached += 1
        if self._attached == len(self._links) and self._move(Step.ATTACHED):
            self._on_open()

    def on_state(self, delivery: Delivery, state: DeliveryState | None) -> None:
        """All that it sends is settled: nothing comes of it."""
        del delivery, state

    def on_detached(self, error: Error | None) -> None:
        """One of its links is over, or was refused; it is of no use without it."""
        if error is not None and error.condition == conditions.UNAUTHORIZED_ACCESS:
            self._host.refuse_seat(self, words_of(error))
        else:
            self._fail(words_of(error))

    # Helpers.

    def _move(self, step: Step) -> bool:
        """Make a transition; False if there is none."""
        before = self.state
        after = NEXT.get((before, step))
        if after is None:
            return False
        if after is StrandState.RESTING:
            self._choose_rest(before)
        self.state = after
        self.waits_since = self._host.now()
        self._host.on_moved(self, before)
        return True

    def _choose_rest(self, before: StrandState) -> None:
        if before is StrandState.OPEN and self._host.now() - self.waits_since >= STEADY_S:
            self._backoff.reset()
        self._rest_s = self._backoff.next_delay_s()

    def _fail(self, reason: str, *, refused: bool = False) -> None:
        if self._move(Step.FAILED):
            self._leave()
            self._host.on_fault(self, reason, refused=refused)

    def _leave(self) -> None:
        self._host.leave_seat(self, *self._links)
        self._let_go()

    def _let_go(self) -> None:
        had, self._links = self._links, ()
        if had:
            self._on_void()
