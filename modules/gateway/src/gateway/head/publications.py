"""From an MQTT PUBLISH to a message of its authenticated sender, or the reason why not."""

from dataclasses import dataclass
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub.bag import merge_user_properties, read_bag
from edgewire.iothub.limits import MAX_MESSAGE_BYTES
from edgewire.iothub.messages import DUPLICATE, RETAINED, WILL, envelope_for, envelope_size
from edgewire.iothub.topics import EventsTopic, parse_events_topic
from edgewire.message import Envelope, Identity, Message, Properties
from edgewire.session.mqtt.events import PublishReceived, Will
from gateway.observe.head import RefusedMessage

KEPT_TOPICS: Final = 64
"""Envelopes kept per sender: a device repeats a few topics; one that never does must not grow."""


@dataclass(frozen=True, slots=True)
class RefusedPublishError(Exception):
    """The message cannot be taken; the text is for the log."""

    reason: RefusedMessage
    detail: str


class Publications:
    """Makes messages of what one authenticated sender publishes."""

    def __init__(self, sender: Identity) -> None:
        self._sender = sender
        self._kept: dict[str, tuple[Envelope, int]] = {}

    def message(self, publish: PublishReceived) -> Message:
        """The message in `publish`. Raises RefusedPublishError."""
        if publish.retain or publish.dup or publish.properties is not None:
            marks = {**(RETAINED if publish.retain else {}), **(DUPLICATE if publish.dup else {})}
            envelope = self._read(publish.topic, marks, publish)
            size = envelope_size(envelope)
        else:
            envelope, size = self._kept.get(publish.topic) or self._keep(publish.topic)
        if size + len(publish.payload) > MAX_MESSAGE_BYTES:
            raise RefusedPublishError(
                RefusedMessage.TOO_LARGE,
                f"it counts {size + len(publish.payload)} bytes with its properties; the limit is {MAX_MESSAGE_BYTES}",
            )
        return Message(envelope, publish.payload)

    def will_message(self, will: Will) -> Message:
        """The message that a will becomes. Raises RefusedPublishError."""
        marks = {**WILL, **(RETAINED if will.retain else {})}
        return Message(self._read(will.topic, marks, None), will.payload)

    def _keep(self, topic: str) -> tuple[Envelope, int]:
        envelope = self._read(topic, {}, None)
        if len(self._kept) >= KEPT_TOPICS:
            self._kept.clear()
        kept = self._kept[topic] = (envelope, envelope_size(envelope))
        return kept

    def _read(self, topic: str, marks: Properties, publish: PublishReceived | None) -> Envelope:
        try:
            parsed = parse_events_topic(topic)
            self._check_sender(topic, parsed)
            assert parsed is not None
            bag = read_bag(parsed.bag)
            if publish is not None and publish.properties is not None:
                extra = publish.properties
                bag = merge_user_properties(bag, extra.user_properties, extra.content_type)
        except ProtocolError as error:
            detail = f"{error.what} (topic '{topic[:200]}')"
            raise RefusedPublishError(RefusedMessage.MALFORMED_PROPERTIES, detail) from error
        return envelope_for(self._sender, bag, marks=marks)

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
