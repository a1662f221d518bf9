"""What frames carry: performatives, the composite values in them, and the security layer's. Spec: AMQP 1.0 §2.7, §3.5.

Attributes have the names of the specification, and its defaults: a field that is null on the wire reads as its default.
A field that may hold several values (`multiple`) is a tuple, empty for null.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgewire.codec.amqp.kinds import Described, Symbol

Map = Mapping[Any, object]
"""A map of the wire; symbols compare equal to text, so `properties.get("name")` finds either."""

SENDER: Final = False
"""AMQP 1.0 §2.8.1: role."""

RECEIVER: Final = True

UNSETTLED: Final = 0
"""AMQP 1.0 §2.8.2: snd-settle-mode."""

SETTLED: Final = 1
MIXED: Final = 2

FIRST: Final = 0
"""AMQP 1.0 §2.8.3: rcv-settle-mode."""

SECOND: Final = 1

UINT_MAX: Final = 4_294_967_295
USHORT_MAX: Final = 65_535

SESSION_END: Final = Symbol("session-end")
"""AMQP 1.0 §3.5.6: the expiry policy that is the default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """Why something ended. Spec: AMQP 1.0 §2.8.14."""

    condition: str
    description: str | None = None
    info: Map | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """How far a delivery has come. Spec: AMQP 1.0 §3.4.1."""

    section_number: int
    section_offset: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """Taken. Spec: AMQP 1.0 §3.4.2."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused for good. Spec: AMQP 1.0 §3.4.3."""

    error: Error | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """Given back, not tried. Spec: AMQP 1.0 §3.4.4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modified:
    """Given back, changed. Spec: AMQP 1.0 §3.4.5."""

    delivery_failed: bool = False
    undeliverable_here: bool = False
    message_annotations: Map | None = None


DeliveryState = Received | Accepted | Rejected | Released | Modified | Described
"""AMQP 1.0 §3.4; a state of another standard (transactions) stays a described value."""

Outcome = Accepted | Rejected | Released | Modified | Described

ACCEPTED: Final = Accepted()
RELEASED: Final = Released()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a link's messages come from. Spec: AMQP 1.0 §3.5.3."""

    address: str | None = None
    durable: int = 0
    expiry_policy: str = SESSION_END
    timeout: int = 0
    dynamic: bool = False
    dynamic_node_properties: Map | None = None
    distribution_mode: str | None = None
    filter: Map | None = None
    default_outcome: Outcome | None = None
    outcomes: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a link's messages go. Spec: AMQP 1.0 §3.5.4."""

    address: str | None = None
    durable: int = 0
    expiry_policy: str = SESSION_END
    timeout: int = 0
    dynamic: bool = False
    dynamic_node_properties: Map | None = None
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Coordinator:
    """The target of a link that controls transactions. Spec: AMQP 1.0 §4.5.1."""

    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Negotiates a connection. Spec: AMQP 1.0 §2.7.1."""

    container_id: str
    hostname: str | None = None
    max_frame_size: int = UINT_MAX
    channel_max: int = USHORT_MAX
    idle_time_out: int | None = None
    outgoing_locales: tuple[str, ...] = ()
    incoming_locales: tuple[str, ...] = ()
    offered_capabilities: tuple[str, ...] = ()
    desired_capabilities: tuple[str, ...] = ()
    properties: Map | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Begins a session on a channel. Spec: AMQP 1.0 §2.7.2."""

    remote_channel: int | None = None
    next_outgoing_id: int
    incoming_window: int
    outgoing_window: int
    handle_max: int = UINT_MAX
    offered_capabilities: tuple[str, ...] = ()
    desired_capabilities: tuple[str, ...] = ()
    properties: Map | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Attaches a link to a session. Spec: AMQP 1.0 §2.7.3."""

    name: str
    handle: int
    role: bool
    snd_settle_mode: int = MIXED
    rcv_settle_mode: int = FIRST
    source: Source | Described | None = None
    target: Target | Coordinator | Described | None = None
    unsettled: Map | None = None
    incomplete_unsettled: bool = False
    initial_delivery_count: int | None = None
    max_message_size: int | None = None
    offered_capabilities: tuple[str, ...] = ()
    desired_capabilities: tuple[str, ...] = ()
    properties: Map | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Says what may be sent: a session's windows, a link's credit. Spec: AMQP 1.0 §2.7.4."""

    next_incoming_id: int | None = None
    incoming_window: int
    next_outgoing_id: int
    outgoing_window: int
    handle: int | None = None
    delivery_count: int | None = None
    link_credit: int | None = None
    available: int | None = None
    drain: bool = False
    echo: bool = False
    properties: Map | None = None


# Made once per message: neither frozen nor keyword-only, which together would double what making one costs.
@dataclass(slots=True)
class Transfer:
    """Carries a message or a part of it, in its frame's payload. Spec: AMQP 1.0 §2.7.5."""

    handle: int
    delivery_id: int | None = None
    delivery_tag: bytes | None = None
    message_format: int | None = None
    settled: bool = False
    more: bool = False
    rcv_settle_mode: int | None = None
    state: DeliveryState | None = None
    resume: bool = False
    aborted: bool = False
    batchable: bool = False


# As Transfer.
@dataclass(slots=True)
class Disposition:
    """Tells the state of deliveries `first` to `last`. Spec: AMQP 1.0 §2.7.6."""

    role: bool
    first: int
    last: int | None = None
    settled: bool = False
    state: DeliveryState | None = None
    batchable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Detach:
    """Detaches a link, or closes it. Spec: AMQP 1.0 §2.7.7."""

    handle: int
    closed: bool = False
    error: Error | None = None


@dataclass(frozen=True, slots=True)
class End:
    """Ends a session. Spec: AMQP 1.0 §2.7.8."""

    error: Error | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Ends a connection. Spec: AMQP 1.0 §2.7.9."""

    error: Error | None = None


OK: Final = 0
"""AMQP 1.0 §5.3.3.6: codes of SaslOutcome. These credentials are fine."""

AUTH: Final = 1
"""The credentials are wrong."""

SYS: Final = 2
"""A fault of the system."""

SYS_PERM: Final = 3
SYS_TEMP: Final = 4


@dataclass(frozen=True, slots=True)
class SaslMechanisms:
    """What the server offers. Spec: AMQP 1.0 §5.3.3.1."""

    sasl_server_mechanisms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SaslInit:
    """What the client chose, and its credentials. Spec: AMQP 1.0 §5.3.3.2."""

    mechanism: str
    initial_response: bytes | None = None
    hostname: str | None = None

    def __repr__(self) -> str:
        return f"SaslInit(mechanism={self.mechanism!r}, initial_response=…, hostname={self.hostname!r})"


@dataclass(frozen=True, slots=True)
class SaslChallenge:
    """Asks for more. Spec: AMQP 1.0 §5.3.3.3."""

    challenge: bytes


@dataclass(frozen=True, slots=True)
class SaslResponse:
    """Answers a challenge. Spec: AMQP 1.0 §5.3.3.4."""

    response: bytes

    def __repr__(self) -> str:
        return "SaslResponse(…)"


@dataclass(frozen=True, slots=True)
class SaslOutcome:
    """How it ended. Spec: AMQP 1.0 §5.3.3.5."""

    code: int
    additional_data: bytes | None = None


AmqpPerformative = Open | Begin | Attach | Flow | Transfer | Disposition | Detach | End | Close
SaslPerformative = SaslMechanisms | SaslInit | SaslChallenge | SaslResponse | SaslOutcome
Performative = AmqpPerformative | SaslPerformative
