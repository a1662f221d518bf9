"""The store against a dict: append, take, settle, release, expiry and restart, in any order."""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewire.message import UPSTREAM, Delivery
from faults.inline import Bench, message
from faults.model_disk import ModelDisk
from faults.workload import DETECTOR
from gateway.store.values import AppendResult, Entry, StoreLimits

ENDPOINTS = (UPSTREAM, DETECTOR)
LIMITS = StoreLimits(max_bytes=1 << 20, segment_bytes=4096)

DELIVERIES = st.lists(
    st.builds(Delivery, st.sampled_from(ENDPOINTS), st.sampled_from([0, 1, 9]), st.none() | st.integers(0, 20)),
    max_size=3,
    unique_by=lambda delivery: (delivery.endpoint, delivery.priority),
).map(tuple)
STEPS = st.one_of(
    st.tuples(st.just("append"), DELIVERIES, st.integers(1, 5), st.sampled_from([0, 10, 900])),
    st.tuples(st.just("take"), st.sampled_from(ENDPOINTS), st.integers(1, 6)),
    st.tuples(st.just("settle"), st.sampled_from(ENDPOINTS), st.lists(st.integers(0, 30), max_size=6)),
    st.tuples(st.just("settle all"), st.sampled_from(ENDPOINTS)),
    st.tuples(st.just("release"), st.sampled_from(ENDPOINTS)),
    st.tuples(st.just("wait"), st.integers(1, 15)),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("reopen")),
)


@dataclass
class Waiting:
    number: int
    expires_at: float | None
    taken: bool = False


@dataclass
class Model:
    """Each queue is a list of what waits in it, in order."""

    queues: dict[tuple[str, int], list[Waiting]] = field(default_factory=dict)
    settled: dict[tuple[str, int], int] = field(default_factory=dict)
    """The highest number that was settled, by queue."""
    now: float = 0.0

    def append(self, deliveries: tuple[Delivery, ...], number: int) -> None:
        for delivery in deliveries:
            limit = delivery.time_to_live_s
            expires_at = None if limit is None else self.now + limit
            key = str(delivery.endpoint), delivery.priority
            self.queues.setdefault(key, []).append(Waiting(number, expires_at))

    def take(self, endpoint: str, count: int) -> list[int]:
        out: list[int] = []
        for key in sorted(self.queues):
            if key[0] != endpoint:
                continue
            # What is expired goes as it is come to; nothing behind the last one given is looked at.
            for waiting in list(self.queues[key]):
                if len(out) == count:
                    return out
                if waiting.taken:
                    continue
                if waiting.expires_at is not None and waiting.expires_at <= self.now:
                    self.queues[key].remove(waiting)
                    continue
                waiting.taken = True
                out.append(waiting.number)
        return out

    def settle(self, entry: Entry) -> None:
        key = str(entry.endpoint), entry.priority
        number = int(entry.message.body.split(b":")[0])
        self.queues[key] = [waiting for waiting in self.queues[key] if waiting.number != number]
        self.settled[key] = max(number, self.settled.get(key, 0))

    def has_gap(self, endpoint: str) -> bool:
        """Whether something of it was settled behind something that waits again."""
        return any(
            key[0] == endpoint and waiting.number < self.settled.get(key, 0)
            for key, queue in self.queues.items()
            for waiting in queue
        )

    def release(self, endpoint: str | None = None) -> None:
        for key, waiting in self.queues.items():
            for each in waiting:
                each.taken = each.taken and endpoint is not None and key[0] != endpoint

    def pending(self) -> dict[tuple[str, int], int]:
        return {
            key: count
            for key, waiting in self.queues.items()
            if (count := sum(each.expires_at is None or each.expires_at > self.now for each in waiting))
        }


class Machine:
    def __init__(self) -> None:
        self.bench = Bench(ModelDisk(), LIMITS)
        self.model = Model(now=self.bench.clock.now)
        self.held: dict[str, list[Entry]] = {}
        self.count = 0

    def append(self, deliveries: tuple[Delivery, ...], count: int, size: int) -> None:
        batch = []
        for number in range(self.count, self.count + count):
            self.model.append(deliveries, number)
            batch.append((message(b"%d:" % number + bytes(size)), deliveries))
        self.count += count
        results: list[AppendResult] = []
        self.bench.store.append(batch, results.append)
        assert results == [AppendResult.STORED]

    def take(self, endpoint: str, entries: list[Entry], count: int) -> None:
        assert [int(entry.message.body.split(b":")[0]) for entry in entries] == self.model.take(endpoint, count)
        self.held.setdefault(endpoint, []).extend(entries)

    def check_drained(self) -> None:
        """All that waits comes, in order, and then the store is empty."""
        self.model.release()
        for endpoint in ENDPOINTS:
            reader = self.bench.store.reader(endpoint)
            reader.release()
            entries = reader.take(10_000, 1 << 40)
            self.take(str(endpoint), entries, 10_000)
            reader.settle(entries)
        assert self.bench.store.status().messages == 0
        assert not any(segment.pending for segment in self.bench.store._backlog.segments)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=30))
def test_the_store_does_what_the_model_does(steps: list[tuple[object, ...]]) -> None:
    machine = Machine()
    for step in steps:
        run(machine, step)
    machine.check_drained()


def run(machine: Machine, step: tuple[object, ...]) -> None:
    bench, model = machine.bench, machine.model
    match step:
        case ("append", tuple() as deliveries, int() as count, int() as size):
            machine.append(deliveries, count, size)
        case ("take", endpoint, int() as count) if endpoint in ENDPOINTS:
            found = ENDPOINTS[ENDPOINTS.index(endpoint)]
            machine.take(str(endpoint), bench.store.reader(found).take(count, 1 << 40), count)
        case ("settle", endpoint, list() as places):
            held = machine.held.get(str(endpoint), [])
            settle(machine, endpoint, [held[place] for place in dict.fromkeys(places) if place < len(held)])
        case ("settle all", endpoint):
            settle(machine, endpoint, list(machine.held.get(str(endpoint), [])))
        case ("release", endpoint):
            bench.store.reader(ENDPOINTS[ENDPOINTS.index(endpoint)]).release()
            model.release(str(endpoint))
            machine.held.pop(str(endpoint), None)
        case ("wait", int() as seconds):
            bench.clock.now += seconds
            model.now += seconds
        case ("sweep",):
            bench.store.sweep()
        case _:
            reopen(machine)


def settle(machine: Machine, endpoint: object, entries: list[Entry]) -> None:
    for entry in entries:
        machine.model.settle(entry)
        machine.held[str(endpoint)].remove(entry)
    machine.bench.store.reader(ENDPOINTS[ENDPOINTS.index(endpoint)]).settle(entries)


def reopen(machine: Machine) -> None:
    """A clean restart: what was settled behind something unsettled may come again, so settle all of it first."""
    model, held = machine.model, machine.held
    for endpoint in ENDPOINTS:
        if model.has_gap(str(endpoint)):
            machine.take(str(endpoint), machine.bench.store.reader(endpoint).take(10_000, 1 << 40), 10_000)
        settle(machine, endpoint, list(held.get(str(endpoint), [])))
    machine.bench.reopen()
    model.release()
    waiting = {(str(q.endpoint), q.priority): q.messages for q in machine.bench.store.status().queues if q.messages}
    for key, count in model.pending().items():
        assert waiting.get(key, 0) >= count
