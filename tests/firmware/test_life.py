"""The life of a board: its firmware as shipped, its heap, real TLS to a real gateway, the stand-in behind."""

import json
import sys
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from edgewire.iothub import sas
from gateway.identity.registry import FILE_NAME, Registry
from support.board_life import (
    NAME,
    WHO,
    call,
    claim,
    firmware,
    key_of_board,
    more_readings,
    readings,
    set_up,
    start,
    switch,
    told,
)
from support.gateway_site import GatewaySite, until
from support.leaf_board import LeafBoard

LEAST_FREE: Final = {"tls": 6_000, "gateway": 2_500}
"""Bytes of heap that must be free, swept, after the handshake and in a session. On a board both are larger by what the
doubles of its hardware take here, and smaller by nothing: see HEAP."""

pytestmark = pytest.mark.timeout(300)


async def test_a_blank_board_becomes_one_that_sends_listens_and_answers(site: GatewaySite, board: LeafBoard) -> None:
    await start(site)
    await set_up(site, board)
    await more_readings(site)
    first = site.hub.events.read()[0]
    assert (first.system["contentType"], first.system["contentEncoding"]) == ("application/json", "utf-8")
    body = json.loads(first.body)
    assert {key: body[key] for key in ("messageType", "temperature", "battery")} == {
        "messageType": "telemetry",
        "temperature": 21.5,
        "battery": 57,
    }

    await switch(site, board, on=True)
    await switch(site, board, on=False)

    status, found = await call(site, "status")
    assert status == 200
    assert (found["reset"], found["led"], found["sessions"], found["joins"]) == ("power", False, 1, 1)
    assert (await call(site, "blink", {"seconds": 1})) == (200, {"seconds": 1})
    assert (await call(site, "blink", {"seconds": 0})) == (400, {"error": "seconds"})
    assert (await call(site, "dance"))[0] == 404
    assert (await call(site, "update", {}))[0] == 400

    site.hub.set_desired(WHO, {"interval": 0.3})
    await until(lambda: site.hub.reported(WHO).get("interval") == 0.3)
    site.hub.set_desired(WHO, {"interval": -1})
    await more_readings(site, 3)
    reported = site.hub.reported(WHO)
    assert reported["interval"] == 0.3
    assert reported["signal"] == -60
    assert reported["drops"] == 0
    assert reported["reset"] == "power"
    assert reported["firmware"]["state"] == "running"
    assert reported["memory"]["lowest"] <= reported["memory"]["free"]

    heap = board.heap()
    sys.stdout.write(f"\nfree heap of 32,000: {heap}, lowest {found['lowest']}\n")
    assert all(heap[phase] >= least for phase, least in LEAST_FREE.items()), heap
    assert "Traceback" not in board.transcript()


async def test_links_end_and_come_back_and_nothing_acknowledged_is_lost(site: GatewaySite, board: LeafBoard) -> None:
    await start(site, tokenLife=10)
    await set_up(site, board)
    await more_readings(site)

    at = await board.said("LEAF renew")  # at 80 % of the token's life, by a new session
    at = await board.said("LEAF gateway", after=at)
    await switch(site, board, on=True)

    board.world.networks = 0b10  # the network it is in is gone, the other is heard
    at = await board.said("LEAF wifi", after=at)  # "lost" comes before it, but not where a session was just renewed
    at = await board.said("LEAF gateway", after=at)
    assert (await call(site, "status"))[1]["signal"] == -61

    await site.gateway.kill()
    at = await board.said("LEAF lost", after=at)
    await site.gateway.start()
    at = await board.said("LEAF gateway", after=at, patience_s=60)
    await more_readings(site)
    await switch(site, board, on=False)

    status, found = await call(site, "status")
    assert status == 200
    numbers = sorted({reading["n"] for reading in readings(site)})
    missing = numbers[-1] - len(numbers)
    assert missing <= found["drops"]["readings"], "a reading was lost and not counted"
    assert "Traceback" not in board.transcript()


async def test_a_board_that_nobody_knows_any_more_asks_who_it_is(site: GatewaySite, board: LeafBoard) -> None:
    await start(site)
    await set_up(site, board, "--boards", "3", "--id", NAME)
    await more_readings(site)
    before = key_of_board(site)
    at = len(board.lines)
    site.hub.hub.remove(WHO)  # or the gateway would ask the hub and believe it
    removed = await site.command("devices", "remove", NAME)
    assert removed.code == 0, removed.error
    at = await board.said("LEAF refused 5", after=at)
    at = await board.said("LEAF identity", after=at, patience_s=60)
    assert key_of_board(site) != before
    site.hub.add_device(NAME, keys=(sas.encode_key(key_of_board(site)),))
    await board.said("LEAF gateway", after=at)
    await more_readings(site)


