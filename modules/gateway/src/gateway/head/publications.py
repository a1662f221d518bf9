"""From an MQTT PUBLISH to a message of its authenticated sender, or the reason why not."""

from typing import Final

from edgewire.codec.mqtt.properties import PublishProperties
from edgewire.errors import ProtocolError
from edgewire.iothub.bag import merge_user_properties, read_bag
from edgewire.iothub.limits import MAX_MESSAGE_BYTES
from edgewire.iothub.messages import DUPLICATE, RETAINED, WILL, envelope_for, passing_size
from edgewire.iothub.topics import EventsTopic, parse_events_topic
from edgewire.message import Envelope, Identity, Message, Properties
from edgewire.session.mqtt.events import PublishReceived, Will
from gateway.observe.head import RefusedMessage

KEPT_TOPICS: Final = 64
"""Envelopes kept per sender, from the second time on that their topic comes: a device repeats a few topics. One whose
topics hold a number of each message repeats none, and there may be thousands of such devices."""

KEPT_PROPERTIES: Final = 256
"""Properties that these envelopes hold together, at 0.1 KB each."""

KEPT_TOPIC_CHARS: Final = 1_024
"""Longer topics are read each time: 64 of the longest, and what they hold, are 8 MB for one connection."""


class RefusedPublishError(Exception):
    """The message cannot be taken; the text is for the log."""

    def __init__(self, reason: RefusedMessage, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Publications:
    """Makes messages of what one authenticated sender publishes."""

    def __init__(self, sender: Identity) -> None:
        self._sender = sender
        self._kept: dict[str, tuple[Envelope, int]] = {}
        self._properties = 0
        self._seen: set[int] = set()
        """Hashes of topics that came once."""

    def message(self, publish: PublishReceived) -> Message:
        """The message in `publish`. Raises RefusedPublishError."""
        if publish.retain or publish.dup or publish.properties is not None:
            marks = {**(RETAINED if publish.retain else {}), **(DUPLICATE if publish.dup else {})}
            envelope, size = self._read(publish.topic, marks, publish.properties)
        else:
            envelope, size = self._kept.get(publish.topic) or self._keep(publish.topic)
        if size + len(publish.payload) > MAX_MESSAGE_BYTES:
            raise _too_large(size + len(publish.payload))
        return Message(envelope, publish.payload)

    def will_message(self, will: Will) -> Message:
        """The message that a will becomes. Raises RefusedPublishError."""
        envelope, size = self._read(will.topic, {**WILL, **(RETAINED if will.retain else {})}, None)
        if size + len(will.payload) > MAX_MESSAGE_BYTES:
            raise _too_large(size + len(will.payload))
        return Message(envelope, will.payload)

    def _keep(self, topic: str) -> tuple[Envelope, int]:
        kept = self._read(topic, {}, None)
        if len(topic) > KEPT_TOPIC_CHARS or not self._comes_again(topic):
            return kept
        self._properties += len(kept[0].properties)
        if len(self._kept) >= KEPT_TOPICS or self._properties > KEPT_PROPERTIES:
            self._kept.clear()
            self._properties = len(kept[0].properties)
        self._kept[topic] = kept
        return kept

    def _comes_again(self, topic: str) -> bool:
        """Whether the topic came before, a short while ago."""
        mark = hash(topic)
        if mark in self._seen:
            return True
        if len(self._seen) >= KEPT_TOPICS:
            self._seen.clear()
        self._seen.add(mark)
        return False

    def _read(self, topic: str, marks: Properties, extra: PublishProperties | None) -> tuple[Envelope, int]:
        """The envelope that a topic gives, and what it takes of the largest message."""
        try:
            parsed = parse_events_topic(topic)
            self._check_sender(topic, parsed)
            assert parsed is not None
            bag = read_bag(parsed.bag)
            if extra is not None:
                bag = merge_user_properties(bag, extra.user_properties, extra.content_type)
        except ProtocolError as error:
            detail = f"{error.what} (topic '{topic[:200]}')"
            raise RefusedPublishError(RefusedMessage.MALFORMED_PROPERTIES, detail) from error
        envelope = envelope_for(self._sender, bag, marks=marks)
        try:
            return envelope, passing_size(envelope)
        except ProtocolError as error:
            raise RefusedPublishError(RefusedMessage.TOO_LARGE, error.what) from error

    def _check_sender(self, topic: str, parsed: EventsTopic | None) -> None:
        if parsed is None:
            raise RefusedPublishError(
                RefusedMessage.UNKNOWN_TOPIC, f"topic '{topic[:200]}' is not one a device publishes to"
            )
        if parsed.identity != self._sender:
            raise RefusedPublishError(
                RefusedMessage.FOREIGN_DEVICE,
                f"topic '{topic[:200]}' is another's; '{self._sender}' publishes only as itself",
            )


def _too_large(size: int) -> RefusedPublishError:
    return RefusedPublishError(
        RefusedMessage.TOO_LARGE,
        f"it counts {size} bytes with its properties and room for its sender's names; the limit is {MAX_MESSAGE_BYTES}",
    )
