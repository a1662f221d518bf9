"""The name of a topic from its bytes, and the names and values of the property bag at its end.

Which names IoT Hub gives a meaning, and which are the gateway's own, is a value: `BagNames`, by `edgewire.iothub.bag`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.line.escapes import percent_decode

_MALFORMED_PACKET: Final = 0x81
"""What MQTT 5 answers to a topic that is none (§2.4)."""

_MAX_CACHED: Final = 8
_MAX_CACHED_BYTES: Final = 512


def decode_text(raw: bytes) -> str:
    """The text of a UTF-8 string; a byte order mark stays (MQTT311-1.5.3-3). Spec: MQTT311-1.5.3-1, MQTT5-1.5.4-1."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        spec = "MQTT5-1.5.4-1, MQTT311-1.5.3-1"
        raise ProtocolError("a string that is not UTF-8", reply=_MALFORMED_PACKET, spec=spec) from exc
    if "\0" in text:
        spec = "MQTT5-1.5.4-2, MQTT311-1.5.3-2"
        raise ProtocolError("a string with U+0000", reply=_MALFORMED_PACKET, spec=spec)
    return text


def check_topic_name(topic: str) -> str:
    """`topic`, if it may name a topic: not empty, no wildcard. Spec: MQTT311-3.3.2-2, MQTT5-3.3.2-2, 4.7.3-1."""
    if not topic:
        spec = "MQTT5-4.7.3-1, MQTT311-4.7.3-1"
        raise ProtocolError("an empty topic name", reply=_MALFORMED_PACKET, spec=spec)
    if "#" in topic or "+" in topic:
        spec = "MQTT5-3.3.2-2, MQTT311-3.3.2-2"
        raise ProtocolError("a wildcard in a topic name", reply=_MALFORMED_PACKET, spec=spec)
    return topic


class TopicCache(dict[bytes, str]):
    """Topic names by their bytes, checked once: `cache[raw]` decodes and checks what it does not hold.

    A device repeats its few topics, and decoding and checking costs more than finding. It holds at most 8 topics of at
    most 512 bytes (4 KiB per connection and twice that as text), and starts over when it is full: thousands of devices
    put a message id into each topic, and fill it in vain.
    """

    __slots__ = ()

    def __missing__(self, raw: bytes) -> str:
        topic = check_topic_name(decode_text(raw))
        if len(raw) <= _MAX_CACHED_BYTES:
            if len(self) >= _MAX_CACHED:
                self.clear()
            self[raw] = topic
        return topic


@dataclass(frozen=True, slots=True, kw_only=True)
class BagNames:
    """What names mean in a bag that travels one way; all but those of `system` are compared without case."""

    most: int
    """How many names a bag may have."""
    system: Mapping[str, str]
    """Name on the wire to name in routes, compared with case."""
    reserved: frozenset[str] = frozenset()
    """Refused: only the gateway gives them."""
    reserved_starts: tuple[str, ...] = ()
    """The same for all names that begin so."""
    dropped: frozenset[str] = frozenset()
    """Left out."""


def split_bag(text: str, names: BagNames) -> tuple[dict[str, str | None], dict[str, str]]:
    """The application properties and the system properties that a bag holds; a name without `=` has the value None.

    Raises ProtocolError for an empty name, a second `=`, a broken escape, a name given twice (in any case), a name
    that only the gateway may give, or too many of them.
    """
    text = text.removeprefix("?")
    if not text:
        return {}, {}
    if text.count("&") >= names.most:
        raise ProtocolError(f"the topic has more than {names.most} properties")
    return sort_pairs(map(_read_pair, text.split("&")), names)


def sort_pairs(
    pairs: Iterable[tuple[str, str | None]], names: BagNames
) -> tuple[dict[str, str | None], dict[str, str]]:
    """Application and system properties, apart. Raises ProtocolError for a name that `split_bag` refuses."""
    properties: dict[str, str | None] = {}
    system: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in pairs:
        folded = _check_name(name, seen)
        if name in names.system:
            # A system property has no null: a name without '=' is an empty one.
            system[names.system[name]] = value or ""
            continue
        if folded in names.reserved or folded.startswith(names.reserved_starts):
            raise ProtocolError(f"the property '{name[:64]}' is set by the gateway, never by a sender")
        if folded not in names.dropped:
            properties[name] = value
    return properties, system


def _read_pair(pair: str) -> tuple[str, str | None]:
    name, equals, value = pair.partition("=")
    if "=" in value:
        raise ProtocolError("a property of the topic has a second '='; write '%3D' inside a value")
    return percent_decode(name, "a property name"), percent_decode(value, "a property value") if equals else None


def _check_name(name: str, seen: set[str]) -> str:
    """The name in lower case, now among those that were seen."""
    if not name:
        raise ProtocolError("a property of the message has no name")
    if not name.isprintable():
        raise ProtocolError("a property name holds a character that cannot be seen")
    folded = name.lower()
    if folded in seen:
        raise ProtocolError(f"the property '{name[:64]}' comes twice; names count as equal whatever their case")
    seen.add(folded)
    return folded
