from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgewire.errors import UsageError
from edgewire.iothub.limits import MAX_MESSAGE_BYTES
from edgewire.message import Envelope, Identity, Message, identity
from gateway.app.document import read_settings
from gateway.app.topics import add_devices
from gateway.dispatch.ingress import Answer as StoreAnswer
from gateway.dispatch.mapped import (
    KEPT,
    MAX_JUDGED_TOPIC_CHARS,
    MAX_JUDGED_TOPICS,
    MAX_LATEST,
    UNMATCHED,
    MappedIngress,
    Publication,
    Taken,
)
from gateway.identity.registry import Registry
from gateway.identity.roster import Credential, Group, NoCredential, Registration, Roster, SymmetricKeys
from gateway.observe.events import Event
from gateway.observe.topics import (
    PublicationsMapped,
    PublicationsRefused,
    PublicationsUnmatched,
    RefusedPublication,
    TopicDeviceMade,
    TopicListener,
)
from gateway.store.values import AppendResult
from gateway.topics.mapping import TopicDevices, TopicMap

ROOMS: Mapping[str, Any] = {
    "match": "site/+room/+kind",
    "device": "{room}",
    "properties": {"kind": "{kind}"},
    "contentType": "application/json",
    "contentEncoding": "utf-8",
}
BOILER: Mapping[str, Any] = {"match": "boiler/#", "device": "boiler"}
KEYS = SymmetricKeys(b"1" * 32, b"2" * 32)


class Intake:
    """An ingress that keeps what it is given, and answers when it is told to."""

    def __init__(self) -> None:
        self.result: AppendResult | None = AppendResult.STORED
        self.messages: list[Message] = []
        self.waiting: list[StoreAnswer] = []

    def accept(self, messages: Sequence[Message], answer: StoreAnswer) -> None:
        self.messages += messages
        if self.result is None:
            self.waiting.append(answer)
        else:
            answer(self.result)


class World:
    """Mapped ingress over a registry on disk, and what became of what it was handed."""

    def __init__(self, folder: Path, *rules: Mapping[str, Any], **devices: Any) -> None:
        self.file = folder / "devices.json"
        self.registry = Registry(self.file)
        self.intake = Intake()
        self.events: list[Event] = []
        self.woken = 0
        self.vouched: set[Identity] = set()
        self.mapped = MappedIngress(self.intake, self.registry, self.events.append, self.wake, self.vouched_for)  # type: ignore[arg-type] # its shape
        self.use(*(rules or (ROOMS, BOILER)), **devices)
        self.events.clear()

    def vouched_for(self, who: Identity) -> bool:
        return who in self.vouched

    def wake(self) -> None:
        self.woken += 1

    def use(self, *rules: Mapping[str, Any], **devices: Any) -> None:
        reading = read_settings({"routes": {}, "topics": list(rules), "topicDevices": devices})
        assert reading.settings is not None, reading.problems
        self.mapped.use(reading.settings.topics or TopicMap(), reading.settings.topic_devices or TopicDevices())

    def register(self, device: str, credential: Credential, *, enabled: bool = True) -> None:
        self.registry.edit(lambda roster: roster.with_registration(Registration(identity(device), credential, enabled)))

    def publish(self, topic: str, payload: bytes = b"{}", listener: str = "plain", **more: Any) -> Taken:
        return self.publish_all([Publication(topic=topic, payload=payload, **more)], listener)[0]

    def publish_all(self, publications: Sequence[Publication], listener: str = "plain") -> Sequence[Taken]:
        answers: list[Sequence[Taken]] = []
        self.mapped.accept(listener, publications, answers.append)
        (answer,) = answers
        return answer

    def refusal(self, topic: str, **more: Any) -> RefusedPublication | None:
        return self.publish(topic, **more).refusal

    @property
    def last(self) -> Envelope:
        return self.intake.messages[-1].envelope


