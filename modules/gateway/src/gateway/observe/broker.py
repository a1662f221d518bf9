"""Events of the local broker and of the plain listener: who came, what was refused, what was not kept."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level
from gateway.observe.head import Leaving


class DroppedLocal(Enum):
    """Why a message did not reach a subscriber."""

    QUEUE_FULL = "queue_full"
    """More waits for this client than may."""
    MEMORY_FULL = "memory_full"
    """More waits for all clients than may."""
    EXPIRED = "expired"
    """The publisher gave it a time, which is over."""
    TOO_LARGE = "too_large"
    """The client takes no message of this size."""


@dataclass(frozen=True, slots=True)
class LocalMessagesPublished(Event):
    """Messages that were published locally, by clients and by routes."""

    METRIC: ClassVar[str] = "gateway_local_messages_total"

    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} messages were published locally"


@dataclass(frozen=True, slots=True)
class LocalMessagesDelivered(Event):
    """Messages for local subscribers: sent, or kept for one that is away; one message may be for many."""

    METRIC: ClassVar[str] = "gateway_local_deliveries_total"

    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} messages were given to local subscribers"


@dataclass(frozen=True, slots=True)
class LocalMessagesDropped(Event):
    """Messages that local subscribers did not get: they are away or slow, and more waits for them than may."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_dropped_local_messages_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    reason: DroppedLocal
    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        why = {
            DroppedLocal.QUEUE_FULL: "too much waits for a client that is away or reads slowly: the oldest went",
            DroppedLocal.MEMORY_FULL: "too much waits for all clients together: the oldest of one went",
            DroppedLocal.EXPIRED: "the time that their publisher gave them was over",
            DroppedLocal.TOO_LARGE: "a client takes no messages of their size",
        }[self.reason]
        return f"{self.count} messages did not reach a local subscriber: {why}. What routes have sent is not concerned"


@dataclass(frozen=True, slots=True)
class RetainedNotKept(Event):
    """A message was delivered and not retained: there are too many retained messages, or too many bytes of them."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unkept_retained_messages_total"

    topic: str
    kept: int
    size: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"a message on '{self.topic[:200]}' was delivered and not retained: {self.kept} retained messages of "
            f"{self.size} bytes are all there is room for. Publish an empty retained message where one is not needed "
            "any more"
        )


@dataclass(frozen=True, slots=True)
class LocalSessionsForgotten(Event):
    """Sessions of local clients that were away for longest were forgotten: there were too many."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_forgotten_local_sessions_total"

    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"{self.count} sessions of local clients that were away for longest were forgotten, with what waited for "
            "them: too many ask to be remembered. Let clients that change their ids connect with a clean session"
        )


@dataclass(frozen=True, slots=True)
class BrokerNotStored(Event):
    """Sessions or retained messages could not be written; they live in memory and are written with the next change."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unstored_broker_changes_total"

    count: int
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"{self.count} changes of local sessions and retained messages could not be written ({self.error}): they "
            "hold until the gateway restarts and are written with the next change. Check the space in the data folder"
        )


@dataclass(frozen=True, slots=True)
class BrokerFileSetAside(Event):
    """The file of local sessions and retained messages could not be understood; it was set aside."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_set_aside_broker_files_total"

    path: str
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the file of local sessions and retained messages could not be understood ({self.error}) and is now "
            f"{self.path}; delete it when done with. Clients subscribe again; retained messages are gone"
        )


@dataclass(frozen=True, slots=True)
class TopicRouteWaits(Event):
    """A route names a local topic, and there is no local broker: the plain listener is off."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_waiting_topic_routes_total"

    endpoint: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"a route goes to {self.endpoint}, and the plain listener is off: its messages wait until they expire. "
            "Set GATEWAY_PLAIN_PORT, or take the route out"
        )


# --- the plain listener ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlainListenerOpen(Event):
    """The plain listener is reachable from other machines: nothing on it is encrypted."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_open_plain_listeners_total"

    address: str
    port: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        everywhere = self.address in ("0.0.0.0", "::")  # noqa: S104 — said, not bound
        where = "every interface of this machine" if everywhere else self.address
        return (
            f"plain MQTT on {where}, port {self.port}: nothing there is encrypted. Who is on that network reads all "
            "user names, passwords and messages, and can change them on their way. Give clients there no more rights "
            "than they need (`gateway users allow`), and keep the port from other networks"
        )


class PlainRefusal(Enum):
    """Why a login at the plain listener was refused. Outside, the first five look the same."""

    NO_CREDENTIALS = "no_credentials"
    """No user name, and no rule for its address."""
    UNKNOWN_USER = "unknown_user"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 — a reason, no password
    FOREIGN_ADDRESS = "foreign_address"
    """The user may not come from there."""
    THROTTLED = "throttled"
    """One of many failures in a short time from one address; the answer is held back."""
    BUSY = "busy"
    """More passwords wait to be checked than may; it is to come again."""
    BAD_CLIENT_ID = "bad_client_id"
    """None, without a clean session; or one that is too long."""
    FORBIDDEN_WILL = "forbidden_will"
    """Its will is on a topic that it may not publish to."""


