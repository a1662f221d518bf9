"""What is published locally, and how somebody subscribes it."""

from dataclasses import dataclass, field

from gateway.broker.limits import MESSAGE_OVERHEAD, PROPERTY_OVERHEAD

UserProperties = tuple[tuple[str, str], ...]

MAX_QOS = 1
"""What is granted at most; a message of higher quality there is none here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What a message of MQTT 5 says of itself and is handed on unchanged (MQTT 5 §3.3.2.3)."""

    payload_format: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: UserProperties = ()

    @property
    def size(self) -> int:
        """What they count where the message waits."""
        pairs = sum(_held(name) + _held(value) + PROPERTY_OVERHEAD for name, value in self.user_properties)
        texts = _held(self.content_type or "") + _held(self.response_topic or "")
        return texts + len(self.correlation_data or b"") + pairs


PLAIN = Extras()


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMessage:
    """One publication. `expires_at` is in the broker's clock, None for never."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    extras: Extras = PLAIN
    expires_at: float | None = None

    @property
    def size(self) -> int:
        """What it counts where it waits."""
        size = _held(self.topic) + len(self.payload) + MESSAGE_OVERHEAD
        return size if self.extras is PLAIN else size + self.extras.size

    def has_expired(self, now: float) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """How one client subscribes one filter. Spec: MQTT 5 §3.8.3.1.

    no_local: what the client itself publishes is not for it; MQTT 5 clients say so, and bridges always mean it.
    retain_as_published: RETAIN stands as the publisher set it, not only on what is retained already.
    retain_handling: 0: retained messages at each SUBSCRIBE, 1: at a new one, 2: none.
    """

    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0
    identifier: int | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message for one subscriber. `identifiers` are those of the subscriptions that it matched (MQTT5-3.3.4-3)."""

    message: LocalMessage
    qos: int
    retain: bool = False
    identifiers: tuple[int, ...] = field(default=())


def _held(text: str) -> int:
    """Bytes of memory that a text takes at most: one character beyond U+FFFF makes four of each."""
    return len(text) if text.isascii() else 4 * len(text)