def test_a_publication_of_a_known_device_becomes_its_message(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.register("lab", NoCredential())
    assert world.publish("site/lab/climate", b'{"t": 1}') is KEPT
    (message,) = world.intake.messages
    assert message.body == b'{"t": 1}'
    assert message.envelope.sender == identity("lab")
    assert message.envelope.properties == {"topic": "site/lab/climate", "kind": "climate"}
    assert message.envelope.system["contentType"] == "application/json"
    world.publish("site/lab/climate", b'{"t": 2}')
    assert world.intake.messages[1].envelope is message.envelope, "what repeats is judged once"


def test_marks_and_user_properties_do_not_stick_to_the_topic(tmp_path: Path) -> None:
    world = World(tmp_path, create=True)
    world.publish("site/lab/climate", retain=True, user_properties=(("unit", "C"),))
    assert world.last.properties == {"topic": "site/lab/climate", "kind": "climate", "unit": "C", "mqtt-retain": "true"}
    world.publish("site/lab/climate")
    assert world.last.properties == {"topic": "site/lab/climate", "kind": "climate"}
    world.publish("site/lab/climate", message_id="one")
    assert world.last.system["messageId"] == "one"


def test_each_publication_is_answered_in_its_place_and_not_before_the_disk_has_it(tmp_path: Path) -> None:
    world = World(tmp_path, create=True)
    world.intake.result = None
    answers: list[Sequence[Taken]] = []
    topics = ("site/a/x", "elsewhere", "site/../x", "site/b/x")
    world.mapped.accept("plain", [Publication(topic=topic, payload=b"") for topic in topics], answers.append)
    assert answers == []
    world.intake.waiting[0](AppendResult.STORED)
    ((first, second, third, fourth),) = answers
    assert (first, second, fourth) == (KEPT, UNMATCHED, KEPT)
    assert third.refusal is RefusedPublication.ILLEGAL_ID
    assert not third.kept


def test_what_no_rule_takes_is_answered_at_once_counted_and_shown(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.intake.result = None
    for _ in range(3):
        assert world.publish("elsewhere/\x1b[31mred") is UNMATCHED
    assert world.publish("other", listener="broker") is UNMATCHED
    world.mapped.report()
    assert world.events == [
        PublicationsUnmatched(TopicListener.PLAIN, 3, "elsewhere/\\u001b[31mred"),
        PublicationsUnmatched(TopicListener.BROKER, 1, "other"),
    ]
    assert world.mapped.status()["unmatched"] == [
        {"listener": "broker", "topic": "other", "count": 1},
        {"listener": "plain", "topic": "elsewhere/\\u001b[31mred", "count": 3},
    ]


def test_a_token_in_a_topic_is_not_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.publish("elsewhere/sr=hub&sig=bm90LWZvci15b3U%3D&se=1")
    world.publish("site/a sig=bm90LWZvci15b3U%3D/x")
    status = world.mapped.status()
    assert [each["topic"] for each in status["unmatched"]] == ["elsewhere/sr=hub&sig=(hidden)&se=1"]
    assert len(status["refused"]) == 1
    assert "bm90" not in str(status)


def test_only_the_latest_topics_are_kept_and_they_are_cut(tmp_path: Path) -> None:
    world = World(tmp_path)
    for number in range(3 * MAX_LATEST):
        world.publish(f"{number}/" + "x" * 60_000)
        world.publish(f"site/-/{number}/" + "x" * 60_000)
        world.publish(f"site/a b/{number}")
    status = world.mapped.status()
    assert len(status["unmatched"]) == len(status["refused"]) == MAX_LATEST
    assert status["refused"][0]["topic"] == f"site/a b/{3 * MAX_LATEST - 1}"
    assert all(len(each["topic"]) < 130 for each in (*status["unmatched"], *status["refused"]))


def test_what_is_counted_is_told_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.register("lab", NoCredential())
    for _ in range(5):
        world.publish("site/lab/x")
        world.publish("site/b b/x")
    world.mapped.report()
    mapped, refused = world.events
    assert mapped == PublicationsMapped(TopicListener.PLAIN, 5)
    assert isinstance(refused, PublicationsRefused)
    assert (refused.reason, refused.count, refused.topic) == (RefusedPublication.ILLEGAL_ID, 5, "site/b b/x")
    assert "rule topics[0] gives it the device 'b b', which is no id: it has a character" in refused.detail
    world.events.clear()
    world.mapped.report()
    assert world.events == []


def test_a_listener_that_does_not_exist_is_a_mistake_of_ours(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no listener 'serial'"):
        World(tmp_path).publish("a", listener="serial")


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (AppendResult.FULL, RefusedPublication.STORE_FULL),
        (AppendResult.FAILED, RefusedPublication.STORE_FAILED),
    ],
)
def test_what_the_store_does_not_keep_is_not_taken(
    tmp_path: Path, result: AppendResult, reason: RefusedPublication
) -> None:
    world = World(tmp_path)
    world.register("lab", NoCredential())
    world.intake.result = result
    topics = ("elsewhere", "site/lab/x", "site/lab/y")
    taken = world.publish_all([Publication(topic=topic, payload=b"") for topic in topics])
    assert [each.refusal for each in taken] == [None, reason, reason]
    assert not any(each.kept for each in taken)
    world.mapped.report()
    assert [type(event) for event in world.events] == [PublicationsUnmatched, PublicationsRefused]


@pytest.mark.parametrize(
    "topic",
    [
        "site/a b/x",
        "site//x",
        "site/./x",
        "site/../x",
        "site/$edgeHub/x",
        "site/ü/x",
        "site/" + "d" * 129 + "/x",
        "site/a\x07/x",
        "site/\u202ea/x",
    ],
)
def test_what_cannot_be_an_id_is_refused_and_makes_no_device(tmp_path: Path, topic: str) -> None:
    world = World(tmp_path, create=True)
    assert world.refusal(topic) is RefusedPublication.ILLEGAL_ID
    assert world.mapped.newcomers() == ()
    assert world.intake.messages == []


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, create=True)
    assert world.refusal("boiler/" + "x" * 65_000) is RefusedPublication.TOO_LARGE
    assert world.mapped.newcomers() == ()
    assert world.refusal("boiler/a", payload=b"x" * MAX_MESSAGE_BYTES) is RefusedPublication.TOO_LARGE
    assert world.refusal("boiler/a", payload=b"x" * (MAX_MESSAGE_BYTES - 8_192)) is None