_ADVICE = {
    PlainRefusal.NO_CREDENTIALS: "it named no user, and no user is for its address: `gateway users add NAME --from`",
    PlainRefusal.UNKNOWN_USER: "there is no such user: `gateway users add` makes one",
    PlainRefusal.WRONG_PASSWORD: "its password is wrong",
    PlainRefusal.FOREIGN_ADDRESS: "this user may not come from there: see `gateway users list`",
    PlainRefusal.THROTTLED: "too many logins failed from there; each next answer waits",
    PlainRefusal.BUSY: "too many passwords wait to be checked; it was told to come again",
    PlainRefusal.BAD_CLIENT_ID: "it has no client id, or one of more than 256 characters",
    PlainRefusal.FORBIDDEN_WILL: "its will is on a topic that it may not publish to",
}


@dataclass(frozen=True, slots=True)
class PlainLoginRefused(Event):
    """Somebody was not let in at the plain listener."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_plain_logins_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    client: str
    user: str
    address: str
    reason: PlainRefusal

    def sentence(self) -> str:
        """What a person reads in the log."""
        user = f" as user '{self.user[:200]}'" if self.user else ""
        advice = _ADVICE[self.reason]
        return f"plain client '{self.client[:200]}' from {self.address} was not let in{user}: {advice}"


@dataclass(frozen=True, slots=True)
class PlainClientConnected(Event):
    """A client logged in at the plain listener."""

    METRIC: ClassVar[str] = "gateway_connected_plain_clients_total"

    client: str
    user: str
    address: str
    bridge: bool

    def sentence(self) -> str:
        """What a person reads in the log."""
        what = "bridge" if self.bridge else "client"
        return f"plain {what} '{self.client}' (user '{self.user}') connected from {self.address}"


@dataclass(frozen=True, slots=True)
class PlainClientDisconnected(Event):
    """A connection at the plain listener ended."""

    METRIC: ClassVar[str] = "gateway_disconnected_plain_clients_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    client: str
    user: str
    reason: Leaving
    detail: str = ""

    def sentence(self) -> str:
        """What a person reads in the log."""
        detail = f": {self.detail}" if self.detail else ""
        why = self.reason.value.replace("_", " ")
        return f"plain client '{self.client}' (user '{self.user}') disconnected ({why}){detail}"


class RefusedPlain(Enum):
    """Why a message at the plain listener was refused."""

    FORBIDDEN = "forbidden"
    """The user's rules do not name the topic, or it is one of the server's own."""
    STORE_FULL = "store_full"
    """It is mapped to a device, and the store has no room; it was not acknowledged."""
    STORE_FAILED = "store_failed"
    """The same, and the store's disk failed."""
    OVER_LIMIT = "over_limit"
    """More than the section `limits` of the settings allows the user, whose policy is to refuse."""


@dataclass(frozen=True, slots=True)
class PlainMessageRefused(Event):
    """A message at the plain listener was refused and went to nobody: forbidden, or not to be stored now."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_plain_messages_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    client: str
    user: str
    reason: RefusedPlain
    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"a message of plain client '{self.client}' (user '{self.user}') was refused: {self.detail}"


@dataclass(frozen=True, slots=True)
class PlainEchoesDropped(Event):
    """Messages that a broker behind the plain listener brought back to us: acknowledged, and given to nobody."""

    METRIC: ClassVar[str] = "gateway_dropped_plain_echoes_total"

    client: str
    count: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.count} messages that '{self.client}' had from here came back from it: they end here"


class RefusedPlainFilter(Enum):
    """Why a subscription at the plain listener was refused."""

    FORBIDDEN = "forbidden"
    TOO_MANY = "too_many"
    TOO_DEEP = "too_deep"


@dataclass(frozen=True, slots=True)
class PlainSubscriptionRefused(Event):
    """A filter was refused at the plain listener. The client stays connected."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_plain_subscriptions_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    client: str
    user: str
    reason: RefusedPlainFilter
    filter: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        why = {
            RefusedPlainFilter.FORBIDDEN: "its rules do not cover it: `gateway users allow NAME --subscribe FILTER`",
            RefusedPlainFilter.TOO_MANY: "it has too many, or all clients together have",
            RefusedPlainFilter.TOO_DEEP: "it has too many levels",
        }[self.reason]
        who = f"plain client '{self.client}' (user '{self.user}')"
        return f"a subscription of {who} to '{self.filter[:200]}' was refused: {why}"


# --- its users ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UsersReloaded(Event):
    """The users of the plain listener changed; those concerned log in again."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_reloaded_users_total"

    path: str
    users: int
    changed: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.path} was read again: {self.users} users, {self.changed} of them changed or gone"


@dataclass(frozen=True, slots=True)
class UsersUnreadable(Event):
    """The file of users cannot be used; who was known stays in force."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unreadable_users_total"

    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"the users of the plain listener are as they were: {self.error}"
