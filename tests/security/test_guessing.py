"""Guessing: slowed down, told nothing by, and never in the way of who knows."""

import asyncio
import math
from dataclasses import dataclass

from support.gateway_site import KEY, GatewaySite, until
from support.process_watch import watched
from support.raw_mqtt import Hello
from support.raw_peer import RawPeer

GUESSES = 150
ANSWERED_AT_ONCE = 10  # gateway.identity.limiter.PAIR_BURST
LONGEST_HOLD_S = 5.0
BUSY_S = 20.0
"""What a machine may take for all these logins besides."""
BEFORE = 4 * ANSWERED_AT_ONCE
"""Guesses before the right key comes: most of them are held back for the longest time."""
SOURCE = "127.95.0.1"
WRONG_KEY = b"x" * len(KEY)


@dataclass(slots=True)
class Guess:
    """A login by a key: its code, when it was sent and when it was answered."""

    code: int = -1
    sent_at: float = math.inf
    answered_at: float = math.inf

    @property
    def took_s(self) -> float:
        return self.answered_at - self.sent_at

    async def make(self, site: GatewaySite, device: str, key: bytes, source: str = SOURCE) -> None:
        peer = await RawPeer.dial(site, source=source)
        loop = asyncio.get_running_loop()
        hello = Hello(client_id=device, username=site.username(device), password=site.token(device, key=key))
        self.sent_at = loop.time()
        peer.send(hello.wire)
        self.code = await peer.connack()
        self.answered_at = loop.time()
        peer.abort()


async def test_hundreds_of_guesses_are_held_back_while_the_right_key_opens_at_once(site: GatewaySite) -> None:
    await site.gateway.start()
    found = [Guess() for _ in range(GUESSES)]
    right = Guess()
    async with watched(site), asyncio.TaskGroup() as tasks:
        for each in found:
            tasks.create_task(each.make(site, "d1", WRONG_KEY))
        await until(lambda: sum(each.sent_at < math.inf for each in found) >= BEFORE)
        await right.make(site, "d1", KEY)
    assert right.code == 0
    overtaken = [each for each in found if each.sent_at < right.sent_at and each.answered_at > right.answered_at]
    assert overtaken, "the right key waited for all that were guessed before"
    assert {each.code for each in found} == {5}
    at_once = [each for each in found if each.took_s < 0.5]
    # The device's own login forgives what failed from its address before: so many may come again.
    assert len(at_once) <= 2 * ANSWERED_AT_ONCE + 1
    assert max(each.took_s for each in found) < LONGEST_HOLD_S + BUSY_S


async def test_a_device_that_nobody_knows_looks_like_one_with_another_key(site: GatewaySite) -> None:
    await site.gateway.start()
    known: list[float] = []
    unknown: list[float] = []
    for number in range(60):
        for device, times in (("d1", known), (f"nobody-{number}", unknown)):
            guess = Guess()
            await guess.make(site, device, WRONG_KEY, f"127.95.{number + 1}.1")
            assert guess.code == 5
            times.append(guess.took_s)
    middle = len(known) // 2
    assert 0.5 < sorted(known)[middle] / sorted(unknown)[middle] < 2
