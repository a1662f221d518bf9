"""Publications to topics that devices chose: mapped to a device, judged, and handed to the ingress.

Most topics repeat, so what was decided of a topic is kept until the rules or the known devices change: the devices that
may speak are those of the registry, and with `TopicDevices.create` those that come by a topic, up to a number. A device
that is made on first contact is in force at once; whoever runs this room writes it down (`newcomers`, `written`).
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from shlex import quote
from typing import Any, Final

from edgewire.errors import UsageError
from edgewire.iothub.ids import ID_CHARACTERS
from edgewire.message import Envelope, Identity, Message
from gateway.dispatch.ingress import AppendResult, Ingress
from gateway.identity.registry import Registry
from gateway.identity.roster import NoCredential, Roster
from gateway.observe.events import Event
from gateway.observe.log import without_secrets
from gateway.observe.topics import (
    PublicationsMapped,
    PublicationsRefused,
    PublicationsUnmatched,
    RefusedPublication,
    TopicDeviceMade,
    TopicListener,
)
from gateway.topics.mapping import LISTENERS, Mapped, TopicDevices, TopicMap
from gateway.topics.publication import Publication, TooLargeError, check_size, envelope_of, shown_topic

__all__ = ["KEPT", "UNMATCHED", "MappedIngress", "Publication", "Taken"]

MAX_JUDGED_TOPICS: Final = 1_024
"""Topics of a listener whose envelope, or refusal, is kept: devices repeat theirs."""
MAX_JUDGED_TOPIC_CHARS: Final = 512
"""Longer topics are judged each time: with what is kept for each, so many of the longest are some megabytes."""
MAX_LATEST: Final = 20
"""Topics that are shown of those that no rule takes, and of those that were refused."""

_STORE_REFUSALS: Final = {
    AppendResult.FULL: (RefusedPublication.STORE_FULL, "the store is full; the device keeps its messages meanwhile"),
    AppendResult.FAILED: (RefusedPublication.STORE_FAILED, "the store's disk failed"),
}


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a publication. `kept`: on disk as a message. Neither: no rule takes its topic."""

    kept: bool = False
    refusal: RefusedPublication | None = None
    detail: str = ""


KEPT: Final = Taken(kept=True)
UNMATCHED: Final = Taken()