# --- who may speak ----------------------------------------------------------------------------------------------------


def test_a_device_that_is_not_registered_is_refused_with_what_to_do(tmp_path: Path) -> None:
    world = World(tmp_path)
    taken = world.publish("site/lab/x")
    assert taken.refusal is RefusedPublication.UNKNOWN_DEVICE
    assert "gateway devices add lab --no-login" in taken.detail
    world.register("lab", NoCredential())
    assert world.publish("site/lab/x") is KEPT, "it counts from the next publication on"


def test_a_disabled_device_is_shut_out(tmp_path: Path) -> None:
    world = World(tmp_path, create=True)
    world.register("lab", NoCredential(), enabled=False)
    assert world.refusal("site/lab/x") is RefusedPublication.DISABLED_DEVICE
    world.register("boiler", NoCredential(), enabled=False)
    assert world.refusal("boiler/x") is RefusedPublication.DISABLED_DEVICE


def test_who_publishes_cannot_choose_a_device_with_credentials_unless_the_settings_say_so(tmp_path: Path) -> None:
    world = World(tmp_path, create=True)
    world.register("lab", KEYS)
    world.register("boiler", KEYS)
    taken = world.publish("site/lab/x")
    assert taken.refusal is RefusedPublication.OWN_CREDENTIALS
    assert '"withCredentials": true' in taken.detail
    assert world.publish("boiler/x") is KEPT, "the rule names it, no publisher does"
    world.use(ROOMS, BOILER, withCredentials=True)
    assert world.publish("site/lab/x") is KEPT


def test_an_id_that_a_group_takes_is_not_made_by_a_publisher(tmp_path: Path) -> None:
    world = World(tmp_path, create=True)
    world.registry.edit(lambda roster: roster.with_group(Group("boards", KEYS, "board-")))
    assert world.refusal("site/lab/x") is None
    taken = world.publish("site/board-1/x")
    assert taken.refusal is RefusedPublication.OWN_CREDENTIALS
    assert "enrolment group 'boards' takes devices of this id. Add it by" in taken.detail
    world.use(ROOMS, BOILER, create=True, withCredentials=True)
    assert world.refusal("site/board-1/x") is None


