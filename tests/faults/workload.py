"""A workload for the store, and the ledger that says afterwards whether the store kept its promises."""

import random
from dataclasses import dataclass, field

from edgewire.message import UPSTREAM, Delivery, module_input
from faults.inline import Bench, message
from gateway.store.files import Files
from gateway.store.values import AppendResult, Entry, StoreLimits

SMALL = StoreLimits(max_bytes=40_000, segment_bytes=4096)

DETECTOR = module_input("detector", "raw")
QUEUES = ((UPSTREAM, 0), (UPSTREAM, 5), (DETECTOR, 5))
CHOICES = tuple(
    tuple(Delivery(endpoint, priority) for endpoint, priority in chosen)
    for chosen in (
        QUEUES[:1],
        QUEUES[1:2],
        QUEUES[1:],
        (QUEUES[0], QUEUES[2]),
    )
)
Key = tuple[str, int]


def key_of(entry: Entry) -> Key:
    return str(entry.endpoint), entry.priority


def number_of(entry: Entry) -> int:
    return int(entry.message.body.split(b":")[0])


@dataclass
class Ledger:
    """What was asked of the store, and what it said. A message is a number; later ones have higher numbers."""

    appended: dict[Key, list[int]] = field(default_factory=dict)
    stored: dict[Key, set[int]] = field(default_factory=dict)
    settled: dict[Key, set[int]] = field(default_factory=dict)
    refused: dict[Key, set[int]] = field(default_factory=dict)
    count: int = 0

    def check(self, seen: dict[Key, list[int]]) -> None:
        """`seen`: all that the store still gives, by queue, in its order."""
        for key in {*self.appended, *seen}:
            numbers = seen.get(key, [])
            missing = self.stored.get(key, set()) - self.settled.get(key, set()) - set(numbers)
            assert not missing, f"{key}: lost {sorted(missing)[:10]}"
            assert numbers == sorted(set(numbers)), f"{key}: out of order or twice"
            unexpected = set(numbers) - set(self.appended.get(key, []))
            assert not unexpected, f"{key}: never appended: {sorted(unexpected)[:10]}"


class Workload:
    """Appends, takes, settles and releases at random, the same for the same seed."""

    def __init__(self, files: Files, ledger: Ledger, seed: int, limits: StoreLimits = SMALL) -> None:
        self.ledger = ledger
        self.chance = random.Random(seed)
        self.held: dict[str, list[Entry]] = {}
        self.bench = Bench(files, limits)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            draw = self.chance.random()
            if draw < 0.6:
                self.append()
            elif draw < 0.8:
                self.take()
            elif draw < 0.95:
                self.settle()
            elif draw < 0.97:
                self.release()
            else:
                self.bench.store.checkpoint()

    def append(self) -> None:
        chosen = self.chance.choice(CHOICES)
        numbers = range(self.ledger.count, self.ledger.count + self.chance.randint(1, 4))
        self.ledger.count = numbers.stop
        keys = [(str(delivery.endpoint), delivery.priority) for delivery in chosen]
        for key in keys:
            self.ledger.appended.setdefault(key, []).extend(numbers)

        def done(result: AppendResult) -> None:
            said = self.ledger.stored if result is AppendResult.STORED else self.ledger.refused
            for key in keys:
                said.setdefault(key, set()).update(numbers)

        bodies = [f"{number}:".encode() + bytes(self.chance.randint(0, 300)) for number in numbers]
        self.bench.store.append([(message(body), chosen) for body in bodies], done)

    def take(self) -> None:
        endpoint = self.chance.choice((UPSTREAM, DETECTOR))
        entries = self.bench.store.reader(endpoint).take(self.chance.randint(1, 12), 4000)
        self.held.setdefault(str(endpoint), []).extend(entries)

    def settle(self) -> None:
        endpoint = self.chance.choice((UPSTREAM, DETECTOR))
        held = self.held.get(str(endpoint), [])
        # Mostly in order, sometimes not.
        chosen = held[: self.chance.randint(0, len(held))]
        if self.chance.random() < 0.2:
            chosen = [entry for entry in held if self.chance.random() < 0.5]
        for entry in chosen:
            held.remove(entry)
            # From here on it may be gone, whether the call comes back or not.
            self.ledger.settled.setdefault(key_of(entry), set()).add(number_of(entry))
        self.bench.store.reader(endpoint).settle(chosen)

    def release(self) -> None:
        endpoint = self.chance.choice((UPSTREAM, DETECTOR))
        self.held.pop(str(endpoint), None)
        self.bench.store.reader(endpoint).release()


def everything(bench: Bench) -> dict[Key, list[int]]:
    """All that the store still holds, by queue, in order."""
    seen: dict[Key, list[int]] = {}
    for endpoint in bench.store.endpoints():
        reader = bench.store.reader(endpoint)
        reader.release()
        while entries := reader.take(1000, 1 << 30):
            for entry in entries:
                seen.setdefault(key_of(entry), []).append(number_of(entry))
    return seen
