from typing import ClassVar, cast

from edgewire.codec.amqp.performatives import Error
from edgewire.message import Identity, identity
from edgewire.session.amqp.session import Session
from gateway.identity.tokens import Token
from gateway.upstream.amqp_link import AmqpLink, Taken
from gateway.upstream.amqp_seat import OPEN_S, Seats

# What seats say to a hub is tried with lanes and strands, in test_amqp_proxy and test_amqp_back.


class Connection:
    """One that takes tokens when it is told to."""

    def __init__(self, max_devices: int) -> None:
        self.max_devices = max_devices
        self.puts: list[tuple[str, Taken]] = []
        self.ended: list[object] = []

    def put_token(self, name: str, _token: str, taken: Taken) -> None:
        self.puts.append((name, taken))

    def begin(self, owner: object) -> object:
        return ("session of", owner)

    def end(self, session: object) -> None:
        self.ended.append(session)

    def answer(self, status: int = 200) -> None:
        """Answer all."""
        puts, self.puts = self.puts, []
        for _, taken in puts:
            taken(status, "")


class Host:
    """A proxy."""

    def __init__(self, max_devices: int = 100) -> None:
        self.time = 0.0
        self.connection = Connection(max_devices)
        self.without: set[Identity] = set()
        self.refused: list[Identity] = []
        self.seats = Seats(self, max_devices)

    def now(self) -> float:
        return self.time

    def wall_now(self) -> float:
        return self.time

    def link(self) -> AmqpLink:
        return cast("AmqpLink", self.connection)

    def token_for(self, who: Identity) -> Token | None:
        return None if who in self.without else Token(f"token at {self.time}", self.time + 3_600)

    def token_name(self, who: Identity) -> str:
        return str(who)

    def token_refused(self, who: Identity, _token: Token) -> None:
        self.refused.append(who)


class User:
    """One who wants a seat."""

    listens: ClassVar[bool] = False

    def __init__(self, device: str, host: Host) -> None:
        self.who = identity(device)
        self.used_at = 0.0
        self.gives_way = False
        self.host = host
        self.heard: list[object] = []

    def on_seated(self, session: Session) -> None:
        assert session is not None
        self.heard.append("seated")

    def on_refused(self, reason: str) -> None:
        self.heard.append(("refused", reason))

    def on_detached(self, error: Error | None) -> None:
        self.heard.append(("detached", error))

    def on_unseated(self, reason: str) -> None:
        self.heard.append(("unseated", reason))

    def on_place(self) -> None:
        self.heard.append("place")

    def retire(self) -> None:
        self.heard.append("retired")
        self.host.seats.leave(self)


class Listener(User):
    """One who stays."""

    listens: ClassVar[bool] = True


def test_the_first_user_brings_the_token_and_the_last_one_takes_the_session_along() -> None:
    host = Host()
    lane, strand = User("d1", host), Listener("d1", host)
    assert host.seats.take(lane)
    assert host.seats.take(strand)
    assert [name for name, _ in host.connection.puts] == ["d1"]
    host.connection.answer()
    assert lane.heard == strand.heard == ["seated"]
    late = Listener("d1", host)
    assert host.seats.take(late)
    assert late.heard == ["seated"]
    for user in (lane, strand):
        host.seats.leave(user)
    assert host.connection.ended == []
    host.seats.leave(late)
    assert len(host.connection.ended) == 1
    assert len(host.seats) == 0


def test_a_refusal_reaches_all_users_and_counts_once() -> None:
    host = Host()
    users = [User("d1", host), Listener("d1", host), Listener("d1", host)]
    for user in users:
        host.seats.take(user)
    host.connection.answer()
    host.seats.refuse(users[1], "not a child")
    assert [user.heard[1:] for user in users] == [[("refused", "not a child")]] * 3
    assert host.refused == [identity("d1")]
    host.seats.refuse(users[0], "again")
    assert host.refused == [identity("d1")]


def test_without_a_token_there_is_no_seat_and_nothing_is_held_against_a_token() -> None:
    host = Host()
    host.without.add(identity("d1"))
    user = User("d1", host)
    assert host.seats.take(user)
    assert user.heard == [("refused", "there is neither a key for it here nor a valid token of its own")]
    assert (len(host.seats), host.refused, host.connection.puts) == (0, [], [])


def test_a_token_that_is_not_answered_in_time_or_with_a_fault_leads_to_nothing() -> None:
    host = Host()
    user, other = User("d1", host), User("d2", host)
    host.seats.take(user)
    host.time = OPEN_S
    host.seats.tend()
    assert user.heard == [("unseated", "the other end did not answer for 20 s")]
    host.connection.answer()
    assert len(user.heard) == 1
    host.seats.take(other)
    host.connection.answer(500)
    assert other.heard == [("unseated", "its token was refused with status 500")]
    assert (len(host.seats), host.refused) == (0, [])


def test_a_token_is_renewed_once_while_it_ends_soon_and_the_answer_to_an_older_one_says_nothing() -> None:
    host = Host()
    user = User("d1", host)
    host.seats.take(user)
    host.connection.answer()
    host.time = 3_010
    host.seats.tend()
    host.seats.tend()
    assert len(host.connection.puts) == 1
    host.seats.renew(identity("d1"), Token("newer", 9_999))
    old = host.connection.puts.pop(0)[1]
    old(401, "")
    host.connection.answer()
    assert user.heard == ["seated"]


def test_a_share_of_the_places_is_kept_for_telemetry() -> None:
    for places, listening in ((1, 0), (2, 1), (10, 9), (100, 90), (1_000, 900)):
        assert Host(places).seats.max_listening == listening


def test_who_listens_waits_where_all_listen_and_telemetry_still_finds_its_place() -> None:
    host = Host(2)
    one, two, lane, own = Listener("d1", host), Listener("d2", host), User("d3", host), User("d1", host)
    assert host.seats.take(one)
    assert not host.seats.take(two)
    assert host.seats.take(lane)
    assert host.seats.take(own)
    host.seats.leave(one)
    assert two.heard == ["place"]
    assert not host.seats.take(two)
    assert host.seats.is_wanted(lane)
    assert host.seats.is_wanted(own)
    host.seats.leave(lane)
    assert two.heard == ["place"] * 2
    assert host.seats.take(two)
    assert not host.seats.is_wanted(own)


def test_the_seat_that_is_idle_for_longest_makes_room() -> None:
    host = Host(3)
    users = [User(f"d{number}", host) for number in range(3)]
    for number, user in enumerate(users):
        host.seats.take(user)
        user.gives_way = number > 0
        user.used_at = 9.0 - number
    host.connection.answer()
    assert host.seats.take(User("d9", host))
    assert [user.heard[-1] for user in users] == ["seated", "seated", "retired"]


def test_a_connection_that_is_gone_takes_all_along_without_a_word() -> None:
    host = Host(1)
    user, other = User("d1", host), User("d2", host)
    host.seats.take(user)
    assert not host.seats.take(other)
    host.seats.void()
    host.connection.answer()
    host.seats.leave(user)
    assert user.heard == other.heard == []
    assert host.connection.ended == []
