"""Events of identity: who was not let in and why, and what happens to the registry of devices."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class RefusalReason(Enum):
    """Why somebody was not let in. For our counters and log only: outside, all of them look the same."""

    MALFORMED_USERNAME = "malformed_username"
    """No known form of user name, or a client id that is not the one in it."""
    FOREIGN_HUB = "foreign_hub"
    """The user name is for another hub."""
    NO_CREDENTIALS = "no_credentials"
    """Neither a token nor a certificate."""
    MALFORMED_TOKEN = "malformed_token"  # noqa: S105 - a reason, no password
    POLICY_TOKEN = "policy_token"  # noqa: S105 - a reason, no password
    """The token names a policy of the hub; here only devices and modules have keys."""
    FOREIGN_AUDIENCE = "foreign_audience"
    """The token is for another hub, device or module."""
    UNKNOWN_DEVICE = "unknown_device"
    WRONG_KEY = "wrong_key"
    """No key of this device signed the token."""
    WRONG_METHOD = "wrong_method"
    """A token where a certificate is registered, or the other way round."""
    EXPIRED = "expired"
    """The token's signature is good, its time is over."""
    DISABLED = "disabled"
    """The credentials are good; the device, its group or the module's device is disabled."""
    GROUP_FULL = "group_full"
    """The credentials are good; more devices came by groups than the gateway follows."""
    CERTIFICATE_MALFORMED = "certificate_malformed"
    CERTIFICATE_MISMATCH = "certificate_mismatch"
    """The certificate is another device's, or not the registered one."""
    CERTIFICATE_UNTRUSTED = "certificate_untrusted"
    """No chain to the trust bundle, or not a certificate for clients."""
    CERTIFICATE_EXPIRED = "certificate_expired"
    """Expired, or not valid yet."""
    CERTIFICATE_REVOKED = "certificate_revoked"
    """Its authority, or one above, has taken it back: it is on a list of GATEWAY_CRL_FILE."""
    REVOCATION_LIST_ENDED = "revocation_list_ended"
    """The list of its authority is past its next update, and GATEWAY_CRL_WHEN_OLD says to refuse then."""
    THROTTLED = "throttled"
    """One of many failures in a short time from one address; the answer is held back."""
    REFUSED_UPSTREAM = "refused_upstream"
    """It is not registered here, and the hub did not let it in with this token."""
    UPSTREAM_AWAY = "upstream_away"
    """It is not registered here, and the hub cannot be asked now; the device is told to try again."""
    FOREIGN_WILL = "foreign_will"
    """The will's topic is not the device's own."""


_ADVICE = {
    RefusalReason.MALFORMED_USERNAME: "its user name or client id has no form that a device of IoT Hub sends",
    RefusalReason.FOREIGN_HUB: "its user name is for another hub; check HostName in its connection string",
    RefusalReason.NO_CREDENTIALS: "it sent neither a token nor a certificate",
    RefusalReason.MALFORMED_TOKEN: "its token is not well formed; `gateway sas inspect` says where",
    RefusalReason.POLICY_TOKEN: "its token is signed by a policy of the hub; devices sign with their own key",
    RefusalReason.FOREIGN_AUDIENCE: "its token is for another hub, device or module",
    RefusalReason.UNKNOWN_DEVICE: "it is not registered; `gateway devices add` registers it",
    RefusalReason.WRONG_KEY: "its token is not signed with its key; `gateway sas inspect` says which mistake was made",
    RefusalReason.WRONG_METHOD: "it is registered for the other kind of credentials (token or certificate)",
    RefusalReason.EXPIRED: "its token has expired; check the clock of the device and of this machine",
    RefusalReason.DISABLED: "it is disabled; `gateway devices enable` lets it in",
    RefusalReason.GROUP_FULL: "more devices came by enrolment groups than this gateway follows",
    RefusalReason.CERTIFICATE_MALFORMED: "its certificate cannot be read",
    RefusalReason.CERTIFICATE_MISMATCH: "its certificate is not the one registered for it",
    RefusalReason.CERTIFICATE_UNTRUSTED: "no authority of the trust bundle issued its certificate for clients",
    RefusalReason.CERTIFICATE_EXPIRED: "its certificate is not valid at this time; check it and this machine's clock",
    RefusalReason.CERTIFICATE_REVOKED: "its certificate was revoked; give it a new one if it is to come back",
    RefusalReason.REVOCATION_LIST_ENDED: (
        "the list of revoked certificates of its authority is too old; make a new one, for example by `edgeca crl`"
    ),
    RefusalReason.THROTTLED: "too many logins failed from there; each next answer waits",
    RefusalReason.REFUSED_UPSTREAM: "it is not registered here, and edgeHub or the hub did not let it in either",
    RefusalReason.UPSTREAM_AWAY: (
        "it is not registered here, and edgeHub or the hub cannot be asked now; `gateway devices add` registers it"
    ),
    RefusalReason.FOREIGN_WILL: "its will is for a topic that is not its own",
}


@dataclass(frozen=True, slots=True)
class LoginRefused(Event):
    """Somebody was not let in. `identity` is what the peer said it is, `detail` what was wrong in its own words."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_logins_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    identity: str
    address: str
    reason: RefusalReason
    detail: str = ""

    def sentence(self) -> str:
        """What a person reads in the log."""
        detail = f" ({_shown(self.detail)})" if self.detail else ""
        return f"'{_shown(self.identity)}' from {self.address} was not let in: {_ADVICE[self.reason]}{detail}"


@dataclass(frozen=True, slots=True)
class RegistryReloaded(Event):
    """The registry of devices was changed, and the change is in force."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_reloaded_registries_total"

    path: str
    devices: int
    changed: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        known = f"{self.path} was changed and is in force: {self.devices} devices and modules"
        if not self.changed:
            return f"{known}; nobody's credentials changed, all connections stay"
        return f"{known}; the credentials of {self.changed} are no longer what they were, and their connections end"


@dataclass(frozen=True, slots=True)
class RegistryUnreadable(Event):
    """The registry of devices was changed into something that cannot be read; the last good one stays in force."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_unreadable_registries_total"

    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.error}. Until then the devices known before stay in force, and no others"


@dataclass(frozen=True, slots=True)
class TokensNotKept(Event):
    """The file of the devices' own tokens cannot be read or written; they live in memory until it can."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unkept_tokens_total"

    path: str
    problem: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"{self.path}: {self.problem}. Without it, messages of devices unknown here wait for them after a restart"
        )


def _shown(text: str) -> str:
    """A peer's text as it may stand in a log: short, on one line, and without control characters."""
    short = text[:200]
    return short if short.isprintable() else ascii(short)[1:-1]
