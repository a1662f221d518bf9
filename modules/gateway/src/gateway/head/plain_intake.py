"""What one client of the plain listener publishes: its rights, the mapping to devices, local subscribers, the answer.

Batches are answered in the order in which they came, whatever each of them waits for: the store, where a topic rule
makes messages of it, and the broker's disk, where it is retained. A message goes to local subscribers when the store
has it, or at once where no rule maps it. One that the store has no room for goes nowhere: it is sent again.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Final, Protocol

from edgewire.codec.mqtt.packets import Publish
from edgewire.codec.mqtt.properties import PublishProperties, size_of_said
from edgewire.codec.mqtt.reasons import ReasonCode
from gateway.broker.broker import LocalBroker
from gateway.broker.messages import PLAIN, Extras, LocalMessage
from gateway.broker.sessions import LocalSession
from gateway.broker.topics import is_system
from gateway.dispatch.mapped import UNMATCHED, MappedIngress, Publication, Taken
from gateway.head.plain_rights import Rights
from gateway.observe.broker import RefusedPlain
from gateway.observe.topics import RefusedPublication

LISTENER: Final = "plain"
"""As rules for topics name it."""
MAX_UNANSWERED_BYTES: Final = 1_048_576
"""Messages of one client that wait for an answer; above it we stop reading from that client."""
MAX_UNANSWERED_MESSAGES: Final = 2_000
"""The same in messages."""

NO_PROPERTIES: Final = PublishProperties()
_NOT_NOW: Final = {
    RefusedPublication.STORE_FULL: RefusedPlain.STORE_FULL,
    RefusedPublication.STORE_FAILED: RefusedPlain.STORE_FAILED,
}


class Judgement(Enum):
    """What becomes of a message before anything else is asked."""

    GOOD = "good"
    LOCAL = "local"
    """Good, and the state of a bridge: no matter of devices."""
    FORBIDDEN = "forbidden"
    ECHO = "echo"
    OVER_LIMIT = "over_limit"


TO_SUBSCRIBERS: Final = (Judgement.GOOD, Judgement.LOCAL)


class Answers(Protocol):
    """The connection, as its intake sees it."""

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """PUBACK for these."""
        ...

    def refuse(self, packet_id: int, reason: ReasonCode) -> bool:
        """Refuse one of QoS 1; False if this version of MQTT has no word for it."""
        ...

    def on_refused(self, reason: RefusedPlain, detail: str) -> None:
        """A message was refused."""
        ...

    def give_up(self, reason: RefusedPlain) -> None:
        """Close without an answer: what was not answered is sent again on the next connection."""
        ...

    def answered(self) -> None:
        """All that could be answered was; `waiting` says how much could not."""
        ...


@dataclass(slots=True)
class _Batch:
    """Messages that came together. `taken` is what the mapping said of the good ones among them, in order."""

    entries: list[tuple[Publish, Judgement]]
    count: int
    size: int
    taken: Sequence[Taken] | None = None
    unsaved: int = 0
    is_published: bool = False
    outcomes: list[Taken] = field(default_factory=list)


class PlainIntake:
    """Takes what a client publishes. `judge_echo` says whether a message is one of ours that comes back."""

    def __init__(
        self,
        *,
        rights: Rights,
        mapped: MappedIngress,
        broker: LocalBroker,
        session: LocalSession,
        answers: Answers,
        is_echo: Callable[[Publish], bool],
        clock: Callable[[], float],
    ) -> None:
        self._rights = rights
        self._mapped = mapped
        self._broker = broker
        self._session = session
        self._answers = answers
        self._is_echo = is_echo
        self._clock = clock
        self._batches: deque[_Batch] = deque()
        self._advancing = False
        self._count = 0
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether so much waits for its answer that no more should be read."""
        return self._count > MAX_UNANSWERED_MESSAGES or self._size > MAX_UNANSWERED_BYTES

    def take(self, publishes: Sequence[Publish], allowed: int | None = None) -> None:
        """Take messages that came together. One with packet identifier 0 has nobody who waits for an answer.

        `allowed`: how many of them the client may send now, the first ones; None for all.
        """
        entries = [(publish, self._judge(publish)) for publish in publishes[:allowed]]
        if allowed is not None:
            entries += [(publish, Judgement.OVER_LIMIT) for publish in publishes[allowed:]]
        batch = _Batch(entries, len(entries), _size_of(publishes))
        self._count += batch.count
        self._size += batch.size
        self._batches.append(batch)
        good = [_publication(publish) for publish, judgement in entries if judgement is Judgement.GOOD]
        if good:
            self._mapped.accept(LISTENER, good, partial(self._on_taken, batch))
        else:
            self._on_taken(batch, ())

    def _judge(self, publish: Publish) -> Judgement:
        if not self._rights.may_publish(publish.topic):
            return Judgement.FORBIDDEN
        if is_system(publish.topic):
            return Judgement.LOCAL
        return Judgement.ECHO if self._is_echo(publish) else Judgement.GOOD

    def _on_taken(self, batch: _Batch, taken: Sequence[Taken]) -> None:
        batch.taken = taken
        self._advance()

    def _on_saved(self, batch: _Batch) -> None:
        batch.unsaved -= 1
        self._advance()

    def _advance(self) -> None:
        """Publish and answer whatever is next and waits for nothing any more."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._batches and self._batches[0].taken is not None:
                batch = self._batches[0]
                if not batch.is_published:
                    batch.is_published = True
                    self._publish(batch)
                if batch.unsaved:
                    break
                self._batches.popleft()
                self._count -= batch.count
                self._size -= batch.size
                self._answer(batch)
        finally:
            self._advancing = False
        self._answers.answered()

    # To local subscribers.

    def _publish(self, batch: _Batch) -> None:
        assert batch.taken is not None
        taken = iter(batch.taken)
        for publish, judgement in batch.entries:
            outcome = next(taken) if judgement is Judgement.GOOD else UNMATCHED
            batch.outcomes.append(outcome)
            if judgement in TO_SUBSCRIBERS and outcome.refusal not in _NOT_NOW:
                message = _local_message(publish, self._clock())
                saved = partial(self._on_saved, batch) if publish.packet_id else None
                batch.unsaved += self._broker.publish(message, self._session, saved) and saved is not None

    # To the client.

    def _answer(self, batch: _Batch) -> None:
        good: list[int] = []
        for (publish, judgement), outcome in zip(batch.entries, batch.outcomes, strict=True):
            packet_id = publish.packet_id
            later = _NOT_NOW.get(outcome.refusal) if outcome.refusal is not None else None
            if later is not None:
                self._answers.on_refused(later, f"{outcome.detail}; it was not acknowledged")
                if packet_id and not self._refuse(good, packet_id, _code_of(outcome)):
                    self._answers.acknowledge(good)
                    self._answers.give_up(later)
                    return
            elif judgement is Judgement.OVER_LIMIT:
                self._answers.on_refused(RefusedPlain.OVER_LIMIT, "more than its user is allowed")
                if packet_id and not self._refuse(good, packet_id, ReasonCode.QUOTA_EXCEEDED):
                    self._answers.acknowledge(good)
                    self._answers.give_up(RefusedPlain.OVER_LIMIT)
                    return
            elif judgement is Judgement.FORBIDDEN:
                self._answers.on_refused(RefusedPlain.FORBIDDEN, _why_forbidden(publish.topic))
                if packet_id and not self._refuse(good, packet_id, ReasonCode.NOT_AUTHORIZED):
                    good.append(packet_id)
            elif packet_id and (outcome.refusal is None or not self._refuse(good, packet_id, _code_of(outcome))):
                good.append(packet_id)
        self._answers.acknowledge(good)

    def _refuse(self, good: list[int], packet_id: int, code: ReasonCode) -> bool:
        """Refuse one behind those that are good: answers keep the order of what they answer (MQTT5-4.6.0-2).

        MQTT 3 can say no only by closing. What is sent again would be refused again, and a bridge would bring nothing
        else any more: there it is acknowledged, as MQTT 3.1.1 §3.3.5 permits, and said in the log.
        """
        if good:
            self._answers.acknowledge(good)
            good.clear()
        return self._answers.refuse(packet_id, code)


def _size_of(publishes: Sequence[Publish]) -> int:
    """What messages count while they wait: they may say far more than their payloads."""
    size = 0
    for publish in publishes:
        size += len(publish.topic) + len(publish.payload)
        if publish.properties is not None:
            size += size_of_said(publish.properties)
    return size


def _code_of(outcome: Taken) -> ReasonCode:
    """Spec: MQTT 5 §3.4.2.1."""
    match outcome.refusal:
        case RefusedPublication.STORE_FULL | RefusedPublication.TOO_LARGE | RefusedPublication.TOO_MANY_DEVICES:
            return ReasonCode.QUOTA_EXCEEDED
        case RefusedPublication.ILLEGAL_ID:
            return ReasonCode.TOPIC_NAME_INVALID
        case RefusedPublication.STORE_FAILED:
            return ReasonCode.UNSPECIFIED_ERROR
        case _:
            return ReasonCode.NOT_AUTHORIZED


def _why_forbidden(topic: str) -> str:
    return f"its rules do not name topic '{topic[:200]}': `gateway users allow NAME --publish TOPIC`"


def _publication(publish: Publish) -> Publication:
    return Publication(
        topic=publish.topic,
        payload=publish.payload,
        qos=publish.qos,
        retain=publish.retain,
        dup=publish.dup,
        user_properties=() if publish.properties is None else publish.properties.user_properties,
    )


def _local_message(publish: Publish, now: float) -> LocalMessage:
    extras, expiry_s = PLAIN, None
    properties = publish.properties
    if properties is not None and properties != NO_PROPERTIES:
        expiry_s = properties.message_expiry_s
        extras = Extras(
            payload_format=properties.payload_format,
            content_type=properties.content_type,
            response_topic=properties.response_topic,
            correlation_data=properties.correlation_data,
            user_properties=properties.user_properties,
        )
    return LocalMessage(
        topic=publish.topic,
        payload=publish.payload,
        qos=publish.qos,
        retain=publish.retain,
        extras=extras,
        expires_at=None if expiry_s is None else now + expiry_s,
    )
