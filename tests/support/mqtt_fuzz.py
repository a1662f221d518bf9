"""Seeded MQTT bytes that are nearly right, for a gateway that must not care. Blind and structure-aware."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from support import raw_mqtt
from support.raw_mqtt import Hello, packet, text, user_property, varint

LEVELS = (3, 4, 5)
NUMBERS = (0, 1, 2, 127, 128, 255, 256, 16_383, 16_384, 32_767, 65_535)
LENGTHS = (0, 1, 127, 128, 16_384, 327_680, 2_097_151, 2_097_152, 243_000_000, 268_435_455)
SCRAPS = (
    "",
    "a",
    "/",
    "//",
    "#",
    "+",
    "$",
    "$SYS/x",
    "%",
    "%00",
    "%ZZ",
    "\ufeff",
    "\U0010ffff",
    "é",
    "..",
    "?",
    "&",
    "=",
)
BODIES = (b"", b"{}", b"[", b'{"a":' * 90, b"\xff\xfe", b"nul\0", b'{"messageType":"alert"}', b"9" * 500, b"x" * 5_000)
PROPERTY_IDS = (*range(0x2C), 0x7F, 0x80, 0xFF)


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes to send, behind a login or instead of one."""

    wire: bytes
    level: int
    after_login: bool
    kind: str


