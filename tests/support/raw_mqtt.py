"""MQTT packets as bytes, written by hand: right ones, and parts to make wrong ones of. Nothing of our codec is used."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CONNACK: Final = 0x20
PUBLISH: Final = 0x30
PUBACK: Final = 0x40
SUBACK: Final = 0x90
UNSUBACK: Final = 0xB0
PINGREQ: Final = b"\xc0\x00"
PINGRESP: Final = 0xD0
DISCONNECT: Final = 0xE0
GOODBYE: Final = b"\xe0\x00"


def varint(value: int) -> bytes:
    """A variable byte integer; nothing checks that it fits four bytes."""
    digits = bytearray()
    while True:
        value, digit = value >> 7, value & 0x7F
        digits.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(digits)


def packet(first: int, body: bytes) -> bytes:
    """A packet with the right length."""
    return bytes((first,)) + varint(len(body)) + body


def text(value: str | bytes) -> bytes:
    """A string or binary field with its length."""
    raw = value.encode() if isinstance(value, str) else value
    return len(raw).to_bytes(2, "big") + raw


def user_property(name: str, value: str) -> bytes:
    """One user property of MQTT 5."""
    return b"\x26" + text(name) + text(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The fields of a CONNECT. `properties` and those of the will are bytes without their length."""

    client_id: str | bytes
    username: str | bytes | None = None
    password: str | bytes | None = None
    level: int = 4
    clean: bool = True
    keep_alive_s: int = 60
    properties: bytes = b""
    will_topic: str | None = None
    will_payload: bytes = b"gone"
    will_properties: bytes = b""

    @property
    def wire(self) -> bytes:
        """The packet."""
        with_properties = self.level >= 5
        flags = (0x02 if self.clean else 0) | (0x04 if self.will_topic is not None else 0)
        flags |= (0x80 if self.username is not None else 0) | (0x40 if self.password is not None else 0)
        body = text("MQIsdp" if self.level == 3 else "MQTT") + bytes((self.level, flags))
        body += self.keep_alive_s.to_bytes(2, "big")
        body += varint(len(self.properties)) + self.properties if with_properties else b""
        body += text(self.client_id)
        if self.will_topic is not None:
            body += varint(len(self.will_properties)) + self.will_properties if with_properties else b""
            body += text(self.will_topic) + text(self.will_payload)
        body += b"" if self.username is None else text(self.username)
        body += b"" if self.password is None else text(self.password)
        return packet(0x10, body)


def publish(
    topic: str | bytes,
    payload: bytes = b"{}",
    *,
    qos: int = 1,
    packet_id: int = 1,
    retain: bool = False,
    properties: bytes | None = None,
) -> bytes:
    """PUBLISH; `properties` are given, without their length, in MQTT 5 only."""
    body = text(topic) + (packet_id.to_bytes(2, "big") if qos else b"")
    body += b"" if properties is None else varint(len(properties)) + properties
    return packet(PUBLISH | qos << 1 | int(retain), body + payload)


def subscribe(
    filters: Sequence[str | bytes], *, packet_id: int = 1, qos: int = 1, properties: bytes | None = None
) -> bytes:
    """SUBSCRIBE of these filters."""
    body = packet_id.to_bytes(2, "big")
    body += b"" if properties is None else varint(len(properties)) + properties
    return packet(0x82, body + b"".join(text(one) + bytes((qos,)) for one in filters))


def connack_code(body: bytes) -> int:
    """The return or reason code of a CONNACK."""
    return body[1]


def disconnect_reason(body: bytes) -> int:
    """The reason code of a server's DISCONNECT."""
    return body[0] if body else 0
