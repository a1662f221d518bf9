import asyncio
from typing import Any

import pytest

from gateway.observe.events import Event
from gateway.observe.upstream import MethodCalled, MethodResult
from gateway.upstream.methods import MethodError, ModuleMethods
from gateway.upstream.proxy import MethodReply


class Scene:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.methods = ModuleMethods(
            status=lambda: {"connections": 3},
            emit=self.events.append,
            more={"slow": self.slow, "broken": self.broken, "picky": self.picky, "big": self.big, "odd": self.odd},
        )

    async def slow(self, payload: Any) -> MethodReply:
        await asyncio.sleep(0)
        return MethodReply(202, payload)

    def broken(self, _payload: Any) -> MethodReply:
        raise KeyError("x")

    def picky(self, payload: Any) -> MethodReply:
        raise MethodError(f"'count' must be a number, not {payload!r}")

    def big(self, _payload: Any) -> MethodReply:
        return MethodReply(200, "x" * 200_000)

    def odd(self, _payload: Any) -> MethodReply:
        return MethodReply(200, {1, 2})


@pytest.mark.parametrize("payload", [None, 1, "x", [1, {"a": None}], {"a": 1}])
async def test_ping_gives_back_its_payload(payload: Any) -> None:
    assert await Scene().methods.call("ping", payload) == MethodReply(200, payload)


@pytest.mark.parametrize("payload", [None, {}])
async def test_get_status_gives_what_the_wiring_says(payload: Any) -> None:
    assert await Scene().methods.call("getStatus", payload) == MethodReply(200, {"connections": 3})


async def test_names_count_in_any_case() -> None:
    assert (await Scene().methods.call("GETSTATUS", None)).status == 200


@pytest.mark.parametrize(
    ("name", "payload", "status", "says"),
    [
        ("getStatus", {"x": 1}, 400, "getStatus takes no payload"),
        ("picky", "three", 400, "'count' must be a number, not 'three'"),
        ("getStatsu", None, 404, "no method 'getStatsu'; did you mean 'getStatus'?"),
        ("reboot", None, 404, "the gateway has no method 'reboot'"),
        ("broken", None, 500, "'broken' failed in the gateway: KeyError"),
        ("big", None, 500, "at most 131072"),
        ("odd", None, 500, "not JSON"),
    ],
)
async def test_a_refusal_says_what_to_do(name: str, payload: Any, status: int, says: str) -> None:
    reply = await Scene().methods.call(name, payload)

    assert reply.status == status
    assert says in reply.payload["message"]


async def test_an_unknown_method_is_answered_with_the_known_ones() -> None:
    reply = await Scene().methods.call("reboot", None)

    assert {"ping", "getStatus"} <= set(reply.payload["methods"])


async def test_methods_may_take_their_time() -> None:
    assert await Scene().methods.call("slow", 7) == MethodReply(202, 7)


@pytest.mark.parametrize(
    ("name", "result"),
    [("ping", MethodResult.DONE), ("nope", MethodResult.REFUSED), ("broken", MethodResult.FAILED)],
)
async def test_every_call_is_counted_by_its_result(name: str, result: MethodResult) -> None:
    scene = Scene()

    await scene.methods.call(name, None)

    [event] = scene.events
    assert isinstance(event, MethodCalled)
    assert event.result is result
    assert name in event.sentence()


async def hang(payload: Any) -> MethodReply:
    await asyncio.Event().wait()
    return MethodReply(200, payload)


async def test_a_method_that_is_cut_off_is_counted_too() -> None:
    events: list[Event] = []
    methods = ModuleMethods(status=dict, emit=events.append, more={"hang": hang})

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await methods.call("hang", None)

    assert events == [MethodCalled(MethodResult.FAILED, "hang", 504)]
