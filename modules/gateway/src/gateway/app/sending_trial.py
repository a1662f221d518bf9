"""What `send` of routes makes of messages in time, without a gateway: for `gateway test`, `gateway explain --cost`."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from edgewire.message import UPSTREAM, Delivery, Endpoint, Envelope, Identity, Message, identity
from gateway.app.document import GatewaySettings
from gateway.dispatch.filters import Filters, Lessened
from gateway.routing.table import Decision, Table
from gateway.sending.aggregate import Aggregator
from gateway.sending.batch import Batcher
from gateway.sending.how import Batch, How, Per, how_of
from gateway.store.values import Entry

DAY_S: Final = 86_400
START_S: Final = 20_000 * DAY_S
"""Midnight of some day: windows begin with the trial."""
MAX_TRIED_MESSAGES: Final = 100_000
"""Of a day's messages, so many are tried for `--cost`; the rest is like them."""
MAX_TRIED_DEVICES: Final = 10
"""Devices are alike too, but where a batch is of all of them."""
MAX_TRIED_SENDERS: Final = 1_000
BLOCK_BYTES: Final = 4_096
"""IoT Hub meters messages of paid tiers by such blocks, those of the free tier by 512 bytes."""
FREE_BLOCK_BYTES: Final = 512
ENTRY_ID_CHARS: Final = 44
"""What the gateway adds for a message id where the device has none."""
LEAF_NAME_CHARS: Final = 12
"""`leafDeviceId`, beside the device's id."""