def test_an_id_is_no_publishers_from_when_somebody_logs_in_with_it(tmp_path: Path) -> None:
    world = World(tmp_path, create=True)
    assert world.publish("site/lab/x") is KEPT
    assert world.publish("site/hall/x") is KEPT
    assert world.publish("boiler/x") is KEPT
    world.registry.remember(identity("hall"), Group("all", KEYS))
    world.vouched |= {identity("lab"), identity("boiler")}
    assert world.refusal("site/lab/x") is RefusedPublication.OWN_CREDENTIALS
    assert world.refusal("site/hall/x") is RefusedPublication.OWN_CREDENTIALS
    assert world.publish("boiler/x") is KEPT, "the rule names it"
    world.use(ROOMS, BOILER, create=True, withCredentials=True)
    assert world.publish("site/lab/x") is KEPT


def test_an_id_cannot_smuggle_words_into_the_commands_that_are_advised(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert "`gateway devices add 'a$(reboot)' --no-login`" in world.publish("site/a$(reboot)/x").detail
    world.register("b$(reboot)", NoCredential(), enabled=False)
    assert "`gateway devices enable 'b$(reboot)'`" in world.publish("site/b$(reboot)/x").detail


def test_devices_are_made_on_first_contact_up_to_a_number(tmp_path: Path) -> None:
    world = World(tmp_path, create=True, atMost=2)
    world.register("there", NoCredential())
    assert [world.refusal(f"site/{room}/x") for room in ("a", "a", "there", "b", "a")] == [
        *(None, None, None, RefusedPublication.TOO_MANY_DEVICES, None),
    ]
    assert world.mapped.newcomers() == (identity("a"),)
    assert world.woken == 1
    assert [event for event in world.events if isinstance(event, TopicDeviceMade)] == [
        TopicDeviceMade("a", "site/a/x", 2, 2)
    ]
    assert world.mapped.status()["devicesWithoutCredentials"] == 2
    world.registry.edit(lambda roster: roster.without(identity("there")))
    assert world.refusal("site/b/x") is None, "there is room again"


def test_a_device_that_was_made_is_written_down_once_and_then_the_file_decides(tmp_path: Path) -> None:
    world = World(tmp_path, create=True)
    world.publish("site/lab/x")
    newcomers = world.mapped.newcomers()
    add_devices(world.file, newcomers)
    world.registry.reload()
    world.mapped.written(newcomers)
    world.publish("site/lab/x")
    assert world.mapped.newcomers() == ()
    entry = Registry(world.file).find(identity("lab"))
    assert entry == Registration(identity("lab"), NoCredential())
    assert sum(isinstance(event, TopicDeviceMade) for event in world.events) == 1

    world.use(ROOMS)  # nobody is made any more
    assert world.publish("site/lab/x") is KEPT
    world.registry.edit(lambda roster: roster.without(identity("lab")))
    assert world.refusal("site/lab/x") is RefusedPublication.UNKNOWN_DEVICE
    world.use(ROOMS, create=True)
    assert world.publish("site/lab/x") is KEPT, "who was removed comes again"


def test_status_follows_the_registry(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.registry.edit(lambda roster: replace(roster, registrations=Roster().registrations))
    world.register("lab", NoCredential())
    assert world.mapped.status()["devicesWithoutCredentials"] == 1
    assert world.mapped.status()["rules"] == 2


def test_what_is_remembered_of_topics_is_bounded(tmp_path: Path) -> None:
    world = World(tmp_path, create=True, atMost=10)
    world.publish("boiler/first")
    first = world.last
    for number in range(MAX_JUDGED_TOPICS + 1):
        world.publish(f"boiler/{number}")
    world.publish("boiler/first")
    assert world.last is not first
    assert world.last == first
    long = "boiler/" + "x" * MAX_JUDGED_TOPIC_CHARS
    world.publish(long)
    one = world.last
    world.publish(long)
    assert world.last is not one