async def test_a_gateway_below_another_root_gets_nothing_from_a_board_that_knows_its_own(
    site: GatewaySite, board: LeafBoard
) -> None:
    await start(site)
    board.start()
    await board.said("SETUP?")
    modulus = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n
    await board.say(told(site, await claim(site), root={"n": f"{modulus:x}", "e": 65537}))
    await board.said("LEAF certificate issuer")
    assert not (site.data / FILE_NAME).exists() or Registry(site.data / FILE_NAME).find(WHO) is None


async def test_a_wrong_code_gets_no_identity_and_the_right_one_of_a_later_set_up_does(
    site: GatewaySite, board: LeafBoard
) -> None:
    await start(site)
    board.start()
    await board.said("SETUP?")
    await board.say({"wifi": []})
    await board.said("SETUP? wifi")
    await board.say(told(site, "ABCD-EFGH-JKLM"))
    await board.said("LEAF contact 401")
    assert "LEAF identity" not in board.transcript()


async def test_a_board_restarts_when_it_is_told_to_and_says_why(site: GatewaySite, board: LeafBoard) -> None:
    await start(site)
    await set_up(site, board)
    await more_readings(site)
    assert await call(site, "reboot") == (200, {"accepted": True})
    at = await board.said("RESET")
    await board.said("LEAF gateway", after=at)
    await until(lambda: site.hub.reported(WHO).get("reset") == "soft")


async def test_an_update_is_ordered_and_left_to_the_next_start(site: GatewaySite, board: LeafBoard) -> None:
    await start(site)
    await set_up(site, board)
    order = {"version": "1.0.1", "manifest": "/firmware/v1/manifests/nodemcu/1.0.1"}
    assert await call(site, "update", order) == (200, {"accepted": True})
    at = await board.said("RESET")
    await board.said("LEAF gateway", after=at)
    await firmware(site, state="updating")


async def test_a_sleeper_sends_and_sleeps_and_keeps_its_identity(site: GatewaySite, board: LeafBoard) -> None:
    await start(site)
    await set_up(site, board, sleep=60)
    at = await board.said("ASLEEP")
    at = await board.said("ASLEEP", after=at)
    await until(lambda: len(readings(site)) >= 2)  # the gateway has them; they go upstream in their own time
    await until(lambda: site.hub.reported(WHO).get("reset") == "sleep")


async def test_without_a_time_that_can_be_nothing_is_trusted(site: GatewaySite, board: LeafBoard) -> None:
    await start(site)
    board.world.set_ntp_off(-60 * 60 * 24 * 365 * 5)  # both hosts are five years back
    await set_up(site, board)  # the answer at first contact is proven, and brings the time
    await more_readings(site)
    assert all(reading["at"] > 1_735_689_600 for reading in readings(site))


async def test_without_ntp_the_gateway_tells_the_time_to_a_board_whose_power_was_away(
    site: GatewaySite, board: LeafBoard
) -> None:
    await start(site)
    board.world.time_hosts = 0
    await set_up(site, board)  # first contact brings the time
    assert "LEAF time" not in board.transcript()
    await board.stop()
    board.world.cut_power()
    at = len(board.lines)
    board.start()
    at = await board.said("LEAF time", after=at)
    await board.said("LEAF gateway", after=at)
    await more_readings(site)
    assert all(reading["at"] > 1_735_689_600 for reading in readings(site))


async def test_the_heap_is_as_free_after_many_sessions_as_after_the_first(site: GatewaySite, board: LeafBoard) -> None:
    await start(site)
    await set_up(site, board)
    first = board.heap()
    at = len(board.lines)
    for number in range(8):
        board.world.networks = 0b10 if number % 2 == 0 else 0b01
        at = await board.said("LEAF lost wifi", after=at)
        at = await board.said("LEAF gateway", after=at)
        await more_readings(site)
    last = board.heap()
    assert board.starts == 1
    assert all(last[phase] >= first[phase] - 200 for phase in ("tls", "gateway")), (first, last)
