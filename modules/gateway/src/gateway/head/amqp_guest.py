"""One identity that was let in on one AMQP connection: its links, and until when."""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from edgewire.codec.amqp.conditions import DETACH_FORCED, STOLEN, UNAUTHORIZED_ACCESS
from edgewire.iothub.amqp.addresses import Purpose
from edgewire.message import Identity
from edgewire.session.amqp.link import Role
from gateway.dispatch.presence import Ending
from gateway.head.amqp_line import Line, LinkEnd
from gateway.head.amqp_twins import TwinChannel
from gateway.identity.credentials import Admitted, Refused
from gateway.observe.head import DeviceConnected, DeviceDisconnected, Leaving

TOKEN_CHECK_S: Final = 3600.0
"""A token's end is a time on the wall clock: looked at least this often, for a clock that creeps.
One that is set is noticed at once: `judge_again`."""


class Farewell(NamedTuple):
    """How links are detached that did nothing wrong."""

    leaving: Leaving
    condition: str
    description: str


FAREWELLS: Final[Mapping[Ending, Farewell]] = MappingProxyType(
    {
        Ending.TAKEN_OVER: Farewell(Leaving.TAKEN_OVER, STOLEN, "the same identity has connected again"),
        Ending.TOKEN_EXPIRED: Farewell(Leaving.TOKEN_EXPIRED, UNAUTHORIZED_ACCESS, "the token has expired"),
        Ending.CREDENTIALS_CHANGED: Farewell(
            Leaving.CREDENTIALS_CHANGED, UNAUTHORIZED_ACCESS, "the credentials are no longer good"
        ),
        Ending.SHUTDOWN: Farewell(Leaving.SHUTDOWN, DETACH_FORCED, "the gateway stops"),
    }
)


class Kind(NamedTuple):
    """What a link is for, and our end of it. An identity has one link of each kind."""

    purpose: Purpose
    role: Role


class Place(NamedTuple):
    """A link of a guest."""

    end: LinkEnd
    pair: str
    """What the two links of a channel share."""


class Guest:
    """One identity on one connection; for `dispatch.presence` this is its link. `on_gone` hears when it has left."""

    __slots__ = ("_gone", "_line", "_links", "_on_gone", "_timer", "expires_at", "identity", "twin")

    def __init__(self, line: Line, verdict: Admitted, on_gone: Callable[[Identity], None]) -> None:
        self._line = line
        self._links: dict[Kind, Place] = {}
        self._on_gone = on_gone
        self._timer: asyncio.TimerHandle | None = None
        self._gone = False
        self.identity = verdict.identity
        self.expires_at = verdict.expires_at
        self.twin = TwinChannel(line, line.house.twins, verdict.identity)

    def enter(self) -> None:
        """Be there: somebody else with the same identity, on whatever connection, leaves."""
        self._line.house.presence.enter(self.identity, self)
        self._line.house.emit(DeviceConnected(str(self.identity), self._line.peer.address))
        self._watch_token()

    # What dispatch calls.

    def end(self, why: Ending) -> None:
        """Detach all links; the connection stays, others may use it."""
        farewell = FAREWELLS[why]
        places = tuple(self._links.values())
        self.leave(farewell.leaving)
        for place in places:
            self._line.engine.detach(place.end.link, farewell.condition, farewell.description)
        self._line.flush()

    def judge_again(self) -> None:
        """The wall clock was set: the token may have expired."""
        self._watch_token()

    # What the connection calls.

    def renew(self) -> Admitted | Refused:
        """Another token has come: if it is good, it counts from now on; if not, the one before does."""
        verdict = self._line.judge(self.identity)
        if isinstance(verdict, Admitted):
            self.expires_at = verdict.expires_at
            self._watch_token()
        return verdict

    def take(self, kind: Kind, end: LinkEnd, pair: str) -> None:
        """A link begins. One of the same kind ends for it, and so does the other half of another channel."""
        end.whose = self.identity
        before = self._links.get(kind)
        self._links[kind] = Place(end, pair)
        if before is not None:
            self._let_go(before, "another link of the same kind has come")
        if kind.purpose in (Purpose.TWIN, Purpose.METHODS):
            other = Kind(kind.purpose, Role.SENDER if kind.role is Role.RECEIVER else Role.RECEIVER)
            if other in self._links and self._links[other].pair != pair:
                self._let_go(self._links.pop(other), "the other link of the channel has another correlation id")

    def drop(self, end: LinkEnd) -> None:
        """A link is over; with the last one the identity has left."""
        kind = next((kind for kind, place in self._links.items() if place.end is end), None)
        if kind is not None:
            del self._links[kind]
            if not self._links:
                self.leave(Leaving.GOODBYE)

    def leave(self, reason: Leaving, detail: str = "") -> None:
        """Be there no more."""
        if self._gone:
            return
        self._gone = True
        if self._timer is not None:
            self._timer.cancel()
        places, self._links = self._links, {}
        for place in places.values():
            place.end.on_over()
        self._on_gone(self.identity)
        self._line.house.presence.leave(self.identity, self)
        self._line.house.emit(DeviceDisconnected(str(self.identity), reason, detail))

    def _let_go(self, place: Place, why: str) -> None:
        place.end.on_over()
        self._line.engine.detach(place.end.link, STOLEN, why)

    def _watch_token(self) -> None:
        """End when the token does."""
        if self._timer is not None:
            self._timer.cancel()
        if self.expires_at is None or self._gone:
            return
        left_s = self.expires_at - self._line.house.clock()
        if left_s <= 0:
            self._line.credentials.drop(self.identity)
            self.end(Ending.TOKEN_EXPIRED)
        else:
            self._timer = asyncio.get_running_loop().call_later(min(left_s, TOKEN_CHECK_S), self._watch_token)
