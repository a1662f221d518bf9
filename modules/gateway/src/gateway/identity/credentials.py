"""What a peer says to be let in, and the answer."""

from dataclasses import dataclass, field
from enum import Enum

from edgewire.errors import ProtocolError
from edgewire.iothub.username import Username, parse_username
from edgewire.message import Identity
from gateway.observe.identity import RefusalReason

__all__ = ["Admitted", "Claim", "LoginMethod", "RefusalReason", "Refused", "claimed_identity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a peer says: who it is, for which hub, and what it shows for it. `now`: seconds since 1970."""

    identity: Identity
    hub: str
    token: str | None = field(repr=False)
    certificates: tuple[bytes, ...] = field(repr=False)
    """DER, the peer's own first; TLS has made sure that it holds the key of that one, and of nothing else."""
    now: float
    address: str = ""


class LoginMethod(Enum):
    """By what somebody was let in."""

    SYMMETRIC_KEY = "symmetric_key"
    GROUP_KEY = "group_key"
    THUMBPRINT = "thumbprint"
    CERTIFICATE_AUTHORITY = "certificate_authority"
    VOUCHED = "vouched"
    """By the hub, which was asked; the device is not registered here."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """Let in, as `identity`, until `expires_at` (seconds since 1970, the allowance for clocks included)."""

    identity: Identity
    expires_at: float | None
    method: LoginMethod


@dataclass(frozen=True, slots=True)
class Refused:
    """Not let in. `hold_s`: how long the peer waits for the answer, so that guessing is slow."""

    reason: RefusalReason
    hold_s: float = 0.0


def claimed_identity(client_id: str, username: str | None) -> Username:
    """The user name of a CONNECT, taken apart; its `identity` is who the peer says it is.

    Raises ProtocolError if the user name has no known form, or if the client id is not exactly the one in it.
    """
    if username is None:
        raise ProtocolError("there is no user name; expected '<hub>/<device>[/<module>]/?api-version=<version>'")
    claimed = parse_username(username)
    if client_id != claimed.client_id:
        raise ProtocolError(f"the client id is not the one in the user name; expected '{claimed.client_id}'")
    return claimed
