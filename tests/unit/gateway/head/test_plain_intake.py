"""Batches that wait for different things are answered in the order in which they came."""

from collections.abc import Callable, Sequence
from typing import Any

from edgewire.codec.mqtt.packets import Publish
from edgewire.codec.mqtt.reasons import ReasonCode
from gateway.broker.messages import LocalMessage
from gateway.dispatch.mapped import KEPT, UNMATCHED, Publication, Taken
from gateway.head import plain_intake
from gateway.head.plain_intake import PlainIntake
from gateway.head.plain_rights import Rights
from gateway.identity.users import User
from gateway.observe.broker import RefusedPlain
from gateway.observe.topics import RefusedPublication

FULL = Taken(False, RefusedPublication.STORE_FULL, "full")
UNKNOWN = Taken(False, RefusedPublication.UNKNOWN_DEVICE, "unknown")


class World:
    """The mapping, the broker and the connection, which do what a test says, when it says so."""

    def __init__(self, level: int = 5) -> None:
        self.level = level
        self.asked: list[tuple[Sequence[Publication], Callable[[Sequence[Taken]], None]]] = []
        self.published: list[bytes] = []
        self.saving: list[Callable[[], None]] = []
        self.answers: list[tuple[int, int]] = []
        self.given_up: list[RefusedPlain] = []
        self.refused: list[RefusedPlain] = []
        anything: Any = self
        self.intake = PlainIntake(
            rights=Rights(User(name="u", publish=("t/#",)), "c"),
            mapped=anything,
            broker=anything,
            session=anything,
            answers=anything,
            is_echo=lambda publish: publish.payload == b"echo",
            clock=lambda: 0.0,
        )

    def accept(self, _listener: str, publications: Sequence[Publication], answer: Any) -> None:
        self.asked.append((publications, answer))

    def publish(self, message: LocalMessage, _origin: object, saved: Callable[[], None] | None) -> bool:
        self.published.append(message.payload)
        if message.retain and saved is not None:
            self.saving.append(saved)
        return message.retain

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        self.answers += [(packet_id, 0) for packet_id in packet_ids]

    def refuse(self, packet_id: int, reason: ReasonCode) -> bool:
        if self.level == 5:
            self.answers.append((packet_id, reason))
        return self.level == 5

    def on_refused(self, reason: RefusedPlain, _detail: str) -> None:
        self.refused.append(reason)

    def give_up(self, reason: RefusedPlain) -> None:
        self.given_up.append(reason)

    def answered(self) -> None:
        pass

    def taken(self, number: int, *outcomes: Taken) -> None:
        self.asked[number][1](outcomes)


def message(packet_id: int, *, payload: bytes = b"x", topic: str = "t/a", retain: bool = False) -> Publish:
    return Publish(topic, payload, 1 if packet_id else 0, retain, False, packet_id)


def test_answers_keep_the_order_of_what_they_answer() -> None:
    world = World()
    world.intake.take([message(1, payload=b"1")])
    world.intake.take([message(2, payload=b"2", retain=True)])
    world.intake.take([message(3, payload=b"3")])
    world.taken(2, UNMATCHED)
    world.taken(1, KEPT)
    assert (world.published, world.answers) == ([], [])
    world.taken(0, KEPT)
    assert world.published == [b"1", b"2"]
    assert world.answers == [(1, 0)]
    world.saving[0]()
    assert world.published == [b"1", b"2", b"3"]
    assert world.answers == [(1, 0), (2, 0), (3, 0)]


def test_what_the_store_has_no_room_for_is_given_to_nobody_and_closes_what_has_no_word_for_it() -> None:
    world = World(level=4)
    world.intake.take([message(1, payload=b"1"), message(2, payload=b"2"), message(3, payload=b"3")])
    world.taken(0, UNMATCHED, FULL, UNMATCHED)
    assert world.published == [b"1", b"3"]
    assert world.answers == [(1, 0)]
    assert world.given_up == [RefusedPlain.STORE_FULL]


def test_mqtt_5_hears_of_each_what_became_of_it() -> None:
    world = World()
    batch = [
        message(1),
        message(2, topic="other"),
        message(3, payload=b"echo"),
        message(4),
        message(5),
        message(6, topic="$SYS/broker/connection/b/state"),
    ]
    world.intake.take(batch)
    assert [each.topic for each in world.asked[0][0]] == ["t/a"] * 3
    world.taken(0, KEPT, UNKNOWN, FULL)
    denied = ReasonCode.NOT_AUTHORIZED
    assert world.answers == [(1, 0), (2, denied), (3, 0), (4, denied), (5, ReasonCode.QUOTA_EXCEEDED), (6, 0)]
    assert len(world.published) == 3, "kept, not mappable, a bridge's state"
    assert world.refused == [RefusedPlain.FORBIDDEN, RefusedPlain.STORE_FULL]


def test_nobody_waits_for_quality_0() -> None:
    world = World()
    world.intake.take([message(0, retain=True)])
    world.taken(0, FULL)
    assert (world.answers, world.given_up, world.published) == ([], [], [])
    world.intake.take([message(0, retain=True)])
    world.taken(1, KEPT)
    assert (world.published, world.saving) == ([b"x"], [])


def test_too_much_without_an_answer_is_seen() -> None:
    world = World()
    seen = []
    topic = "t/" + "a" * 50_000
    world.intake.take([message(1, topic=topic, payload=bytes(plain_intake.MAX_UNANSWERED_BYTES - len(topic)))])
    seen.append(world.intake.is_full)
    world.intake.take([message(2)])
    seen.append(world.intake.is_full)
    world.taken(0, KEPT)
    seen.append(world.intake.is_full)
    assert seen == [False, True, False]
