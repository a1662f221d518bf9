"""MQTT 5 properties: one table of what exists, and a class per packet with what it may carry.

A class's fields say which properties its packet allows; the table says how each is written and which values it may
have. Spec: MQTT 5 §2.2.2, table 2-4, and the section of each property.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Final, Generic, TypeVar, cast

from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.codec.mqtt.wire import Reader, malformed, violation, write_binary, write_text, write_varint
from edgewire.errors import ProtocolError, UsageError
from edgewire.line.names import check_topic_name

UserProperties = tuple[tuple[str, str], ...]
"""Pairs of name and value; order counts and names may repeat (MQTT5-3.3.2-18)."""

PropertyValue = int | bool | str | bytes | tuple[str, str]


class _Kind(Enum):
    """How a property's value is written. Spec: MQTT 5 §1.5."""

    BYTE = 1
    TWO_BYTES = 2
    FOUR_BYTES = 4
    VARINT = "varint"
    TEXT = "text"
    BINARY = "binary"
    PAIR = "pair"


@dataclass(frozen=True, slots=True)
class _Rule:
    """One property: its identifier, its field in our classes, and its values.

    `refusal` answers a number outside low … high. `repeats`: it may stand more than once and its field is a tuple.
    """

    identifier: int
    name: str
    kind: _Kind
    low: int = 0
    high: int = 0xFFFFFFFF
    flag: bool = False
    repeats: bool = False
    refusal: ReasonCode = ReasonCode.PROTOCOL_ERROR


_RULES: Final = (
    _Rule(0x01, "payload_format", _Kind.BYTE, high=1),
    _Rule(0x02, "message_expiry_s", _Kind.FOUR_BYTES),
    _Rule(0x03, "content_type", _Kind.TEXT),
    _Rule(0x08, "response_topic", _Kind.TEXT),
    _Rule(0x09, "correlation_data", _Kind.BINARY),
    _Rule(0x0B, "subscription_identifier", _Kind.VARINT, low=1),
    _Rule(0x0B, "subscription_identifiers", _Kind.VARINT, low=1, repeats=True),
    _Rule(0x11, "session_expiry_s", _Kind.FOUR_BYTES),
    _Rule(0x12, "assigned_client_id", _Kind.TEXT),
    _Rule(0x13, "server_keep_alive_s", _Kind.TWO_BYTES),
    _Rule(0x15, "authentication_method", _Kind.TEXT),
    _Rule(0x16, "authentication_data", _Kind.BINARY),
    _Rule(0x17, "request_problem_information", _Kind.BYTE, high=1, flag=True),
    _Rule(0x18, "will_delay_s", _Kind.FOUR_BYTES),
    _Rule(0x19, "request_response_information", _Kind.BYTE, high=1, flag=True),
    _Rule(0x1A, "response_information", _Kind.TEXT),
    _Rule(0x1C, "server_reference", _Kind.TEXT),
    _Rule(0x1F, "reason_string", _Kind.TEXT),
    _Rule(0x21, "receive_maximum", _Kind.TWO_BYTES, low=1),
    _Rule(0x22, "topic_alias_maximum", _Kind.TWO_BYTES),
    _Rule(0x23, "topic_alias", _Kind.TWO_BYTES, low=1, refusal=ReasonCode.TOPIC_ALIAS_INVALID),
    _Rule(0x24, "maximum_qos", _Kind.BYTE, high=1),
    _Rule(0x25, "retain_available", _Kind.BYTE, high=1, flag=True),
    _Rule(0x26, "user_properties", _Kind.PAIR, repeats=True),
    _Rule(0x27, "maximum_packet_size", _Kind.FOUR_BYTES, low=1),
    _Rule(0x28, "wildcard_subscription_available", _Kind.BYTE, high=1, flag=True),
    _Rule(0x29, "subscription_identifiers_available", _Kind.BYTE, high=1, flag=True),
    _Rule(0x2A, "shared_subscription_available", _Kind.BYTE, high=1, flag=True),
)

_KNOWN: Final = frozenset(rule.identifier for rule in _RULES)


