import asyncio
import json

import pytest

from edgewire.iothub.amqp.addresses import Purpose
from edgewire.iothub.amqp.methods import MethodAnswer
from edgewire.message import Identity
from gateway.dispatch.methods import MAX_CALLS_PER_DEVICE
from gateway.observe.upstream import BackKind, UnreadableFromCloud
from gateway.upstream.amqp_back_methods import MethodStrand
from support.amqp_back_world import D1, BackWorld, Device, back_world


async def calling(here: BackWorld, who: Identity = D1) -> Device:
    """A device that takes calls."""
    device = Device()
    here.methods.subscribe(who, device)
    await here.until(lambda: here.hub.back.is_attached(who, Purpose.METHODS))
    return device


def said(answer: MethodAnswer) -> str:
    """What an answer of ours says to a person."""
    return str(json.loads(answer.payload)["message"])


async def test_a_call_goes_to_the_device_and_its_answer_back() -> None:
    async with back_world() as here:
        device = await calling(here)
        rid = here.hub.back.call(D1, "blink", b'{"times":3}')
        await here.until(lambda: device.calls)
        [(ours, name, payload)] = device.calls
        assert (name, payload) == ("blink", b'{"times":3}')
        here.methods.answered(D1, ours, 207, b'{"done":true}')
        await here.until(lambda: here.hub.back.answers)
        assert here.hub.back.answers == [(D1, MethodAnswer(rid=str(rid), status=207, payload=b'{"done":true}'))]


async def test_the_two_links_of_a_device_name_one_channel() -> None:
    async with back_world() as here:
        await calling(here)
        one, two = here.hub.back.pairs[D1, Purpose.METHODS]
        assert one == two
        assert one.startswith("methods:")


async def test_calls_of_one_device_are_answered_in_any_order() -> None:
    async with back_world() as here:
        device = await calling(here)
        rids = [str(here.hub.back.call(D1, f"m{number}")) for number in range(3)]
        await here.until(lambda: len(device.calls) == 3)
        for number in (2, 0, 1):
            here.methods.answered(D1, device.calls[number][0], number, b"")
        await here.until(lambda: len(here.hub.back.answers) == 3)
        assert [(answer.rid, answer.status) for _, answer in here.hub.back.answers] == [
            (rids[2], 2),
            (rids[0], 0),
            (rids[1], 1),
        ]


async def test_a_device_that_does_not_answer_costs_its_caller_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_back_methods.CALL_S", 5.0)
    monkeypatch.setattr("gateway.dispatch.methods.MIN_RESPONSE_TIMEOUT_S", 0.01)
    async with back_world() as here:
        monkeypatch.setattr("gateway.upstream.amqp_back_methods.CALL_S", 0.05)
        device = await calling(here)
        here.hub.back.call(D1, "sleep")
        await here.until(lambda: here.hub.back.answers)
        [(_, answer)] = here.hub.back.answers
        assert answer.status == 504
        assert "did not answer" in said(answer)
        here.methods.answered(D1, device.calls[0][0], 200, b"")
        await asyncio.sleep(0.02)
        assert len(here.hub.back.answers) == 1


async def test_a_device_that_takes_no_call_now_is_told_at_once() -> None:
    async with back_world() as here:
        device = await calling(here)
        device.takes_calls = False
        here.hub.back.call(D1, "blink")
        await here.until(lambda: here.hub.back.answers)
        assert here.hub.back.answers[0][1].status == 404


async def test_more_calls_than_a_device_may_have_are_told_so_at_once() -> None:
    async with back_world() as here:
        device = await calling(here)
        for _ in range(MAX_CALLS_PER_DEVICE + 3):
            here.hub.back.call(D1, "blink")
        await here.until(lambda: len(here.hub.back.answers) == 3)
        assert {answer.status for _, answer in here.hub.back.answers} == {429}
        assert len(device.calls) == MAX_CALLS_PER_DEVICE