class Fuzz:
    """Cases for the device `device`, whose right CONNECT `connect` writes; equal seeds give equal cases."""

    def __init__(self, seed: int, device: str, connect: Callable[[int], Hello]) -> None:
        self._random = random.Random(seed)
        self._device = device
        self._connect = connect
        self._level = 4
        self._makers: Sequence[Callable[[int], bytes]] = (
            self._publish,
            self._publish,
            self._subscribe,
            self._unsubscribe,
            self._acknowledgement,
            self._disconnect,
            self._empty,
            self._hello,
            self._reserved,
        )

    def case(self) -> Case:
        """The next case."""
        chance = self._random.random()
        if self._random.random() < 0.1:  # a new version needs a new connection, which costs more than ten cases
            self._level = self._random.choice(LEVELS)
        level, after_login = self._level, self._random.random() < 0.9
        if chance < 0.15:
            return Case(self._random.randbytes(self._random.randrange(1, 200)), level, after_login, "blind")
        if chance < 0.3:
            return Case(self._mutated(self._right(level, after_login=after_login)), level, after_login, "mutated")
        wire = self._right(level, after_login=after_login)
        if chance < 0.5:
            wire += self._right(level, after_login=True)
        return Case(wire, level, after_login, "structure")

    def _right(self, level: int, *, after_login: bool) -> bytes:
        return self._random.choice(self._makers)(level) if after_login else self._hello(level)

    def _mutated(self, wire: bytes) -> bytes:
        data = bytearray(wire)
        for _ in range(self._random.randrange(1, 4)):
            at = self._random.randrange(len(data)) if data else 0
            match self._random.randrange(6):
                case 0 if data:
                    data[at] ^= 1 << self._random.randrange(8)
                case 1 if data:
                    data[at] = self._random.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 2:
                    del data[at : at + self._random.randrange(1, 9)]
                case 3:
                    data[at:at] = self._random.randbytes(self._random.randrange(1, 9))
                case 4 if data:
                    data[1:2] = varint(self._random.choice(LENGTHS))
                case _:
                    data[at:at] = data[at : at + self._random.randrange(1, 60)]
        return bytes(data) or b"\0"

    # Packets: well formed, with values that nobody needs.

    def _publish(self, level: int) -> bytes:
        qos = self._random.choice((0, 1, 1, 1, 1, 1, 1, 2))
        dup = 8 if qos and self._random.random() < 0.2 else 0
        return packet(
            raw_mqtt.PUBLISH | dup | qos << 1 | self._random.randrange(2),
            text(self._topic())
            + (self._number() if qos else b"")
            + self._properties(level)
            + self._random.choice(BODIES),
        )

    def _subscribe(self, level: int) -> bytes:
        filters = [self._filter() for _ in range(self._random.randrange(0, 5))]
        options = self._random.choice((0, 1, 1, 2, 3, 0x04, 0x2C, 0xFF))
        body = b"".join(text(one) + bytes((options,)) for one in filters)
        return packet(self._random.choice((0x82, 0x82, 0x8A)), self._number() + self._properties(level) + body)

    def _unsubscribe(self, level: int) -> bytes:
        filters = [text(self._filter()) for _ in range(self._random.randrange(0, 5))]
        return packet(0xA2, self._number() + self._properties(level) + b"".join(filters))

    def _acknowledgement(self, level: int) -> bytes:
        first = self._random.choice((0x40, 0x50, 0x62, 0x70, 0x20, 0x90, 0xB0))
        reason = bytes((self._random.randrange(256),)) + self._properties(5) if level == 5 else b""
        return packet(first, self._number() + self._random.choice((b"", reason)))

    def _disconnect(self, level: int) -> bytes:
        reason = bytes((self._random.choice((0, 4, 0x80, 0x81, 0x99, 0xFF)),)) + self._properties(5)
        return packet(raw_mqtt.DISCONNECT, reason if level == 5 else b"")

    def _empty(self, _level: int) -> bytes:
        return self._random.choice(
            (raw_mqtt.PINGREQ, raw_mqtt.PINGREQ * 50, b"\xd0\x00", b"\xc0\x80\x00", b"\xc0\x01x")
        )

    def _reserved(self, level: int) -> bytes:
        """AUTH, type 0, flags that do not exist, lengths without an end."""
        first = self._random.choice((0x00, 0x0F, 0xF0, 0xF1, 0x36, 0x3E, 0x83, 0xC1))
        length = self._random.choice((b"\x00", b"\xff\xff\xff\xff\xff", varint(self._random.choice(LENGTHS))))
        return bytes((first,)) + length + self._properties(level)

    def _hello(self, level: int) -> bytes:
        """CONNECT, with one thing or two not as they should be."""
        right = self._connect(level)
        client_id = self._random.choice((right.client_id, right.client_id, self._scraps(), "x" * 30_000))
        username = self._random.choice((right.username, right.username, self._scraps(), None))
        password = self._random.choice((right.password, self._scraps(), b"\xff\xfe", None, "p" * 5_000))
        return Hello(
            client_id=client_id,
            username=username,
            password=password,
            level=self._random.choice((level, level, 0, 2, 6, 0x83, 0x84, 0x85, 0xFF)),
            clean=self._random.random() < 0.5,
            keep_alive_s=self._random.choice(NUMBERS),
            properties=self._some_properties(),
            will_topic=self._random.choice((None, None, self._topic())),
            will_payload=self._random.choice(BODIES),
            will_properties=self._some_properties(),
        ).wire

    # Fields.

    def _number(self) -> bytes:
        return (
            self._random.choice(NUMBERS) if self._random.random() < 0.2 else self._random.randrange(65_536)
        ).to_bytes(2)

    def _scraps(self) -> str:
        return "".join(self._random.choices(SCRAPS, k=self._random.randrange(6)))

    def _topic(self) -> str:
        own = f"devices/{self._device}/messages/events/"
        bag = f"a{self._scraps()}={self._scraps()}&b=1"
        others = (f"devices/{self._scraps()}/messages/events/", self._scraps(), own + "x" * 60_000)
        requests = (f"$iothub/twin/GET/?$rid={self._scraps()}", "$iothub/methods/res/200/?$rid=1")
        return self._random.choice((own, own, own + bag, own + bag, *others, *requests))

    def _filter(self) -> str:
        own = f"devices/{self._device}/messages/devicebound/#"
        others = ("#", "+/#", "$share/g/" + own, "$iothub/twin/res/#", "devices/+/messages/devicebound/#", "/" * 2_000)
        return self._random.choice((own, own, *others, self._scraps()))

    def _properties(self, level: int) -> bytes:
        """The field of properties, where the level has one; its length is not always right."""
        if level < 5:
            return b""
        found = self._some_properties()
        return varint(len(found) if self._random.random() < 0.95 else self._random.choice(LENGTHS)) + found

    def _some_properties(self) -> bytes:
        if self._random.random() < 0.4:
            return b""
        return b"".join(self._property() for _ in range(self._random.randrange(1, 4)))

    def _property(self) -> bytes:
        name = self._random.choice(PROPERTY_IDS)
        match self._random.randrange(6):
            case 0:
                return user_property(self._scraps(), self._scraps())
            case 1:
                return b"\x23" + self._number()  # topic alias
            case 2:
                return bytes((name,)) + bytes((self._random.randrange(256),))
            case 3:
                return bytes((name,)) + self._number()
            case 4:
                return bytes((name,)) + self._random.choice((b"\0\0\0\0", b"\xff\xff\xff\xff"))
            case _:
                return bytes((name,)) + text(self._scraps())


def asks_for_more(wire: bytes) -> bool:
    """Whether a reader of packets would wait for bytes behind these: then a PINGREQ behind them is not heard."""
    at = 0
    while at < len(wire):
        size, shift, at = 0, 0, at + 1
        while True:
            if at >= len(wire):
                return True
            digit = wire[at]
            size |= (digit & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if digit < 0x80:
                break
            if shift > 21:
                return False
        at += size
    return at > len(wire)
