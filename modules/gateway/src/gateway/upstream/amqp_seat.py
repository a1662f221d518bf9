"""Places on the connection: per device one token and one session, shared by all links that somebody wants for it.

A seat is there while it has a user: the device's lane for telemetry, or a strand of what comes down. The first user
brings a put-token, the last one takes the session along. What is held against the device, its token or its session,
reaches all of its users; what is held against one link, its user alone.
"""

from collections.abc import Iterator
from enum import Enum
from typing import ClassVar, Final, Protocol

from edgewire.codec.amqp.performatives import Error
from edgewire.message import Identity
from edgewire.session.amqp.link import Link
from edgewire.session.amqp.session import Session
from gateway.identity.tokens import RENEW_BEFORE_S, Token
from gateway.upstream.amqp_link import AmqpLink
from gateway.upstream.amqp_refusal import Reach, is_taken, reach_of, reach_of_status, words_of

OPEN_S: Final = 20.0
"""For a token to be taken and for a link to be attached, each."""
TELEMETRY_SHARE: Final = 10
"""One place of so many is kept from those who only listen: telemetry of all others takes its turns there."""


class SeatState(Enum):
    """How far a seat is."""

    TOKEN = "token"  # noqa: S105 — a state, no secret
    """Its token is on the way."""
    TAKEN = "taken"
    """There is a session."""
    OVER = "over"


class SeatUser(Protocol):
    """Who wants a link of a device."""

    who: Identity
    listens: ClassVar[bool]
    """Whether it stays for what comes down; telemetry comes and goes."""
    used_at: float

    @property
    def gives_way(self) -> bool:
        """Whether somebody else may have its place."""
        ...

    def on_seated(self, session: Session) -> None:
        """The token is taken: links may be attached in this session."""

    def on_refused(self, reason: str) -> None:
        """The device is not let in, or there is no token for it; the seat is gone."""

    def on_detached(self, error: Error | None) -> None:
        """The session is over, and the seat gone."""

    def on_unseated(self, reason: str) -> None:
        """There is no seat now, for a reason that may pass."""

    def on_place(self) -> None:
        """There is a place again."""

    def retire(self) -> None:
        """Leave: somebody else needs the place."""


class SeatHost(Protocol):
    """What seats need of their proxy."""

    def now(self) -> float:
        """The loop's clock."""
        ...

    def wall_now(self) -> float:
        """Seconds since 1970, in which tokens end."""
        ...

    def link(self) -> AmqpLink | None:
        """The connection, if it stands."""
        ...

    def token_for(self, who: Identity) -> Token | None:
        """A token that is good now."""
        ...

    def token_name(self, who: Identity) -> str:
        """The audience of a device's token."""
        ...

    def token_refused(self, who: Identity, token: Token) -> None:
        """The other end did not let a device in with this one."""


class Seat:
    """One device's token and session."""

    __slots__ = ("host", "listeners", "seats", "session", "state", "step_by", "token", "users", "who")

    def __init__(self, who: Identity, token: Token, host: SeatHost, seats: "Seats") -> None:
        self.who = who
        self.token = token
        self.host = host
        self.seats = seats
        self.users: dict[SeatUser, None] = {}
        self.listeners = 0
        self.session: Session | None = None
        self.state = SeatState.TOKEN
        self.step_by: float | None = host.now() + OPEN_S

    @property
    def gives_way(self) -> bool:
        """Whether none of its users has anything to do."""
        return self.state is SeatState.TAKEN and all(user.gives_way for user in self.users)

    @property
    def used_at(self) -> float:
        """When one of its users was busy last."""
        return max(user.used_at for user in self.users)

    def put(self, token: Token) -> None:
        """Put its token, or a newer one, on the connection."""
        link = self.host.link()
        if link is not None:
            self.token = token
            name = self.host.token_name(self.who)
            link.put_token(name, token.text, lambda status, said: self._on_token(token, status, said))

    def _on_token(self, token: Token, status: int, said: str) -> None:
        if self.state is SeatState.OVER or token is not self.token:
            return
        if is_taken(status):
            self.step_by = None
            if self.state is SeatState.TOKEN:
                self._begin()
            return
        reason = f"its token was refused with status {status} {said}".rstrip()
        if reach_of_status(status) is Reach.DEVICE:
            self.refuse(reason)
        else:
            self.clear(reason)

    def _begin(self) -> None:
        link = self.host.link()
        session = None if link is None else link.begin(self)
        if session is None:
            self.clear("the other end takes no more sessions on this connection")
            return
        self.session = session
        self.state = SeatState.TAKEN
        for user in list(self.users):
            if user in self.users:
                user.on_seated(session)

    def on_ended(self, error: Error | None) -> None:
        """The other end has ended the session. Called by the link."""
        self.session = None
        if reach_of(error) is Reach.DEVICE:
            self.refuse(words_of(error))
        else:
            for user in self.seats.close(self):
                user.on_detached(error)

    def refuse(self, reason: str) -> None:
        """The device is not let in with this token."""
        users = self.seats.close(self)
        self.host.token_refused(self.who, self.token)
        for user in users:
            user.on_refused(reason)

    def clear(self, reason: str) -> None:
        """This leads to nothing now."""
        for user in self.seats.close(self):
            user.on_unseated(reason)


