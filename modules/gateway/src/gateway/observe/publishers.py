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


class MintRefusal(Enum):
    """Why a board got no token. For counters and log only: outside, all but MALFORMED, TOO_MANY and BUSY look alike."""

    MALFORMED = "malformed"
    """No request of the form that it must have."""
    NO_PROOF = "no_proof"
    """Neither nonce and HMAC, nor password, nor certificate."""
    NOT_ALLOWED = "not_allowed"
    """GATEWAY_TOKEN_PROOFS does not name this kind of proof."""
    WRONG_NONCE = "wrong_nonce"
    """Not made by this gateway since its start, for this device."""
    OLD_NONCE = "old_nonce"
    """Used already, or too old: a request that was said again."""
    WRONG_KEY = "wrong_key"
    WRONG_CERTIFICATE = "wrong_certificate"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 — a reason, no password
    NO_KEY = "no_key"
    """The proof is good; the device is not registered with a key that could sign."""
    DISABLED = "disabled"
    THROTTLED = "throttled"
    TOO_MANY = "too_many"
    """It has had many tokens just now."""
    BUSY = "busy"
    """More proofs at once than are remembered, or checked."""


_MINT_ADVICE = {
    MintRefusal.MALFORMED: "its request has not the form of one for a token",
    MintRefusal.NO_PROOF: "it showed neither a nonce with an HMAC, nor a password, nor a certificate",
    MintRefusal.NOT_ALLOWED: "such a proof is not allowed here; GATEWAY_TOKEN_PROOFS names those that are",
    MintRefusal.WRONG_NONCE: "its nonce was not given to this device since the gateway's start; it should ask for one",
    MintRefusal.OLD_NONCE: "its nonce was used or is too old: said again by somebody, or by itself",
    MintRefusal.WRONG_KEY: "its HMAC is not by the key of a device of this id",
    MintRefusal.WRONG_CERTIFICATE: "no authority of the trust bundle issued its certificate for a client of this name",
    MintRefusal.WRONG_PASSWORD: "there is no user of its name with this password",
    MintRefusal.NO_KEY: "it is not registered with a key that could sign a token; `gateway devices add` gives it one",
    MintRefusal.DISABLED: "it is disabled, or its group is; `gateway devices enable` lets it in",
    MintRefusal.THROTTLED: "too many failed from there; each next answer waits",
    MintRefusal.TOO_MANY: "it has had many tokens just now; it is told to come again",
    MintRefusal.BUSY: "too many prove themselves at once; it is told to come again",
}


class MintProof(Enum):
    """By what a board gets a token; the words of GATEWAY_TOKEN_PROOFS."""

    KEY = "key"
    CERTIFICATE = "certificate"
    PASSWORD = "password"  # noqa: S105 — a kind of proof


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMinted(Event):
    """A board has proven itself without a clock, and got a token that is good for `lifetime_s`."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_minted_tokens_total"
    LABELS: ClassVar[tuple[str, ...]] = ("by",)

    device: str
    address: str
    by: MintProof
    lifetime_s: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"'{self.device}' from {self.address} got a token for {self.lifetime_s} s by its {self.by.value}"


@dataclass(frozen=True, slots=True)
class TokenNotMinted(Event):
    """A board, or who says that it is one, got no token. `device` is what it calls itself."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_mints_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    device: str
    address: str
    reason: MintRefusal

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"'{self.device}' from {self.address} got no token: {_MINT_ADVICE[self.reason]}"