_GATEWAY: Final = identity("edge", "gateway")


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that leaves, as it came or made of others."""

    endpoint: Endpoint
    message: Message
    is_made: bool


@dataclass(frozen=True, slots=True)
class _Stage:
    """What makes batches, or aggregates."""

    how: How
    batcher: Batcher | None
    aggregator: Aggregator | None


class Trial:
    """Feeds messages to settings; time goes on from one to the next."""

    def __init__(self, settings: GatewaySettings, table: Table) -> None:
        self._table = table
        self._now_s = float(START_S)
        self._filters = Filters(settings.sending, lambda: self._now_s, random=Random(0))  # noqa: S311 - a sample
        self._filters.use_routes(table.routes)
        self._stages = {one.stage: _stage(one) for one in settings.sending.values() if one.stage is not None}
        self._sequence = 0
        self.sent: list[Sent] = []

    def feed(self, message: Message, at_s: float) -> tuple[Decision, tuple[Delivery, ...]]:
        """One message at its time: what the routes make of it, and what of that their `send` lets go on."""
        self.go_to(at_s)
        decision = self._table.match(message)
        left = self._filters.deliveries(message, decision, [])
        for delivery in left:
            stage = self._stages.get(delivery.endpoint)
            if stage is None:
                self.sent.append(Sent(delivery.endpoint, message, is_made=False))
            else:
                self._take(stage, message, delivery)
        return decision, left

    def go_to(self, at_s: float) -> None:
        """Let time go on; what is due goes."""
        for stage in self._stages.values():
            self._pass_time(stage, START_S + at_s)
        self._now_s = START_S + at_s

    def finish(self) -> None:
        """Let time go on until nothing waits."""
        for stage in self._stages.values():
            self._pass_time(stage, self._now_s + 10 * DAY_S)

    def goes_to(self, delivery: Delivery) -> Endpoint:
        """Where a delivery ends: that of a stage, where what is made there goes."""
        stage = self._stages.get(delivery.endpoint)
        return delivery.endpoint if stage is None else stage.how.delivery.endpoint

    def _take(self, stage: _Stage, message: Message, delivery: Delivery) -> None:
        self._sequence += 1
        entry = Entry(
            store_id="trial",
            sequence=self._sequence,
            message=message,
            endpoint=delivery.endpoint,
            priority=delivery.priority,
            received_at_ms=int(self._now_s * 1000),
            expires_at_ms=None,
            size=len(message.body),
        )
        if stage.batcher is not None:
            self._send(stage, [each.message for each in stage.batcher.add(entry)])
        elif stage.aggregator is not None:
            stage.aggregator.add(entry)

    def _pass_time(self, stage: _Stage, until_s: float) -> None:
        if stage.aggregator is not None:
            closed = stage.aggregator.close(int(until_s * 1000), caught_up=True)
            self._send(stage, [stage.aggregator.message(tally) for tally in closed])
        making = stage.how.making
        if stage.batcher is None or not isinstance(making, Batch):
            return
        oldest_ms = stage.batcher.oldest_ms
        if oldest_ms is not None and oldest_ms / 1000 + making.max_age_s <= until_s:
            self._send(stage, [each.message for each in stage.batcher.flush()])

    def _send(self, stage: _Stage, messages: list[Message]) -> None:
        self.sent += (Sent(stage.how.delivery.endpoint, message, is_made=True) for message in messages)


def _stage(one: Lessened) -> _Stage:
    assert one.stage is not None
    how = how_of(one.stage)
    assert how is not None
    making = how.making
    if isinstance(making, Batch):
        return _Stage(how, Batcher(one.route.name, making, _GATEWAY), None)
    return _Stage(how, None, Aggregator(one.route.name, making))


# --- what it costs ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What leaves for `$upstream` in a day: messages, their bytes, and how many IoT Hub meters."""

    messages: float = 0.0
    size: float = 0.0
    blocks: float = 0.0
    free_blocks: float = 0.0

    def plus(self, size: int) -> "Bill":
        """With one message more of so many bytes. An empty one counts too."""
        return Bill(
            messages=self.messages + 1,
            size=self.size + size,
            blocks=self.blocks + max(1, -(-size // BLOCK_BYTES)),
            free_blocks=self.free_blocks + max(1, -(-size // FREE_BLOCK_BYTES)),
        )

    def times(self, factor: float) -> "Bill":
        """So many times as much."""
        return Bill(
            messages=self.messages * factor,
            size=self.size * factor,
            blocks=self.blocks * factor,
            free_blocks=self.free_blocks * factor,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A day's bill without any `send`, and with the routes' own; `received`: what the devices send in that day."""

    received: float
    before: Bill
    after: Bill


def cost_of_a_day(
    settings: GatewaySettings, table: Table, samples: list[Message], *, every_s: float, devices: int
) -> Cost:
    """What a day costs if each of so many devices sends the samples in turn, one in `every_s`."""
    tried, per_device = _tried(settings, every_s, devices)
    trial = Trial(settings, table)
    before = after = Bill()
    named = [[_as_from(sample, number) for sample in samples] for number in range(tried)]
    for turn in range(per_device):
        for number, own in enumerate(named):
            message = own[turn % len(own)]
            decision, _ = trial.feed(message, (turn + number / tried) * every_s)
            if any(delivery.endpoint == UPSTREAM for delivery in decision.deliveries):
                before = before.plus(metered_bytes(message))
        for sent in trial.sent:
            if sent.endpoint == UPSTREAM:
                after = after.plus(metered_bytes(sent.message))
        trial.sent.clear()
    trial.finish()
    for sent in trial.sent:
        if sent.endpoint == UPSTREAM:
            after = after.plus(metered_bytes(sent.message))
    factor = devices / tried * DAY_S / (per_device * every_s)
    return Cost(received=tried * per_device * factor, before=before.times(factor), after=after.times(factor))


def metered_bytes(message: Message) -> int:
    """What IoT Hub counts of a message: its body, its system properties' values, its properties' names and values.

    With what the gateway adds: the id of a message without one, and the sender's name where it goes as the module.
    """
    envelope = message.envelope
    size = len(message.body) + LEAF_NAME_CHARS + len(envelope.sender.device)
    size += sum(len(name) + len(value or "") for name, value in envelope.properties.items())
    size += sum(len(value) for name, value in envelope.system.items() if not name.startswith("connection"))
    return size if "messageId" in envelope.system else size + ENTRY_ID_CHARS


def _tried(settings: GatewaySettings, every_s: float, devices: int) -> tuple[int, int]:
    """How many devices are tried, and how many messages of each: whole windows, as far as a day has any."""
    hows = [how.making for one in settings.sending.values() if one.stage and (how := how_of(one.stage))]
    all_together = any(isinstance(making, Batch) and making.per is Per.ROUTE for making in hows)
    tried = min(devices, MAX_TRIED_SENDERS if all_together else MAX_TRIED_DEVICES)
    whole = max(int(DAY_S / every_s), 1)
    longest_s = max((making.max_age_s if isinstance(making, Batch) else making.window_s for making in hows), default=1)
    per_window = max(int(longest_s / every_s), 1)
    wanted = max(MAX_TRIED_MESSAGES // tried // per_window, 1) * per_window
    return tried, min(whole, wanted)


def _as_from(sample: Message, number: int) -> Message:
    """The sample as device `number` would send it."""
    device = f"device-{number + 1:05}"
    sender = Identity(identity(device).device, sample.envelope.sender.module)
    system: Mapping[str, str] = {**sample.envelope.system, "connectionDeviceId": device}
    envelope = Envelope(
        sender=sender, properties=sample.envelope.properties, system=system, source=sample.envelope.source
    )
    return Message(envelope, sample.body)