Answer = Callable[[Sequence[Taken]], None]
"""Hears what became of each publication, in their order."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """What messages to a topic share: their envelope, and what it takes of the largest message."""

    envelope: Envelope
    size: int
    is_guarded: bool
    """The publisher chose the device, so it is looked at each time whether somebody logs in as that."""


class _Line:
    """One listener: what was decided of its topics, and its counts since they were told."""

    __slots__ = ("judged", "listener", "mapped", "refused", "unmatched", "unmatched_topic")

    def __init__(self, listener: str) -> None:
        self.listener = TopicListener(listener)
        self.judged: dict[str, _Ready | Taken] = {}
        self.mapped = 0
        self.unmatched = 0
        self.unmatched_topic = ""
        self.refused: dict[RefusedPublication, tuple[int, str, str]] = {}
        """By reason: how many, and topic and detail of the latest."""


class MappedIngress:
    """Where those hand in publications who do not make their devices log in.

    `on_newcomer` is called when a device was made that is not in the registry's file yet. `logs_in`: whether somebody
    has proven to be this device, for whom the registry has no entry.
    """

    def __init__(
        self,
        ingress: Ingress,
        registry: Registry,
        emit: Callable[[Event], None],
        on_newcomer: Callable[[], None] = lambda: None,
        logs_in: Callable[[Identity], bool] = lambda _who: False,
    ) -> None:
        self._logs_in = logs_in
        self._ingress = ingress
        self._registry = registry
        self._emit = emit
        self._on_newcomer = on_newcomer
        self._topics = TopicMap()
        self._policy = TopicDevices()
        self._lines = {listener: _Line(listener) for listener in LISTENERS}
        self._newcomers: dict[Identity, None] = {}
        self._unmatched: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._refused: OrderedDict[tuple[str, str, str], tuple[int, str]] = OrderedDict()
        self._follow(registry.roster)

    def use(self, topics: TopicMap, policy: TopicDevices) -> None:
        """Map by these rules from the next publication on; a device that was made stays."""
        self._topics = topics
        self._policy = policy
        self._forget_judgements()

    def accept(self, listener: str, publications: Sequence[Publication], answer: Answer) -> None:
        """Map, judge, route and store; `answer` is called once, when the disk has what could be taken."""
        line = self._lines.get(listener)
        if line is None:
            raise UsageError(f"there is no listener '{listener}' with topics")
        if self._registry.roster is not self._roster:
            self._follow(self._registry.roster)
        taken: list[Taken] = []
        messages: list[Message] = []
        for publication in publications:
            found = self._message(line, publication)
            if isinstance(found, Message):
                messages.append(found)
                taken.append(KEPT)
            else:
                taken.append(found)
        if messages:
            done = partial(self._on_stored, line, publications, taken, answer)
            self._ingress.accept(messages, done)
        else:
            answer(taken)

    def _on_stored(
        self,
        line: _Line,
        publications: Sequence[Publication],
        taken: list[Taken],
        answer: Answer,
        result: AppendResult,
    ) -> None:
        if result is AppendResult.STORED:
            line.mapped += taken.count(KEPT)
        else:
            refused = Taken(False, *_STORE_REFUSALS[result])
            for place, (publication, each) in enumerate(zip(publications, taken, strict=True)):
                if each is KEPT:
                    taken[place] = self._refuse(line, publication.topic, refused)
        answer(taken)

    # --- one publication ---

    def _message(self, line: _Line, publication: Publication) -> Message | Taken:
        topic = publication.topic
        if publication.retain or publication.dup or publication.user_properties or publication.message_id:
            judged = self._judge(line, publication)
        else:
            judged = line.judged.get(topic) or self._keep(line, publication)
        if isinstance(judged, Taken):
            return self._turn_away(line, topic, judged)
        who = judged.envelope.sender
        if judged.is_guarded and (self._registry.group_of(who) is not None or self._logs_in(who)):
            return self._refuse(line, topic, _has_credentials(who.device))
        try:
            check_size(judged.size, publication.payload)
        except TooLargeError as error:
            return self._refuse(line, topic, Taken(False, RefusedPublication.TOO_LARGE, str(error)))
        return Message(judged.envelope, publication.payload)

    def _keep(self, line: _Line, publication: Publication) -> _Ready | Taken:
        judged = self._judge(line, publication)
        if len(publication.topic) <= MAX_JUDGED_TOPIC_CHARS:
            if len(line.judged) >= MAX_JUDGED_TOPICS:
                line.judged.clear()
            line.judged[publication.topic] = judged
        return judged

    def _judge(self, line: _Line, publication: Publication) -> _Ready | Taken:
        """Which message it is, or why none: looked at for every publication whose topic alone does not tell."""
        mapped = self._topics.map(line.listener.value, publication.topic)
        if mapped is None:
            return UNMATCHED
        try:
            refused = self._problem_with(mapped)
            if refused is not None:
                return refused
            envelope, size = envelope_of(mapped, publication)
        except TooLargeError as error:
            return Taken(False, RefusedPublication.TOO_LARGE, str(error))
        is_guarded = not (mapped.rule.names_device or self._policy.with_credentials)
        return self._newcomer(mapped, publication.topic) or _Ready(envelope, size, is_guarded)

    def _problem_with(self, mapped: Mapped) -> Taken | None:
        """Why the device may not be named by this topic; None if it may, or if it is to be made."""
        if mapped.problem:
            detail = (
                f"rule {mapped.rule.place} gives it the device '{shown_topic(mapped.device)}', which is no id: "
                f"{mapped.problem}. An id has 1 to 128 of {ID_CHARACTERS}"
            )
            return Taken(False, RefusedPublication.ILLEGAL_ID, detail)
        entry = self._roster.registrations.get(mapped.identity)
        if entry is None:
            return None
        if not entry.enabled:
            detail = f"device '{mapped.device}' is disabled; `gateway devices enable {quote(mapped.device)}` lets it in"
            return Taken(False, RefusedPublication.DISABLED_DEVICE, detail)
        is_open = isinstance(entry.credential, NoCredential) or mapped.rule.names_device
        return None if is_open or self._policy.with_credentials else _has_credentials(mapped.device)

    def _newcomer(self, mapped: Mapped, topic: str) -> Taken | None:
        """Make the device if it is not known; a reason if it may not be made."""
        who = mapped.identity
        if who in self._roster.registrations or who in self._newcomers:
            return None
        if not self._policy.create:
            detail = (
                f"device '{mapped.device}' is not registered; add it with `gateway devices add {quote(mapped.device)} "
                '--no-login`, or let it be made: "topicDevices": {"create": true}'
            )
            return Taken(False, RefusedPublication.UNKNOWN_DEVICE, detail)
        groups = self._registry.groups_for(who.device)
        if groups and not (self._policy.with_credentials or mapped.rule.names_device):
            detail = (
                f"device '{mapped.device}' is new, and enrolment group '{groups[0].name}' takes devices of this id. "
                f"Add it by `gateway devices add {quote(mapped.device)} --no-login`, or narrow the group's prefix"
            )
            return Taken(False, RefusedPublication.OWN_CREDENTIALS, detail)
        number = self._made + len(self._newcomers) + 1
        if number > self._policy.at_most:
            detail = (
                f"device '{mapped.device}' is new, and there are {self._policy.at_most} without credentials already; "
                "remove some, or set topicDevices.atMost higher"
            )
            return Taken(False, RefusedPublication.TOO_MANY_DEVICES, detail)
        self._newcomers[who] = None
        self._emit(TopicDeviceMade(mapped.device, shown_topic(topic), number, self._policy.at_most))
        self._on_newcomer()
        return None

    # --- who is known ---

    def _follow(self, roster: Roster) -> None:
        self._roster = roster
        self._newcomers = {who: None for who in self._newcomers if who not in roster.registrations}
        entries = roster.registrations.values()
        self._made = sum(isinstance(entry.credential, NoCredential) for entry in entries)
        self._forget_judgements()

    def _forget_judgements(self) -> None:
        for line in self._lines.values():
            line.judged.clear()

    def newcomers(self) -> tuple[Identity, ...]:
        """Devices that were made and are not in the registry's file yet."""
        return tuple(self._newcomers)

    def written(self, devices: Collection[Identity]) -> None:
        """These are in the file now: it says from now on whether they are known."""
        for who in devices:
            self._newcomers.pop(who, None)

    # --- telling ---

    def _turn_away(self, line: _Line, topic: str, taken: Taken) -> Taken:
        if taken.refusal is not None:
            return self._refuse(line, topic, taken)
        shown = shown_topic(topic)
        line.unmatched += 1
        line.unmatched_topic = shown
        key = line.listener.value, shown
        self._unmatched[key] = self._unmatched.pop(key, 0) + 1
        if len(self._unmatched) > MAX_LATEST:
            self._unmatched.popitem(last=False)
        return taken

    def _refuse(self, line: _Line, topic: str, taken: Taken) -> Taken:
        assert taken.refusal is not None
        shown = shown_topic(topic)
        line.refused[taken.refusal] = line.refused.get(taken.refusal, (0, "", ""))[0] + 1, shown, taken.detail
        key = line.listener.value, taken.refusal.value, shown
        self._refused[key] = self._refused.pop(key, (0, ""))[0] + 1, taken.detail
        if len(self._refused) > MAX_LATEST:
            self._refused.popitem(last=False)
        return taken

    def report(self) -> None:
        """Emit what was counted since the last call."""
        for line in self._lines.values():
            if line.mapped:
                self._emit(PublicationsMapped(line.listener, line.mapped))
            if line.unmatched:
                self._emit(PublicationsUnmatched(line.listener, line.unmatched, line.unmatched_topic))
            for reason, (count, topic, detail) in line.refused.items():
                self._emit(PublicationsRefused(line.listener, reason, count, topic, detail))
            line.mapped = line.unmatched = 0
            line.refused = {}

    def status(self) -> Mapping[str, Any]:
        """The rules, the devices without credentials, and the latest topics that became no message, newest first."""
        if self._registry.roster is not self._roster:
            self._follow(self._registry.roster)
        return {
            "rules": len(self._topics.rules),
            "devicesWithoutCredentials": self._made + len(self._newcomers),
            "unmatched": [
                {"listener": listener, "topic": without_secrets(topic), "count": count}
                for (listener, topic), count in reversed(self._unmatched.items())
            ],
            "refused": [
                {
                    "listener": listener,
                    "topic": without_secrets(topic),
                    "reason": reason,
                    "count": count,
                    "detail": without_secrets(detail),
                }
                for (listener, reason, topic), (count, detail) in reversed(self._refused.items())
            ],
        }


def _has_credentials(device: str) -> Taken:
    detail = (
        f"device '{device}' has credentials of its own, and whoever publishes chose its name. Write the device "
        'into the rule as it stands, or say "topicDevices": {"withCredentials": true}'
    )
    return Taken(False, RefusedPublication.OWN_CREDENTIALS, detail)