class Seats:
    """The seats of one connection, and who waits for a place."""

    def __init__(self, host: SeatHost, max_devices: int) -> None:
        self._host = host
        self._max_devices = max_devices
        self._seats: dict[Identity, Seat] = {}
        self._listening = 0
        """Seats that somebody listens on."""
        self._wanting: dict[bool, dict[SeatUser, None]] = {False: {}, True: {}}
        """Who waits for a place; those who listen apart."""

    def __len__(self) -> int:
        return len(self._seats)

    def __iter__(self) -> Iterator[Seat]:
        return iter(list(self._seats.values()))

    def take(self, user: SeatUser) -> bool:
        """Sit down: `on_seated` follows, or has come; False if there is no place, and `on_place` says when there is."""
        seat = self._seats.get(user.who)
        if not self._has_place(seat, user) and not self._make_place(seat, user):
            self._wanting[user.listens][user] = None
            return False
        self._wanting[user.listens].pop(user, None)
        if seat is None:
            seat = self._begin(user)
            if seat is None:
                return True
        self._add(seat, user)
        if seat.session is not None:
            user.on_seated(seat.session)
        return True

    def leave(self, user: SeatUser, *links: Link) -> None:
        """These links are not wanted any more, and their user goes."""
        self._wanting[user.listens].pop(user, None)
        for link in links:
            link.owner = None
        seat = self._seats.get(user.who)
        if seat is None or user not in seat.users:
            return
        del seat.users[user]
        if user.listens:
            seat.listeners -= 1
            self._listening -= not seat.listeners
        if not seat.users:
            self.close(seat)
            return
        connection = self._host.link()
        if connection is not None:
            for link in links:
                connection.detach(link)
        self._call_next()

    def refuse(self, user: SeatUser, reason: str) -> None:
        """The other end does not let the device of this user in."""
        seat = self._seats.get(user.who)
        if seat is None or user not in seat.users:
            user.on_refused(reason)
        else:
            seat.refuse(reason)

    def close(self, seat: Seat) -> list[SeatUser]:
        """End a seat. Returns those who sat there, for whoever tells them."""
        seat.state = SeatState.OVER
        connection = self._host.link()
        if seat.session is not None and connection is not None:
            connection.end(seat.session)
        seat.session = None
        if self._seats.get(seat.who) is seat:
            del self._seats[seat.who]
        users, seat.users = list(seat.users), {}
        self._listening -= seat.listeners > 0
        seat.listeners = 0
        self._call_next()
        return users

    def void(self) -> None:
        """The connection is gone, and all with it; nobody is told."""
        for seat in self._seats.values():
            seat.state = SeatState.OVER
        self._seats.clear()
        self._listening = 0
        for wanting in self._wanting.values():
            wanting.clear()

    def renew(self, who: Identity, token: Token) -> None:
        """Put a newer token; all links stay."""
        seat = self._seats.get(who)
        if seat is not None and seat.state is SeatState.TAKEN:
            seat.put(token)

    def tend(self) -> None:
        """Look at the times: a token that is not answered, one that ends."""
        now, wall_now = self._host.now(), self._host.wall_now()
        for seat in self:
            if seat.step_by is not None and now >= seat.step_by:
                seat.clear(f"the other end did not answer for {OPEN_S:.0f} s")
            elif seat.state is SeatState.TAKEN and seat.token.expires_at - wall_now < RENEW_BEFORE_S:
                token = self._host.token_for(seat.who)
                if token is not None and token.expires_at > seat.token.expires_at:
                    seat.put(token)

    def is_wanted(self, user: SeatUser) -> bool:
        """Whether somebody would have a place if this user left."""
        seat = self._seats.get(user.who)
        if seat is None or len(seat.users) > 1:
            return False
        listening = self._listening - user.listens
        return bool(self._wanting[False]) or (bool(self._wanting[True]) and listening < self.max_listening)

    # Places.

    @property
    def _places(self) -> int:
        link = self._host.link()
        return 0 if link is None else min(self._max_devices, link.max_devices)

    @property
    def max_listening(self) -> int:
        """Devices that may be listened for at once."""
        places = self._places
        return places - max(1, places // TELEMETRY_SHARE)

    def _has_place(self, seat: Seat | None, user: SeatUser) -> bool:
        if user.listens and not (seat is not None and seat.listeners) and self._listening >= self.max_listening:
            return False
        return seat is not None or len(self._seats) < self._places

    def _make_place(self, seat: Seat | None, user: SeatUser) -> bool:
        """Have the seat that is idle for longest given back; False if there is none that would help."""
        crowded = user.listens and self._listening >= self.max_listening
        idle = [
            one for one in self._seats.values() if one is not seat and (one.listeners or not crowded) and one.gives_way
        ]
        if not idle:
            return False
        for other in list(min(idle, key=lambda one: one.used_at).users):
            other.retire()
        return self._has_place(seat, user)

    def _begin(self, user: SeatUser) -> Seat | None:
        token = self._host.token_for(user.who)
        if token is None:
            user.on_refused("there is neither a key for it here nor a valid token of its own")
            return None
        seat = self._seats[user.who] = Seat(user.who, token, self._host, self)
        seat.put(token)
        return seat

    def _add(self, seat: Seat, user: SeatUser) -> None:
        if user not in seat.users:
            seat.users[user] = None
            if user.listens:
                seat.listeners += 1
                self._listening += seat.listeners == 1

    def _call_next(self) -> None:
        """There may be a place: telemetry comes first, it waits in the store."""
        lane = next(iter(self._wanting[False]), None)
        if lane is not None:
            del self._wanting[False][lane]
            lane.on_place()
        listener = next(iter(self._wanting[True]), None)
        if listener is not None and self._listening < self.max_listening:
            listener.on_place()  # it stays the first until it has one
