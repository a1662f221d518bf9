"""What is heard goes to the disk in lots, and is settled then; what is known already goes nowhere."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.dispatch.echoes import VIA, Echoes
from gateway.dispatch.mapped import KEPT, UNMATCHED, Answer, Publication, Taken
from gateway.head import foreign
from gateway.head.foreign import ForeignBroker
from gateway.head.foreign_dialing import BrokerSettings
from gateway.head.foreign_session import Heard
from gateway.observe.events import Event
from gateway.observe.foreign import (
    BrokerHeardNothingWanted,
    BrokerLoopCut,
    BrokerMessagesKnown,
    BrokerMessagesReceived,
    KnownMessage,
)
from gateway.observe.topics import RefusedPublication
from support.gateway_site import until

FULL = Taken(refusal=RefusedPublication.STORE_FULL)


class Intake:
    """Topic rules and store, answering when a test says so."""

    def __init__(self) -> None:
        self.lots: list[Sequence[Publication]] = []
        self.answers: list[Answer] = []

    def accept(self, listener: str, publications: Sequence[Publication], answer: Answer) -> None:
        assert listener == "broker"
        self.lots.append(publications)
        self.answers.append(answer)

    def answer(self, taken: Taken = KEPT) -> None:
        self.answers.pop(0)([taken] * len(self.lots[-1]))


class Link:
    """The thread's end."""

    state = ("connected", "", 0.0)
    unanswered = 3

    def __init__(self) -> None:
        self.settled: list[Heard] = []
        self.wanted: list[tuple[str, ...]] = []

    def settle(self, settled: Sequence[Heard]) -> None:
        self.settled += settled

    def want(self, filters: tuple[str, ...]) -> None:
        self.wanted.append(filters)


class House:
    """A client whose thread and store are a test's."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.intake, self.link, self.echoes = Intake(), Link(), Echoes()
        self.events: list[Event] = []
        self.broker = ForeignBroker(
            BrokerSettings(host="b", port=1, is_tls=False, client_id="gw", **settings),  # type: ignore[arg-type] # texts alone
            intake=self.intake,  # type: ignore[arg-type] # answers as it does
            echoes=self.echoes,
            gateway="gw1",
            folder=folder,
            emit=self.events.append,
        )
        self.broker._link = self.link  # type: ignore[assignment] # as above

    def hear(self, *payloads: bytes, retain: bool = False, via: str = "") -> list[Heard]:
        properties = ((VIA, via),) if via else ()
        heard = [
            Heard(Publication(topic="t", payload=payload, qos=1, retain=retain, user_properties=properties), number)
            for number, payload in enumerate(payloads, 1)
        ]
        self.broker.on_heard(heard, 0)
        return heard

    def known(self) -> dict[KnownMessage, int]:
        self.broker.report()
        return {event.why: event.count for event in self.events if isinstance(event, BrokerMessagesKnown)}


@pytest.fixture
async def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_what_is_on_disk_is_settled(house: House) -> None:
    heard = house.hear(b"1", b"2")
    assert house.link.settled == []
    house.intake.answer()
    assert house.link.settled == heard
    house.broker.report()
    assert BrokerMessagesReceived(2) in house.events


@pytest.mark.parametrize("taken", [UNMATCHED, Taken(refusal=RefusedPublication.ILLEGAL_ID)])
async def test_what_will_never_be_taken_is_settled_too(house: House, taken: Taken) -> None:
    """The broker would send it again for ever; the topic rules count it and say so."""
    heard = house.hear(b"1")
    house.intake.answer(taken)
    assert house.link.settled == heard


async def test_while_one_lot_waits_the_next_gathers(house: House) -> None:
    house.hear(b"1")
    house.hear(b"2")
    house.hear(b"3")
    assert len(house.intake.lots) == 1
    house.intake.answer()
    await until(lambda: len(house.intake.lots) == 2)
    assert [one.payload for one in house.intake.lots[1]] == [b"2", b"3"]


async def test_a_full_store_is_asked_with_less_until_it_takes_some(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "FULL_REST_S", 0.01)
    heard = house.hear(*[bytes([number]) for number in range(8)])
    sizes = []
    for taken in (FULL, FULL, FULL, FULL, FULL, KEPT, KEPT, KEPT, KEPT):
        count = len(house.intake.lots)
        sizes.append(len(house.intake.lots[-1]))
        house.intake.answer(taken)
        if house.link.settled != heard:
            await until(lambda count=count: len(house.intake.lots) > count)  # type: ignore[misc] # mypy sees no type for a default
    assert sizes == [8, 4, 2, 1, 1, 1, 2, 4, 1]
    assert house.link.settled == heard


async def test_a_full_store_is_said_in_the_status(house: House) -> None:
    house.hear(b"1")
    house.intake.answer(FULL)
    status = house.broker.status()
    assert "the store is full" in status["sentence"]
    assert (status["broker"], status["waiting"]) == ("b:1", 3)
    house.hear(b"2")
    assert len(house.intake.lots) == 1
    resting = house.broker._resting
    assert resting is not None
    resting.cancel()


async def test_what_comes_round_is_settled_and_goes_nowhere(house: House) -> None:
    # Sent ahead of now: a test that is held up here for a second must not be too late.
    house.echoes.sent("bridge", "t", b"1", asyncio.get_running_loop().time() + 60)
    heard = house.hear(b"1")
    assert house.link.settled == heard
    heard += house.hear(b"2", via="gw1;gw2")
    assert house.link.settled == heard
    assert house.intake.lots == []
    assert house.known() == {KnownMessage.ECHO: 2}
    assert [event for event in house.events if isinstance(event, BrokerLoopCut)] == [BrokerLoopCut("t")]


async def test_what_another_gateway_has_sent_on_is_taken(house: House) -> None:
    house.hear(b"2", via="gw2")
    assert len(house.intake.lots) == 1


async def test_retained_repeats_are_settled_and_go_nowhere(house: House) -> None:
    house.hear(b"on", retain=True)
    house.intake.answer()
    house.hear(b"on", retain=True)
    assert len(house.link.settled) == 2
    assert house.known() == {KnownMessage.RETAINED: 1}


async def test_filters_are_asked_for_when_they_change(house: House) -> None:
    house.broker.want(["a/b", "a/#"])
    house.broker.want(["a/#"])
    house.broker.want(["c"])
    assert house.link.wanted == [("a/#",), ("c",)]
    assert house.events == []


async def test_without_any_filter_it_says_what_is_missing(house: House) -> None:
    house.broker.want([])
    assert house.events == [BrokerHeardNothingWanted()]
