import asyncio

from edgewire.message import Identity, identity
from standin.amqp_claims import Claims
from support.hub_line import Clock

A = identity("a")
B = identity("b")


class Watched:
    """Claims whose clock the test sets, and what has expired."""

    def __init__(self) -> None:
        self.clock = Clock(1_000.0)
        self.expired: list[Identity] = []
        self.over = asyncio.Event()
        self.claims: Claims[Identity] = Claims(clock=self.clock, on_expired=self._on_expired)

    def _on_expired(self, who: Identity) -> None:
        self.expired.append(who)
        self.over.set()

    async def until_expired(self) -> list[Identity]:
        async with asyncio.timeout(30):
            await self.over.wait()
        return self.expired


async def test_a_claim_counts_until_it_is_withdrawn() -> None:
    watched = Watched()
    watched.claims.grant(A, None)
    watched.claims.grant(B, 2_000.0)
    assert (A in watched.claims, B in watched.claims) == (True, True)
    watched.claims.withdraw(A)
    watched.claims.withdraw(A)
    assert (A in watched.claims, B in watched.claims) == (False, True)
    watched.claims.clear()
    assert B not in watched.claims
    assert watched.expired == []


async def test_a_claim_ends_with_its_time_and_says_so_once() -> None:
    watched = Watched()
    watched.claims.grant(A, 1_000.01)
    watched.clock.now = 1_000.02
    assert await watched.until_expired() == [A]
    assert A not in watched.claims


async def test_a_timer_that_comes_early_looks_again() -> None:
    watched = Watched()
    watched.claims.grant(A, 1_000.001)
    await asyncio.sleep(0.005)  # the clock that counts stands still meanwhile
    assert A in watched.claims
    watched.clock.now = 1_000.001
    assert await watched.until_expired() == [A]


async def test_a_newer_claim_takes_the_place_of_the_older() -> None:
    watched = Watched()
    watched.claims.grant(A, 1_000.001)
    watched.claims.grant(A, 9_000.0)
    watched.clock.now = 1_001.0
    await asyncio.sleep(0.01)  # longer than the first would have lasted
    assert A in watched.claims
    assert watched.expired == []
    watched.claims.clear()


async def test_what_has_expired_already_is_no_claim() -> None:
    watched = Watched()
    watched.claims.grant(A, 999.0)
    assert A not in watched.claims
    assert watched.expired == [A]