@dataclass(frozen=True, slots=True, kw_only=True)
class PropertyLimits:
    """How much of what one packet may carry in properties we read.

    `max_bytes` bounds one packet's property section before it is looked into; `max_user_properties` bounds the
    objects that it turns into, as ten thousand empty pairs take only 50 kB on the wire.
    """

    max_bytes: int = 65_536
    max_user_properties: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectProperties:
    """MQTT 5 §3.1.2.11."""

    session_expiry_s: int | None = None
    receive_maximum: int | None = None
    maximum_packet_size: int | None = None
    topic_alias_maximum: int | None = None
    request_response_information: bool | None = None
    request_problem_information: bool | None = None
    user_properties: UserProperties = ()
    authentication_method: str | None = None
    authentication_data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WillProperties:
    """MQTT 5 §3.1.3.2."""

    will_delay_s: int | None = None
    payload_format: int | None = None
    message_expiry_s: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: UserProperties = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnackProperties:
    """MQTT 5 §3.2.2.3."""

    session_expiry_s: int | None = None
    receive_maximum: int | None = None
    maximum_qos: int | None = None
    retain_available: bool | None = None
    maximum_packet_size: int | None = None
    assigned_client_id: str | None = None
    topic_alias_maximum: int | None = None
    reason_string: str | None = None
    user_properties: UserProperties = ()
    wildcard_subscription_available: bool | None = None
    subscription_identifiers_available: bool | None = None
    shared_subscription_available: bool | None = None
    server_keep_alive_s: int | None = None
    response_information: str | None = None
    server_reference: str | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishProperties:
    """MQTT 5 §3.3.2.3."""

    payload_format: int | None = None
    message_expiry_s: int | None = None
    topic_alias: int | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: UserProperties = ()
    subscription_identifiers: tuple[int, ...] = ()
    content_type: str | None = None


def size_of_said(said: PublishProperties | WillProperties) -> int:
    """Characters and bytes of what a message says of itself, and what is handed on with it."""
    pairs = sum(len(name) + len(value) for name, value in said.user_properties)
    texts = len(said.content_type or "") + len(said.response_topic or "")
    return texts + len(said.correlation_data or b"") + pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class AckProperties:
    """PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK: MQTT 5 §3.4.2.2 and its like."""

    reason_string: str | None = None
    user_properties: UserProperties = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeProperties:
    """MQTT 5 §3.8.2.1."""

    subscription_identifier: int | None = None
    user_properties: UserProperties = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsubscribeProperties:
    """MQTT 5 §3.10.2.1."""

    user_properties: UserProperties = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DisconnectProperties:
    """MQTT 5 §3.14.2.2."""

    session_expiry_s: int | None = None
    reason_string: str | None = None
    user_properties: UserProperties = ()
    server_reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthProperties:
    """MQTT 5 §3.15.2.2."""

    authentication_method: str | None = None
    authentication_data: bytes | None = field(default=None, repr=False)
    reason_string: str | None = None
    user_properties: UserProperties = ()


Properties = (
    ConnectProperties
    | WillProperties
    | ConnackProperties
    | PublishProperties
    | AckProperties
    | SubscribeProperties
    | UnsubscribeProperties
    | DisconnectProperties
    | AuthProperties
)
"""What any packet, or a will, carries."""


P = TypeVar("P")


class PropertyTable(Generic[P]):
    """The properties that one class of ours stands for: reads and writes them.

    `empty` is the one value for a section of length 0, which nearly all packets have.
    """

    def __init__(self, make: type[P], names: Iterable[str]) -> None:
        wanted = set(names)
        self._make: Callable[..., P] = make
        self._rules: Mapping[int, _Rule] = {rule.identifier: rule for rule in _RULES if rule.name in wanted}
        self._readers = {rule.identifier: _READERS[rule.kind] for rule in self._rules.values()}
        self.empty: P = make()

    def read(self, reader: Reader, limits: PropertyLimits) -> P:
        """Read a property section, its length first. Spec: MQTT 5 §2.2.2."""
        size = reader.varint()
        if size == 0:
            return self.empty
        if size > limits.max_bytes:
            raise _too_much(f"{size} bytes of properties, where {limits.max_bytes} are allowed")
        section = reader.section(size)
        single: dict[str, PropertyValue] = {}
        repeated: dict[str, list[PropertyValue]] = {}
        while section.left:
            rule = self._rule(section.varint())
            value = self._readers[rule.identifier](rule, section)
            if rule.repeats:
                values = repeated.setdefault(rule.name, [])
                values.append(value)
                if len(values) > limits.max_user_properties:
                    raise _too_much(f"more than {limits.max_user_properties} {rule.name}")
            elif rule.name in single:
                raise violation(f"{rule.name} twice", f"MQTT5 §2.2.2.2, property 0x{rule.identifier:02X}")
            else:
                single[rule.name] = value
        return self._make(**single, **{name: tuple(values) for name, values in repeated.items()})

    def write(self, properties: P | None) -> bytes:
        """The property section, its length first; None is an empty one."""
        if properties is None or properties == self.empty:
            return b"\x00"
        body = b"".join(self._written(properties))
        return write_varint(len(body)) + body

    def _rule(self, identifier: int) -> _Rule:
        rule = self._rules.get(identifier)
        if rule is None and identifier in _KNOWN:
            raise violation(f"property 0x{identifier:02X} in a packet that has none", "MQTT5 §2.2.2.2")
        if rule is None:
            raise malformed("a property that does not exist", "MQTT5 §2.2.2.2")
        return rule

    def _written(self, properties: P) -> Iterator[bytes]:
        for rule in self._rules.values():
            found: PropertyValue | tuple[PropertyValue, ...] | None = getattr(properties, rule.name)
            if rule.repeats:
                assert isinstance(found, tuple)
                values: Iterable[PropertyValue] = found
            else:
                # Only a field that repeats holds a tuple of values.
                values = () if found is None else (cast("PropertyValue", found),)
            for value in values:
                yield bytes((rule.identifier,)) + _write_value(rule, value)


