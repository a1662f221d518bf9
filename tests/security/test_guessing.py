"""Guessing: slowed down, told nothing by, and never in the way of who knows."""

import asyncio

from support.gateway_site import KEY, GatewaySite
from support.process_watch import watched
from support.raw_mqtt import Hello
from support.raw_peer import RawPeer

GUESSES = 150
ANSWERED_AT_ONCE = 10  # gateway.identity.limiter.PAIR_BURST
LONGEST_HOLD_S = 5.0
GOOD_LOGIN_S = 5.0
SOURCE = "127.95.0.1"
WRONG_KEY = b"x" * len(KEY)


async def guess(site: GatewaySite, device: str, key: bytes, source: str = SOURCE) -> tuple[int, float]:
    """The code, and how long it took to come."""
    peer = await RawPeer.dial(site, source=source)
    began_at = asyncio.get_running_loop().time()
    peer.send(Hello(client_id=device, username=site.username(device), password=site.token(device, key=key)).wire)
    code = await peer.connack()
    peer.abort()
    return code, asyncio.get_running_loop().time() - began_at


async def test_hundreds_of_guesses_are_held_back_while_the_right_key_opens_at_once(site: GatewaySite) -> None:
    await site.gateway.start()
    found: list[tuple[int, float]] = []

    async def guess_once() -> None:
        found.append(await guess(site, "d1", WRONG_KEY))

    async with watched(site), asyncio.TaskGroup() as tasks:
        for _ in range(GUESSES):
            tasks.create_task(guess_once())
        await asyncio.sleep(1)
        code, took_s = await guess(site, "d1", KEY)
    assert code == 0
    assert took_s < GOOD_LOGIN_S
    assert {code for code, _ in found} == {5}
    at_once = [took_s for _, took_s in found if took_s < 0.5]
    # The device's own login forgives what failed from its address before: so many may come again.
    assert len(at_once) <= 2 * ANSWERED_AT_ONCE + 1
    assert max(took_s for _, took_s in found) < LONGEST_HOLD_S + GOOD_LOGIN_S


async def test_a_device_that_nobody_knows_looks_like_one_with_another_key(site: GatewaySite) -> None:
    await site.gateway.start()
    known: list[float] = []
    unknown: list[float] = []
    for number in range(60):
        for device, times in (("d1", known), (f"nobody-{number}", unknown)):
            code, took_s = await guess(site, device, WRONG_KEY, f"127.95.{number + 1}.1")
            assert code == 5
            times.append(took_s)
    middle = len(known) // 2
    assert 0.5 < sorted(known)[middle] / sorted(unknown)[middle] < 2
