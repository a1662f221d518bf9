import asyncio
import json

import pytest

from edgewire.message import Envelope, Message, identity
from gateway.observe.history import History
from gateway.observe.tap import Routed, Tap
from gateway.observe.watching import (
    LOOK_S,
    MAX_FOLLOWERS,
    MAX_WAITING_BYTES,
    MAX_WAITING_ROWS,
    ROWS_PER_SECOND,
    SAMPLES_PER_SECOND,
    TooManyFollowersError,
    Wanted,
    Watching,
)


class Flow:
    """A tap through which messages flow as through the ingress, and what watches it."""

    def __init__(self) -> None:
        self.tap = Tap()
        self.history = History()
        self.received = 0
        self.cost_s = 0.0
        """What looking at a message takes, by the stopwatch."""
        self._now = 0.0
        self.watching = Watching(
            self.tap,
            received=lambda: self.received,
            clock=lambda: 1_800_000_000.0,
            sampler=self.history.keep,
            stopwatch=self._stopwatch,
        )
        self.watching.second()

    def send(self, count: int, body: bytes = b"{}", device: str = "d1") -> int:
        """So many messages. Returns how many of them somebody looked at."""
        looked_at = 0
        envelope = Envelope(sender=identity(device), properties={}, system={})
        for _ in range(count):
            if self.tap.watchers:
                looked_at += 1
                self.tap.show(Routed(Message(envelope, body), (), ()))
        self.received += count
        return looked_at

    def _stopwatch(self) -> float:
        self._now += self.cost_s
        return self._now


@pytest.fixture
def flow() -> Flow:
    return Flow()


def test_while_nobody_follows_a_few_messages_of_each_second_are_sampled_and_the_rest_cost_nothing(flow: Flow) -> None:
    for second in range(1, 4):
        assert flow.send(1_000) == SAMPLES_PER_SECOND
        assert flow.tap.watchers == ()
        assert flow.history.kept == second * SAMPLES_PER_SECOND
        flow.watching.second()


def test_a_follower_sees_what_it_wants_and_no_more_than_it_can_read(flow: Flow) -> None:
    follower = flow.watching.follow(Wanted(wants=lambda routed: routed.message.envelope.sender.device == "d1"))
    flow.send(10, device="d2")
    flow.send(ROWS_PER_SECOND + 7)
    rows, left_out = follower.take()
    assert len(rows) == ROWS_PER_SECOND
    assert left_out == 7
    assert json.loads(rows[0])["device"] == "d1"
    flow.watching.second()
    flow.send(3)
    assert [len(follower.take()[0]), follower.take()] == [3, ([], 0)]


def test_every_so_many_and_fewer_a_second(flow: Flow) -> None:
    tenth = flow.watching.follow(Wanted(each=10))
    two = flow.watching.follow(Wanted(per_second=2))
    flow.send(45)
    assert (len(tenth.take()[0]), len(two.take()[0])) == (5, 2)


def test_a_follower_that_does_not_read_loses_rows_and_is_told(flow: Flow) -> None:
    slow = flow.watching.follow(Wanted(per_second=1_000))
    flow.send(MAX_WAITING_ROWS + 40)
    rows, left_out = slow.take()
    assert (len(rows), left_out) == (MAX_WAITING_ROWS, 40)
    flow.watching.second()
    flow.send(MAX_WAITING_ROWS, b"x" * 3_000)
    rows, left_out = slow.take()
    assert sum(map(len, rows)) <= MAX_WAITING_BYTES
    assert len(rows) + left_out == MAX_WAITING_ROWS


def test_looking_takes_a_share_of_each_second_and_what_was_not_seen_is_told(flow: Flow) -> None:
    follower = flow.watching.follow(Wanted(wants=lambda _: False))
    flow.cost_s = LOOK_S / 10
    looked_at = flow.send(1_000)
    assert 9 <= looked_at <= 11
    assert flow.tap.watchers == ()
    flow.watching.second()
    assert follower.take() == ([], 1_000 - looked_at)
    assert flow.tap.watchers != ()
    flow.cost_s = 0.0
    flow.send(5)
    flow.watching.second()
    assert follower.take() == ([], 0)


def test_who_comes_in_the_middle_of_a_second_misses_nothing_from_then_on(flow: Flow) -> None:
    flow.send(100)
    follower = flow.watching.follow(Wanted())
    assert flow.send(5) == 5
    flow.watching.second()
    rows, left_out = follower.take()
    assert (len(rows), left_out) == (5, 0)


def test_nobody_can_come_when_so_many_follow_until_one_leaves(flow: Flow) -> None:
    followers = [flow.watching.follow(Wanted()) for _ in range(MAX_FOLLOWERS)]
    with pytest.raises(TooManyFollowersError, match="close one of them"):
        flow.watching.follow(Wanted())
    flow.watching.unfollow(followers[0])
    flow.watching.follow(Wanted())
    flow.send(1)
    assert followers[0].take() == ([], 0)


async def test_who_waits_is_woken_by_a_row_and_by_what_was_left_out(flow: Flow) -> None:
    follower = flow.watching.follow(Wanted(per_second=1))
    waiting = asyncio.ensure_future(follower.grown())
    await asyncio.sleep(0)
    assert not waiting.done()
    flow.send(2)
    await waiting
    assert len(follower.take()[0]) == 1
    waiting = asyncio.ensure_future(follower.grown())
    await asyncio.sleep(0)
    flow.send(1)
    flow.watching.second()
    await waiting
    assert follower.take() == ([], 1)