def _too_much(what: str) -> ProtocolError:
    return ProtocolError(what, reply=ReasonCode.QUOTA_EXCEEDED, spec="MQTT5 §4.13")


def _in_range(rule: _Rule, number: int) -> int | bool:
    if not rule.low <= number <= rule.high:
        what = f"{rule.name} may not be {number}"
        raise ProtocolError(what, reply=rule.refusal, spec=f"MQTT5 §2.2.2.2, property 0x{rule.identifier:02X}")
    return number == 1 if rule.flag else number


def _read_number(rule: _Rule, section: Reader) -> PropertyValue:
    assert isinstance(rule.kind.value, int)
    return _in_range(rule, section.number(rule.kind.value))


def _read_varint(rule: _Rule, section: Reader) -> PropertyValue:
    return _in_range(rule, section.varint())


def _read_text(rule: _Rule, section: Reader) -> PropertyValue:
    text = section.text()
    return text if rule.name != "response_topic" else check_topic_name(text)


def _read_binary(_rule: _Rule, section: Reader) -> PropertyValue:
    return section.binary()


def _read_pair(_rule: _Rule, section: Reader) -> PropertyValue:
    return section.text(), section.text()


_READERS: Final[Mapping[_Kind, Callable[[_Rule, Reader], PropertyValue]]] = {
    _Kind.BYTE: _read_number,
    _Kind.TWO_BYTES: _read_number,
    _Kind.FOUR_BYTES: _read_number,
    _Kind.VARINT: _read_varint,
    _Kind.TEXT: _read_text,
    _Kind.BINARY: _read_binary,
    _Kind.PAIR: _read_pair,
}


def _write_value(rule: _Rule, value: PropertyValue) -> bytes:
    match rule.kind, value:
        case _Kind.BYTE | _Kind.TWO_BYTES | _Kind.FOUR_BYTES, int():
            return _checked(rule, value).to_bytes(rule.kind.value, "big")
        case _Kind.VARINT, int():
            return write_varint(_checked(rule, value))
        case _Kind.TEXT, str():
            return write_text(value)
        case _Kind.BINARY, bytes():
            return write_binary(value)
        case _Kind.PAIR, (str() as name, str() as text):
            return write_text(name) + write_text(text)
    raise UsageError(f"{rule.name} may not be a {type(value).__name__}")


def _checked(rule: _Rule, value: int) -> int:
    high = min(rule.high, (1 << 8 * rule.kind.value) - 1) if isinstance(rule.kind.value, int) else rule.high
    if not rule.low <= value <= high:
        raise UsageError(f"{rule.name} may not be {value}")
    return int(value)


def _names(made: type[Properties]) -> list[str]:
    return [one.name for one in fields(made)]


CONNECT: Final = PropertyTable(ConnectProperties, _names(ConnectProperties))
WILL: Final = PropertyTable(WillProperties, _names(WillProperties))
CONNACK: Final = PropertyTable(ConnackProperties, _names(ConnackProperties))
PUBLISH: Final = PropertyTable(PublishProperties, _names(PublishProperties))
ACK: Final = PropertyTable(AckProperties, _names(AckProperties))
SUBSCRIBE: Final = PropertyTable(SubscribeProperties, _names(SubscribeProperties))
UNSUBSCRIBE: Final = PropertyTable(UnsubscribeProperties, _names(UnsubscribeProperties))
DISCONNECT: Final = PropertyTable(DisconnectProperties, _names(DisconnectProperties))
AUTH: Final = PropertyTable(AuthProperties, _names(AuthProperties))
