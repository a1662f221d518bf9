import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from edgewire.message import Identity, identity
from gateway.app.control import QuestionError
from gateway.app.questions import answerers
from gateway.dispatch.methods import Methods
from gateway.dispatch.presence import Ending, Presence
from gateway.observe.events import Event


class Device:
    """Takes calls and answers them at once, unless told to be silent."""

    def __init__(self, methods: Methods, who: Identity, answer: bytes | None) -> None:
        self._methods = methods
        self._who = who
        self._answer = answer
        self.calls: list[tuple[str, bytes]] = []

    def call(self, rid: str, name: str, payload: bytes) -> bool:
        self.calls.append((name, payload))
        if self._answer is not None:
            self._methods.answered(self._who, rid, 200, self._answer)
        return True

    def end(self, why: Ending) -> None:
        """Nobody says goodbye."""

    def judge_again(self) -> None:
        """No token."""


class House:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.methods = Methods(self.events.append)
        self.presence = Presence()
        self.answerers = answerers(methods=self.methods, presence=self.presence, status=lambda: {"devices": 0})

    def add(self, who: Identity, answer: bytes | None = b"null") -> Device:
        device = Device(self.methods, who, answer)
        self.methods.subscribe(who, device)
        self.presence.enter(who, device)
        return device

    async def ask(self, what: str, **question: Any) -> Mapping[str, Any]:
        return await self.answerers[what]({"ask": what, **question})


async def test_the_status_is_what_the_gateway_says_of_itself() -> None:
    assert await House().ask("status") == {"devices": 0}


async def test_who_is_connected_is_told_by_name() -> None:
    house = House()
    house.add(identity("d2"))
    house.add(identity("d1", "m"))
    assert await house.ask("connected") == {"connected": ["d1/m", "d2"]}


@pytest.mark.parametrize(
    ("answer", "payload"), [(b'{"led":"on"}', {"led": "on"}), (b"", None), (b"not json", "not json"), (b"\xff", "�")]
)
async def test_a_method_is_called_and_its_answer_given(answer: bytes, payload: Any) -> None:
    house = House()
    device = house.add(identity("d1"), answer)
    assert await house.ask("method", device="d1", method="blink", payload={"n": 3}) == {
        "status": 200,
        "payload": payload,
    }
    assert device.calls == [("blink", b'{"n":3}')]


async def test_a_module_is_called_by_its_device_and_its_name() -> None:
    house = House()
    house.add(identity("d1", "m1"))
    assert (await house.ask("method", device="d1", module="m1", method="ping"))["status"] == 200


async def test_a_device_that_is_not_here_is_waited_for_as_long_as_is_asked() -> None:
    house = House()
    with pytest.raises(QuestionError, match="not connected here") as refused:
        await house.ask("method", device="d1", method="blink")
    assert refused.value.status == 404
    asking = asyncio.ensure_future(house.ask("method", device="d1", method="blink", connectTimeoutSecs=60))
    await asyncio.sleep(0)
    house.add(identity("d1"))
    assert (await asking)["status"] == 200


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({}, "names no device"),
        ({"device": ""}, "no id of a device"),
        ({"device": 7}, "no id of a device"),
        ({"device": "a/b"}, "no id of a device"),
        ({"device": "d1", "module": "\n"}, "no id of a device"),
        ({"device": "d1", "method": "blink", "timeoutSecs": "soon"}, "timeoutSecs is 'soon'"),
        ({"device": "d1", "method": "blink", "timeoutSecs": True}, "timeoutSecs is True"),
        ({"device": "d1", "method": "blink", "timeoutSecs": 1e9}, "300"),
        ({"device": "d1", "method": "blink", "connectTimeoutSecs": -1}, "300"),
        ({"device": "d1"}, "100"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused_in_words(question: dict[str, Any], words: str) -> None:
    house = House()
    house.add(identity("d1"))
    with pytest.raises(QuestionError, match=words) as refused:
        await house.ask("method", **question)
    assert refused.value.status == 400


async def test_the_latest_events_are_told_as_many_as_asked() -> None:
    house = House()
    asked: list[int] = []

    def events(count: int) -> list[dict[str, str]]:
        asked.append(count)
        return [{"event": "GatewayStarted"}]

    answers = answerers(methods=house.methods, presence=house.presence, status=dict, events=events)
    assert await answers["events"]({"ask": "events"}) == {"events": [{"event": "GatewayStarted"}]}
    await answers["events"]({"ask": "events", "last": 3})
    assert asked == [200, 3]
    with pytest.raises(QuestionError, match="last is 'all': it must be a number"):
        await answers["events"]({"ask": "events", "last": "all"})
    assert await house.ask("events") == {"events": []}
