"""Events of the client of a site's broker: the connection, what came, and what was known and not taken again."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class BrokerFault(Enum):
    """Why there is no connection to the broker, or why it was lost."""

    UNKNOWN_HOST = "unknown_host"
    UNREACHABLE = "unreachable"
    """No route, or refused."""
    TIMED_OUT = "timed_out"
    """It took the connection, or a request, and said nothing."""
    CERTIFICATE = "certificate"
    """Its certificate is not signed by whom we believe, or is for another name."""
    OUR_CERTIFICATE = "our_certificate"
    """It wants a certificate of ours, or another one."""
    TLS = "tls"
    CREDENTIALS = "credentials"
    """It refused user name or password."""
    NOT_AUTHORISED = "not_authorised"
    """It knows us, and does not let us."""
    CLIENT_ID = "client_id"
    """It refused the client id."""
    VERSION = "version"
    """It does not speak this version of MQTT."""
    UNAVAILABLE = "unavailable"
    """It says that it is busy, or shutting down."""
    TAKEN_OVER = "taken_over"
    """Another client came with the same client id."""
    FILES = "files"
    """A file of ours cannot be read: certificate, key, password."""
    PROTOCOL = "protocol"
    """It sent what MQTT does not allow."""
    DROPPED = "dropped"
    """It closed the connection."""


class KnownMessage(Enum):
    """Why a message of the broker was acknowledged and not taken."""

    REPEAT = "repeat"
    """Sent again after a break: it is here, and its first acknowledgement never left."""
    RETAINED = "retained"
    """Retained, and the same as was taken from its topic before; or the settings leave retained ones alone."""
    ECHO = "echo"
    """It was here before and came round over other brokers."""


@dataclass(frozen=True, slots=True)
class BrokerConnected(Event):
    """The broker has let the gateway in."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_broker_connects_total"

    broker: str
    took_s: float
    session_present: bool

    def sentence(self) -> str:
        """What a person reads in the log."""
        kept = "it has kept the session" if self.session_present else "a new session begins"
        return f"connected to the broker {self.broker} after {self.took_s:.1f} s; {kept}"


@dataclass(frozen=True, slots=True)
class BrokerSessionLost(Event):
    """The broker had a session for the gateway and has it no more: what it got meanwhile does not come."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_broker_lost_sessions_total"

    broker: str
    client_id: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the broker {self.broker} has forgotten the session of '{self.client_id}': what was published while the "
            "gateway was away does not come. Look there for persistence that is off, and for a time after which "
            "sessions expire"
        )


@dataclass(frozen=True, slots=True)
class BrokerLost(Event):
    """The connection to the broker stood and does not any more. What was not acknowledged comes again."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_broker_drops_total"
    LABELS: ClassVar[tuple[str, ...]] = ("fault",)

    fault: BrokerFault
    reason: str
    unacknowledged: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"connection to the broker lost: {self.reason}. {self.unacknowledged} messages are not acknowledged yet"


@dataclass(frozen=True, slots=True)
class BrokerTryFailed(Event):
    """A try to connect to the broker failed; the next one comes after a back-off."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_broker_failed_connects_total"
    LABELS: ClassVar[tuple[str, ...]] = ("fault",)

    fault: BrokerFault
    reason: str
    failures: int
    delay_s: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.reason}. Try {self.failures} failed; the next comes in {self.delay_s:.1f} s"


@dataclass(frozen=True, slots=True)
class BrokerSubscribed(Event):
    """The broker has confirmed subscriptions: those of the topic rules, and explicit ones."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_broker_subscriptions_total"

    count: int
    filters: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"subscribed at the broker to {self.filters}"


@dataclass(frozen=True, slots=True)
class BrokerSubscriptionRefused(Event):
    """The broker does not let the gateway hear a topic."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_broker_refused_subscriptions_total"

    topic_filter: str
    reason: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the broker refused the subscription to '{self.topic_filter}' ({self.reason}): nothing comes from there. "
            "Let this client read it in the broker's access list, or change the topic rule"
        )


@dataclass(frozen=True, slots=True)
class BrokerHeardNothingWanted(Event):
    """The gateway is a client of a broker, and no topic rule or setting says what to subscribe to."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_broker_without_rules_total"

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            'no topic rule is for the listener "broker", so nothing is subscribed to there. Add one under "topics" in '
            "the settings"
        )


@dataclass(frozen=True, slots=True)
class BrokerMessagesReceived(Event):
    """Messages that came from the broker, before any rule."""

    METRIC: ClassVar[str] = "gateway_broker_received_messages_total"

    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} messages came from the broker"


@dataclass(frozen=True, slots=True)
class BrokerMessagesKnown(Event):
    """Messages of the broker that were acknowledged and not taken: they are here, or were."""

    METRIC: ClassVar[str] = "gateway_broker_known_messages_total"
    LABELS: ClassVar[tuple[str, ...]] = ("why",)

    why: KnownMessage
    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} messages of the broker were not taken again: {self.why.value}"


@dataclass(frozen=True, slots=True)
class BrokerLoopCut(Event):
    """A message that the gateway sent came back over the broker, and goes no further. Told once a minute at most."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_broker_loops_total"

    topic: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"messages come back over the broker, the latest on '{self.topic}': they are cut here. Give what goes out "
            "and what comes in topics of their own, or take one of the two bridges away"
        )


@dataclass(frozen=True, slots=True)
class BrokerNotesNotKept(Event):
    """The notes by which repeats are known after a restart cannot be kept; nothing else depends on them."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_broker_notes_not_kept_total"

    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"after a restart repeats of the broker's messages will not be known: {self.detail}"
