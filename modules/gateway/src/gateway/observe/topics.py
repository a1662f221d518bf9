"""Events of topic mapping: what topics became, what no rule took, and devices that came by a topic."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class TopicListener(Enum):
    """Where publications come from; the values are those of the settings."""

    PLAIN = "plain"
    """The listener without TLS."""
    BROKER = "broker"
    """The broker that the gateway is a client of."""


class RefusedPublication(Enum):
    """Why a publication that a rule takes became no message. It was not acknowledged as one."""

    ILLEGAL_ID = "illegal_id"
    """What the topic gives as the device's id cannot be one."""
    UNKNOWN_DEVICE = "unknown_device"
    DISABLED_DEVICE = "disabled_device"
    OWN_CREDENTIALS = "own_credentials"
    """The device that the publisher chose logs in by itself, or could; the settings do not say that it may be named."""
    TOO_MANY_DEVICES = "too_many_devices"
    TOO_LARGE = "too_large"
    STORE_FULL = "store_full"
    STORE_FAILED = "store_failed"


@dataclass(frozen=True, slots=True)
class PublicationsMapped(Event):
    """Publications that a topic rule made messages of, all of them on disk."""

    METRIC: ClassVar[str] = "gateway_mapped_publications_total"
    LABELS: ClassVar[tuple[str, ...]] = ("listener",)

    listener: TopicListener
    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} publications to topics ({self.listener.value}) became messages"


@dataclass(frozen=True, slots=True)
class PublicationsUnmatched(Event):
    """Publications to topics that no rule takes: for local subscribers alone, if there are any."""

    METRIC: ClassVar[str] = "gateway_unmatched_publications_total"
    LABELS: ClassVar[tuple[str, ...]] = ("listener",)

    listener: TopicListener
    count: int
    topic: str
    """The latest, as a person is shown it."""

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"{self.count} publications to topics ({self.listener.value}) that no rule takes, the latest to "
            f"'{self.topic}'; `gateway status` shows more"
        )


@dataclass(frozen=True, slots=True)
class PublicationsRefused(Event):
    """Publications that a topic rule takes and that became no messages, told once a second with the latest."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_publications_total"
    LABELS: ClassVar[tuple[str, ...]] = ("listener", "reason")

    listener: TopicListener
    reason: RefusedPublication
    count: int
    topic: str
    """The latest, as a person is shown it."""
    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        many = "a publication was" if self.count == 1 else f"{self.count} publications were"
        return f"{many} refused ({self.listener.value}), the latest to '{self.topic}': {self.detail}"


_SWITCH = {TopicListener.PLAIN: "GATEWAY_PLAIN_PORT", TopicListener.BROKER: "GATEWAY_BROKER"}


@dataclass(frozen=True, slots=True)
class TopicRulesUnheard(Event):
    """Topic rules in force for a listener that is switched off: nothing comes to them."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unheard_topic_rules_total"
    LABELS: ClassVar[tuple[str, ...]] = ("listener",)

    listener: TopicListener
    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        rules = "a topic rule is" if self.count == 1 else f"{self.count} topic rules are"
        return (
            f'{rules} for the listener "{self.listener.value}", which is switched off: nothing comes to it. Set '
            f"{_SWITCH[self.listener]}, or give the rule another listener"
        )


@dataclass(frozen=True, slots=True)
class TopicDeviceMade(Event):
    """A device came by a topic for the first time, and the settings let it be made: `topicDevices`."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_topic_devices_made_total"

    identity: str
    topic: str
    number: int
    at_most: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"device '{self.identity}' is new, by topic '{self.topic}': number {self.number} of {self.at_most} without "
            "credentials. To shut it out: gateway devices disable ID"
        )


@dataclass(frozen=True, slots=True)
class TopicDevicesNotKept(Event):
    """Devices that came by a topic cannot be written to devices.json; they are known until the gateway ends."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_topic_devices_not_kept_total"

    count: int
    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} devices that came by a topic are not written down yet: {self.detail}"
