import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.performatives import Error
from edgewire.iothub import sas
from edgewire.message import Identity, identity
from edgewire.session.amqp.limits import AmqpLimits
from gateway.identity.tokens import Token
from gateway.identity.vouching import Vouching
from gateway.upstream.amqp_voucher import AmqpVoucher
from support.amqp_hub import FakeHub, unreachable

LIMIT_S = 10.0
D1 = identity("d1")


class Asking:
    def __init__(self, hub: FakeHub, answer_s: float, idle_s: float, rest_s: float) -> None:
        self.hub = hub
        self.voucher = AmqpVoucher(
            hostname="hub.example",
            dial=hub.dial,
            name_of=lambda who: sas.resource_of("hub.example", who),
            limits=AmqpLimits(),
            answer_s=answer_s,
            idle_s=idle_s,
            rest_s=rest_s,
        )

    def ask(self, who: Identity = D1) -> asyncio.Future[Vouching]:
        end = 1_900_000_000
        token = Token(sas.make(sas.resource_of("hub.example", who), b"k" * 32, end), float(end))
        future: asyncio.Future[Vouching] = asyncio.get_running_loop().create_future()
        self.voucher.ask(who, token, future.set_result)
        return future

    async def answer(self, who: Identity = D1) -> Vouching:
        return await asyncio.wait_for(self.ask(who), LIMIT_S)


@asynccontextmanager
async def asking(
    hub: FakeHub, *, answer_s: float = 60.0, idle_s: float = 60.0, rest_s: float = 60.0
) -> AsyncIterator[Asking]:
    made = Asking(hub, answer_s, idle_s, rest_s)
    running = asyncio.create_task(made.voucher.run())
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.parametrize(
    ("refused", "status", "said"),
    [
        (None, 200, Vouching.GOOD),
        (None, 401, Vouching.REFUSED),
        (None, 500, Vouching.AWAY),
        (conditions.UNAUTHORIZED_ACCESS, 200, Vouching.REFUSED),
        (conditions.NOT_FOUND, 200, Vouching.REFUSED),
        (conditions.INTERNAL_ERROR, 200, Vouching.AWAY),
    ],
)
async def test_the_hub_is_asked_by_token_and_link(refused: str | None, status: int, said: Vouching) -> None:
    hub = FakeHub(token_status={"d1": status})
    if refused is not None:
        hub.refused["d1"] = Error(condition=refused)
    async with asking(hub) as here:
        assert await here.answer() is said
        assert await here.answer(identity("d2")) is Vouching.GOOD
        assert len(hub.connections) == 1


async def test_a_device_is_asked_about_once_per_connection() -> None:
    hub = FakeHub()
    async with asking(hub) as here:
        answers = [here.ask(), here.ask(identity("d1", "m1")), here.ask(identity("d2"))]
        assert await asyncio.wait_for(asyncio.gather(*answers), LIMIT_S) == [Vouching.GOOD] * 3
        assert len(hub.connections) == 2
        assert await here.answer() is Vouching.GOOD
        assert len(hub.connections) == 3


async def test_an_idle_connection_is_closed_and_made_anew_when_needed() -> None:
    hub = FakeHub()
    async with asking(hub, idle_s=0.02) as here:
        assert await here.answer() is Vouching.GOOD
        await asyncio.wait_for(hub.connection.closed.wait(), LIMIT_S)
        assert await here.answer(identity("d2")) is Vouching.GOOD
        assert len(hub.connections) == 2


async def test_while_the_hub_is_away_the_answer_is_away_and_it_is_tried_again_later() -> None:
    hub = FakeHub(faults=[unreachable()])
    async with asking(hub, rest_s=60.0) as here:
        assert await here.answer() is Vouching.AWAY
        assert await here.answer() is Vouching.AWAY
        assert hub.connections == []
        now = asyncio.get_running_loop().time()
        assert now < here.voucher._rests_until <= now + 60.0
        here.voucher._rests_until = now  # it has rested
        assert await here.answer() is Vouching.GOOD


async def test_a_hub_that_says_nothing_is_away() -> None:
    hub = FakeHub(silent_tokens=True)
    async with asking(hub, answer_s=0.05) as here:
        assert await here.answer() is Vouching.AWAY


async def test_a_connection_that_is_lost_answers_away() -> None:
    hub = FakeHub(silent_tokens=True)
    async with asking(hub) as here:
        answer = here.ask()
        async with asyncio.timeout(LIMIT_S):
            while not hub.tokens:  # noqa: ASYNC110 - the hub tells nobody
                await asyncio.sleep(0.001)
        hub.drop()
        assert await asyncio.wait_for(answer, LIMIT_S) is Vouching.AWAY
        hub.silent_tokens = False
        assert await here.answer() is Vouching.GOOD


async def test_the_end_answers_who_waits_and_nobody_is_asked_after_it() -> None:
    hub = FakeHub(silent_tokens=True)
    async with asking(hub) as here:
        answer = here.ask()
    assert await asyncio.wait_for(answer, LIMIT_S) is Vouching.AWAY
    assert await here.answer() is Vouching.AWAY
