import asyncio
from dataclasses import dataclass

from edgewire.message import Envelope, Message, Outcome, identity
from edgewire.session.amqp.link import Link
from gateway.upstream.amqp_lane import ACCEPTED, Lane, LaneState, Waiting
from gateway.upstream.amqp_link import AmqpLink
from gateway.upstream.proxy import Sent

# What a lane says to a hub is tried with its proxy, in test_amqp_proxy.


@dataclass(frozen=True, slots=True)
class Stored:
    entry_id: str
    message: Message
    received_at_ms: int = 0


class Host:
    """A proxy without a connection."""

    def __init__(self) -> None:
        self.stall_s = 1.0
        self.finished = 0

    def now(self) -> float:
        return 0.0

    def link(self) -> AmqpLink | None:
        return None

    def take_seat(self, lane: Lane) -> bool:
        raise AssertionError(lane)

    def leave_seat(self, lane: Lane, *links: Link) -> None:
        assert not links

    def refuse_seat(self, lane: Lane, reason: str) -> None:
        raise AssertionError(lane, reason)

    def retire(self, lane: Lane) -> None:
        raise AssertionError(lane)

    def on_place(self, lane: Lane) -> None:
        raise AssertionError(lane)

    def wants_room(self, lane: Lane) -> None:
        raise AssertionError(lane)

    def on_sent(self) -> None:
        raise AssertionError

    def on_answered(self) -> None:
        raise AssertionError

    def on_finished(self, count: int) -> None:
        self.finished += count

    def on_idle(self, lane: Lane) -> None:
        raise AssertionError(lane)

    def on_refused(self, lane: Lane) -> None:
        raise AssertionError(lane)

    def on_waits(self, lane: Lane) -> None:
        raise AssertionError(lane)

    def on_recovered(self, lane: Lane) -> None:
        raise AssertionError(lane)


def waiting(number: int) -> Waiting:
    envelope = Envelope(sender=identity("d1"), properties={}, system={})
    entry = Stored(f"{number}", Message(envelope, b"abc"))
    return Waiting(entry, asyncio.get_running_loop().create_future())


async def test_without_a_connection_nothing_happens_and_all_can_be_given_back() -> None:
    host = Host()
    lane = Lane(identity("d1"), host)
    messages = [waiting(number) for number in range(3)]
    for one in messages:
        lane.put(one)
    lane.advance()
    lane.tend()
    lane.close()
    assert (lane.waiting, lane.bytes, lane.state) == (3, 9, LaneState.CLOSED)
    released = Sent(Outcome.RELEASED, "gone")
    lane.release(released)
    assert [one.future.result() for one in messages] == [released] * 3
    assert (lane.waiting, lane.bytes, host.finished) == (0, 0, 3)


async def test_an_outcome_nobody_waits_for_is_no_error() -> None:
    one = waiting(1)
    one.future.cancel()
    one.finish(ACCEPTED)
    assert one.future.cancelled()
