"""What travels: messages, who sent them, where they go, and what became of them.

A message is an `Envelope` and a body. A device repeats its topic, so envelopes repeat: one object may serve many
messages, and whatever is computed from an envelope alone can be kept per envelope.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NewType

DeviceId = NewType("DeviceId", str)
ModuleId = NewType("ModuleId", str)

Properties = Mapping[str, str | None]
"""Application properties, names as sent; None is a key that came without a value."""

SystemProperties = Mapping[str, str]
"""System properties by the names routes use: contentType, contentEncoding, messageId, cid, outputName, …"""


@dataclass(frozen=True, slots=True)
class Identity:
    """A device, or a module on a device."""

    device: DeviceId
    module: ModuleId | None = None

    def __str__(self) -> str:
        return self.device if self.module is None else f"{self.device}/{self.module}"


def identity(device: str, module: str | None = None) -> Identity:
    """The identity with these ids, for callers that hold plain text."""
    return Identity(DeviceId(device), None if module is None else ModuleId(module))


class MessageSource(Enum):
    """What kind of message it is; the value is the first segment of the path that FROM matches."""

    TELEMETRY = "messages"
    TWIN_CHANGE = "twinChangeNotifications"
    CONNECTION_STATE = "deviceConnectionStateEvents"


class Notes:
    """What rooms have worked out from an envelope alone: one place for each, which only that room reads.

    A look-up by the envelope instead would cost more than what it finds, and need a bound of its own.
    """

    __slots__ = ("carried", "routed", "stored")

    def __init__(self) -> None:
        self.carried: object = None
        self.routed: object = None
        self.stored: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """All of a message but its body.

    `system` always holds connectionDeviceId, and connectionModuleId for a module; whoever builds an envelope sets
    them from the authenticated sender, never from what the peer wrote. `notes` are no part of the value.
    """

    sender: Identity
    properties: Properties
    system: SystemProperties
    source: MessageSource = MessageSource.TELEMETRY
    notes: Notes = field(default_factory=Notes, init=False, compare=False, repr=False)


@dataclass(slots=True, unsafe_hash=True)
class Message:
    """An envelope and its body, the bytes as the device sent them.

    Not frozen, and nobody changes one all the same: there is one per message, and freezing costs 0.2 µs.
    """

    envelope: Envelope
    body: bytes


class EndpointKind(Enum):
    """What kind of place it is, without the names that operators choose."""

    UPSTREAM = "upstream"
    """The cloud."""
    MODULE = "module"
    """An input of a module on this edge device."""
    NAMED = "endpoint"
    """One that the settings configure by a name: an Event Hub."""
    TOPIC = "topic"
    """A topic of the gateway's own broker."""
    STAGE = "stage"
    """Messages that wait here to be made into others: batches, aggregates."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a route sends. `name` is the module's, the configured one, the topic, or the route of a stage.

    `input` is the module's; of a stage it says what is made there, and where that goes.
    """

    kind: EndpointKind = EndpointKind.UPSTREAM
    name: str | None = None
    input: str | None = None

    def __str__(self) -> str:
        match self.kind:
            case EndpointKind.UPSTREAM:
                return "$upstream"
            case EndpointKind.MODULE:
                return f"/modules/{self.name}/inputs/{self.input}"
            case EndpointKind.NAMED:
                return f'Endpoint("{self.name}")'
            case EndpointKind.TOPIC:
                return f'Topic("{self.name}")'
            case EndpointKind.STAGE:
                return f"what route '{self.name}' collects"


UPSTREAM: Final = Endpoint()


def module_input(module: str, input_name: str) -> Endpoint:
    """The endpoint of `BrokeredEndpoint("/modules/<module>/inputs/<input_name>")`."""
    return Endpoint(EndpointKind.MODULE, module, input_name)


def named_endpoint(name: str) -> Endpoint:
    """The endpoint of `Endpoint("<name>")`."""
    return Endpoint(EndpointKind.NAMED, name)


def local_topic(pattern: str) -> Endpoint:
    """The endpoint of `Topic("<pattern>")`."""
    return Endpoint(EndpointKind.TOPIC, pattern)


def stage_of(route: str, how: str | None = None) -> Endpoint:
    """Where the messages of `route` wait to be made into others; `how` is for whoever makes them.

    What waits keeps the way it was to go when the route changes: another `how` is another endpoint.
    """
    return Endpoint(EndpointKind.STAGE, route, how)


DEFAULT_PRIORITY: Final = 2_000_000_000
"""A route without a priority comes after all routes with one (edgeHub's own number)."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One place a message must go, how urgently, and until when.

    `priority`: 0 first … 9, or DEFAULT_PRIORITY. `time_to_live_s`: None for no limit.
    """

    endpoint: Endpoint
    priority: int = DEFAULT_PRIORITY
    time_to_live_s: int | None = None


class Outcome(Enum):
    """What became of a message that was handed on."""

    ACCEPTED = "accepted"
    """The next one has it and answers for it."""
    REJECTED = "rejected"
    """It will never be taken; sending it again is of no use."""
    RELEASED = "released"
    """It was not taken now; send it again later."""