async def test_an_answer_after_the_connection_went_goes_nowhere_and_nothing_is_called_again() -> None:
    async with back_world() as here:
        device = await calling(here)
        here.hub.back.call(D1, "blink")
        await here.until(lambda: device.calls)
        here.hub.drop()
        await here.until(lambda: len(here.hub.connections) == 2)
        await here.until(lambda: here.hub.back.is_attached(D1, Purpose.METHODS))
        here.methods.answered(D1, device.calls[0][0], 200, b"")
        await asyncio.sleep(0.02)
        assert here.hub.back.answers == []
        assert len(device.calls) == 1


async def test_who_takes_no_calls_any_more_has_no_links() -> None:
    async with back_world() as here:
        device = await calling(here)
        here.methods.unsubscribe(D1, device)
        await here.until(lambda: here.proxy.devices == 0)
        await here.until(lambda: not here.hub.back.is_attached(D1, Purpose.METHODS))


async def test_a_device_that_answers_and_is_gone_has_answered() -> None:
    async with back_world() as here:
        device = await calling(here)
        strand = here.back.find(D1, BackKind.METHODS)
        assert isinstance(strand, MethodStrand)
        for _ in range(2):
            here.hub.back.call(D1, "blink")
        await here.until(lambda: len(device.calls) == 2)
        here.methods.answered(D1, device.calls[0][0], 200, b"1")
        here.methods.unsubscribe(D1, device)
        await here.until(lambda: here.hub.back.answers)
        here.hub.back.call(D1, "blink")
        await here.until(lambda: len(here.hub.back.answers) == 2)
        assert [answer.status for _, answer in here.hub.back.answers] == [200, 404]
        leaving = strand.leaving
        assert leaving is not None
        here.methods.subscribe(D1, device)
        assert leaving.cancelled()
        assert here.hub.back.is_attached(D1, Purpose.METHODS)
        here.methods.unsubscribe(D1, device)
        here.methods.answered(D1, device.calls[1][0], 200, b"2")
        await here.until(lambda: len(here.hub.back.answers) == 3)
        await here.until(lambda: here.proxy.devices == 0)


async def test_links_are_not_kept_for_answers_that_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_back_methods.LINGER_S", 0.05)
    async with back_world() as here:
        device = await calling(here)
        here.hub.back.call(D1, "blink")
        await here.until(lambda: device.calls)
        here.methods.unsubscribe(D1, device)
        await here.until(lambda: here.proxy.devices == 0)
        here.methods.answered(D1, device.calls[0][0], 200, b"")
        await asyncio.sleep(0.02)
        assert here.hub.back.answers == []


async def test_a_call_that_cannot_be_read_is_told_and_the_next_is_taken() -> None:
    async with back_world() as here:
        device = await calling(here)
        here.hub.back._send(D1, Purpose.METHODS, b"\x00Su\xa0\x01x")
        here.hub.back.call(D1, "blink")
        await here.until(lambda: device.calls)
        [told] = here.seen(UnreadableFromCloud)
        assert (told.kind, told.device) == (BackKind.METHODS, "d1")


async def test_answers_wait_for_credit() -> None:
    async with back_world() as here:
        here.hub.back.credit = 1
        device = await calling(here)
        for _ in range(5):
            here.hub.back.call(D1, "blink")
        await here.until(lambda: len(device.calls) == 5)
        for rid, *_ in device.calls:
            here.methods.answered(D1, rid, 200, b"")
        await here.until(lambda: len(here.hub.back.answers) == 5)


async def test_an_answer_larger_than_the_other_end_takes_is_told_to_the_caller() -> None:
    async with back_world() as here:
        here.hub.back.max_message_size = 1_000
        device = await calling(here)
        here.hub.back.call(D1, "dump")
        await here.until(lambda: device.calls)
        here.methods.answered(D1, device.calls[0][0], 200, b"x" * 1_000)
        await here.until(lambda: here.hub.back.answers)
        [(_, answer)] = here.hub.back.answers
        assert answer.status == 500
        assert "the other end takes 1000" in said(answer)
