"""Events of publishers in Event Hubs' form, and of tokens that are made for boards."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class PublisherRefusal(Enum):
    """Why a publisher was not let in. For our counters and log only: outside, all of them look the same."""

    NOT_OURS = "not_ours"
    """The request is for another host than this gateway, or the hub's."""
    NO_TOKEN = "no_token"  # noqa: S105 — a reason, no password
    MALFORMED_TOKEN = "malformed_token"  # noqa: S105 — as above
    UNKNOWN_RULE = "unknown_rule"
    """There is no such hub, or it has no rule of that name."""
    WRONG_KEY = "wrong_key"
    FOREIGN_AUDIENCE = "foreign_audience"
    """The signature is good; the token is for another host, hub or publisher."""
    EXPIRED = "expired"
    REVOKED = "revoked"
    DISABLED = "disabled"
    """The device that the publisher is has been disabled."""
    NO_PUBLISHER = "no_publisher"
    """The request names no publisher, and the hub has no device for such messages."""
    UNFIT_ID = "unfit_id"
    """The publisher's name with the hub's prefix is no id of a device."""
    THROTTLED = "throttled"


_ADVICE = {
    PublisherRefusal.NOT_OURS: (
        "the host that it asks for is none of the gateway's; `gateway publishers add-hub --host` gives a hub more names"
    ),
    PublisherRefusal.NO_TOKEN: "it sent no token",
    PublisherRefusal.MALFORMED_TOKEN: "its token is none in Event Hubs' form",
    PublisherRefusal.UNKNOWN_RULE: "its token names no rule of this hub; `gateway publishers list` shows them",
    PublisherRefusal.WRONG_KEY: "its token is not signed with the rule's key: the key's text signs, not base64 of it",
    PublisherRefusal.FOREIGN_AUDIENCE: "its token is for another host, hub or publisher",
    PublisherRefusal.EXPIRED: "its token has expired; check its clock and this machine's",
    PublisherRefusal.REVOKED: "it is revoked; `gateway publishers restore` lets it in again",
    PublisherRefusal.DISABLED: "its device is disabled; `gateway devices enable` lets it in",
    PublisherRefusal.NO_PUBLISHER: (
        "its path names no publisher; `gateway publishers add-hub --device` says whose messages such are"
    ),
    PublisherRefusal.UNFIT_ID: "its name, behind the hub's prefix, is too long for the id of a device",
    PublisherRefusal.THROTTLED: "too many failed from there; each next answer waits",
}


@dataclass(frozen=True, slots=True)
class PublisherRefused(Event):
    """A publisher was not let in. `publisher` is what the request's path says, hub and name."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_publishers_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    publisher: str
    address: str
    reason: PublisherRefusal

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"publisher '{self.publisher}' from {self.address} was not let in: {_ADVICE[self.reason]}"


@dataclass(frozen=True, slots=True)
class PublishersUnreadable(Event):
    """The file of hubs was changed into something that cannot be read; what was known before stays in force."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_unreadable_publishers_total"

    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.error}. Until then the hubs, rules and revocations known before stay in force, and no others"
