"""The power goes at every write of a life with stages: no reading is lost, none counts twice in one result."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from edgewire.message import UPSTREAM, Delivery, Message
from faults.inline import Bench
from faults.model_disk import ModelDisk, PowerCut
from gateway.sending.how import Aggregate, Batch, How, Items, stage_for
from gateway.sending.stage import AggregateStage, BatchStage, Stage, Surroundings
from gateway.store.values import AppendResult, Entry, StoreLimits
from support.staged import GATEWAY, told

SMALL = StoreLimits(max_bytes=200_000, segment_bytes=4096)
START_S = 1_800_014_400.0
UP = Delivery(UPSTREAM)
BATCH = Batch(max_messages=4, max_age_s=20, items=Items.BODIES)
MINUTE = Aggregate(window_s=60, values={"n": "$body.n"})
DEVICES = ("d1", "d2", "d3")


class Disk(ModelDisk):
    """The store's disk, and the stage's file: it is replaced whole, so it is the old one or the new one."""

    kept: bytes | None = None

    def keep(self, state: bytes) -> None:
        self.before("replace", "stage")
        self.kept = state
        self.before("replaced", "stage")


class Life:
    """One life of a store and a stage on a disk; `acknowledged` and `received_at` go on over lives."""

    def __init__(self, disk: Disk, making: Batch | Aggregate, acknowledged: dict[int, str], now_s: float) -> None:
        self.disk = disk
        self.bench = Bench(disk, SMALL)
        self.bench.clock.now = now_s
        self.endpoint = stage_for("r", How(making=making, delivery=UP))
        self.acknowledged = acknowledged
        self.reader = self.bench.store.reader(self.endpoint)
        around = Surroundings(
            append=self.bench.store.append,
            pressed=lambda: False,
            emit=self.bench.events.append,
            now=self.bench.clock,
            clock=self.bench.clock,
            module=GATEWAY,
            sleep=_never,
        )
        self.stage = self._stage(making, around)
        self.sent: dict[int, tuple[Entry, asyncio.Future[Any]]] = {}

    def _stage(self, making: Batch | Aggregate, around: Surroundings) -> Stage:
        if isinstance(making, Batch):
            return BatchStage("r", making, UP, around)
        stage = AggregateStage("r", making, UP, around, keep=self.disk.keep, caught_up=lambda: not self.reader.ready)
        if self.disk.kept is not None:
            stage.restore(orjson.loads(self.disk.kept))
        return stage

    async def live(self, steps: int, chance: random.Random) -> None:
        for _ in range(steps):
            self.receive(chance.randint(1, 3), chance)
            await self.forward(chance.randint(0, 5))
            self.bench.clock.now += chance.choice([0.5, 2, 11])
            if chance.random() < 0.3:
                self.bench.store.checkpoint()

    async def end(self) -> None:
        """Everything that waits goes."""
        for _ in range(6):
            await self.forward(1000)
            self.bench.clock.now += 70
        await self.stage.finish()
        assert not self.reader.ready

    def receive(self, count: int, chance: random.Random) -> None:
        for _ in range(count):
            number, device = len(self.acknowledged), chance.choice(DEVICES)
            results: list[AppendResult] = []
            message = told({"n": number}, device)
            self.acknowledged[number] = ""  # appended: it may be there although nobody was told
            self.bench.store.append([(message, (Delivery(self.endpoint),))], results.append)
            if results == [AppendResult.STORED]:
                self.acknowledged[number] = device

    async def forward(self, count: int) -> None:
        for entry in self.reader.take(count, 1 << 30):
            self.sent[entry.sequence] = entry, self.stage.send(entry, self.endpoint)
        await self.stage.turn()
        done = [entry for entry, future in self.sent.values() if future.done()]
        self.reader.settle(done)
        for entry in done:
            del self.sent[entry.sequence]

    def made(self) -> list[Message]:
        return [entry.message for entry in self.bench.take()]


async def _never(_seconds: float) -> None:
    raise AssertionError("the store refused")


def count_operations(making: Batch | Aggregate) -> int:
    disk, count = Disk(), 0

    def before(_what: str, _name: str) -> None:
        nonlocal count
        count += 1

    disk.before = before
    asyncio.run(Life(disk, making, {}, START_S).live(40, random.Random(7)))
    return count


def cut_and_go_on(making: Batch | Aggregate, number: int, *, power: bool) -> tuple[dict[int, str], list[Message]]:
    """A life that ends at disk operation `number`, and another one that finishes; what was acknowledged and made."""
    acknowledged: dict[int, str] = {}
    disk, count = Disk(), 0

    def before(_what: str, _name: str) -> None:
        nonlocal count
        count += 1
        if count >= number:
            raise PowerCut

    disk.before = before
    life = None
    try:
        life = Life(disk, making, acknowledged, START_S)
        asyncio.run(life.live(40, random.Random(7)))
    except PowerCut:
        pass
    found = disk.after_power_cut(random.Random(number)) if power else disk.after_kill()
    again = Disk()
    again.__dict__.update(found.__dict__)
    again.kept = disk.kept
    second = Life(again, making, acknowledged, START_S + 1000 if life is None else life.bench.clock.now)
    asyncio.run(second.end())
    return acknowledged, second.made()


def distinct(made: Sequence[Message]) -> list[Message]:
    """What is made, a repetition known by its id left out: the later one counts."""
    return list({message.envelope.system["messageId"]: message for message in made}.values())


@pytest.mark.parametrize("power", [True, False])
def test_a_batch_may_come_twice_but_no_message_is_lost_or_twice_in_one(power: bool) -> None:  # noqa: FBT001 - two ways to die
    operations = count_operations(BATCH)
    assert operations > 150
    for number in range(2, operations + 3, 5):
        acknowledged, made = cut_and_go_on(BATCH, number, power=power)
        came: Counter[int] = Counter()
        for message in made:
            numbers = [item["n"] for item in orjson.loads(message.body)]
            assert len(set(numbers)) == len(numbers)
            assert numbers == sorted(numbers)
            came.update(numbers)
        assert {number for number, device in acknowledged.items() if device} <= set(came)


@pytest.mark.parametrize("power", [True, False])
def test_a_window_counts_each_reading_once_whatever_happens(power: bool) -> None:  # noqa: FBT001 - as above
    operations = count_operations(MINUTE)
    assert operations > 100
    for number in range(2, operations + 3, 5):
        acknowledged, made = cut_and_go_on(MINUTE, number, power=power)
        total = last = 0
        for message in distinct(made):
            found = orjson.loads(message.body)
            assert found["values"]["n"]["count"] == found["count"]
            total += found["count"]
            last += found["values"]["n"]["sum"]
        told_of = [each for each, device in acknowledged.items() if device]
        maybe = [each for each, device in acknowledged.items() if not device]
        assert total - len(told_of) in range(len(maybe) + 1)
        assert sum(told_of) <= last <= sum(told_of) + sum(maybe)
