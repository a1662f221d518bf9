"""From a publication to a topic, by the rule that takes it, to a message of its device."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub.bag import WIRE_NAMES, Bag
from edgewire.iothub.limits import MAX_MESSAGE_BYTES, MAX_PROPERTIES
from edgewire.iothub.messages import DUPLICATE, RETAINED, envelope_for, passing_size
from edgewire.message import Envelope, Properties
from gateway.topics.mapping import Mapped

MAX_SHOWN_TOPIC: Final = 128
"""Characters of a topic that a person is shown."""

_SYSTEM_NAMES: Final = frozenset(name.lower() for names in WIRE_NAMES.values() for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What came to a topic, of whatever version of the protocol."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    user_properties: tuple[tuple[str, str], ...] = ()
    message_id: str = ""
    """One by which it and its repeats are known, where whoever heard it has one to give."""


class TooLargeError(Exception):
    """The message cannot be passed on; the text says by how much it is too large."""


def envelope_of(mapped: Mapped, publication: Publication) -> tuple[Envelope, int]:
    """All of the message but its body, and what that takes of the largest message. Raises TooLargeError."""
    properties: dict[str, str | None] = dict(mapped.properties)
    if publication.user_properties:
        if len(publication.user_properties) > MAX_PROPERTIES:
            raise TooLargeError(f"it has more than {MAX_PROPERTIES} user properties")
        properties = {**dict(_free(mapped, publication)), **properties}
    marks: Properties = {**(RETAINED if publication.retain else {}), **(DUPLICATE if publication.dup else {})}
    system = {**mapped.system, "messageId": publication.message_id} if publication.message_id else mapped.system
    envelope = envelope_for(mapped.identity, Bag(properties, system), marks=marks)
    try:
        return envelope, passing_size(envelope)
    except ProtocolError as error:
        raise TooLargeError(error.what) from error


def check_size(size: int, payload: bytes) -> None:
    """Raise TooLargeError if an envelope of this size with this body is larger than a message may be."""
    if size + len(payload) > MAX_MESSAGE_BYTES:
        raise TooLargeError(
            f"it counts {size + len(payload)} bytes with its properties and room for its sender's names; the limit is "
            f"{MAX_MESSAGE_BYTES}"
        )


def _free(mapped: Mapped, publication: Publication) -> Iterator[tuple[str, str]]:
    """User properties that may go along: whatever the rule or the gateway says wins, and so does the first of two.

    Their writers may know nothing of IoT Hub, so what it does not take is left out instead of refused.
    """
    taken = {name.lower() for name in mapped.properties} | {name.lower() for name in (*RETAINED, *DUPLICATE)}
    for name, value in publication.user_properties:
        folded = name.lower()
        if folded in taken or folded in _SYSTEM_NAMES or not name.isprintable() or not name:
            continue
        if folded.startswith(("$", "iothub-")):
            continue
        taken.add(folded)
        yield name, value


def shown_topic(topic: str) -> str:
    """A topic for a person: cut, and without characters that a terminal or a log would obey."""
    cut = topic if len(topic) <= MAX_SHOWN_TOPIC else f"{topic[:MAX_SHOWN_TOPIC]}…"
    return cut if cut.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in cut)


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"
