"""Who may connect: SAS tokens and client certificates against the registry (iothub_wire.md §7.1, edgehub.md §6.4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import assert_never

from cryptography import x509

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.amqp.cbs import identities_of
from edgewire.iothub.amqp.sasl import PlainLogin, hub_label
from edgewire.iothub.limits import TOKEN_SKEW_S
from edgewire.iothub.username import Username
from edgewire.message import Identity
from standin.chains import common_name, distance, has_thumbprint, is_current, read_chain
from standin.faults import Faults
from standin.policies import Policies, Policy, Right, target_of
from standin.registry import Authentication, Entry, Registry


class Reason(Enum):
    """Why somebody is not let in."""

    FOREIGN_HUB = "foreign hub"
    UNKNOWN = "unknown identity"
    DISABLED = "disabled"
    NO_CREDENTIALS = "no credentials"
    MALFORMED_LOGIN = "malformed login"
    MALFORMED_TOKEN = "malformed token"  # noqa: S105 - a reason, not a secret
    FOREIGN_TOKEN = "token for another audience"  # noqa: S105 - a reason, not a secret
    WRONG_KEY = "wrong key"
    EXPIRED = "expired"
    WRONG_CERTIFICATE = "wrong certificate"
    WRONG_KIND = "wrong kind of credentials"


@dataclass(frozen=True, slots=True)
class Admitted:
    """Let in, until `expires_at` in seconds since 1970 (None for as long as it likes)."""

    identity: Identity
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class Refused:
    """Not let in; `what` is for the person at the stand-in, the peer learns only a code."""

    reason: Reason
    what: str


class Realm(Enum):
    """What a policy is proven for: one policy has two ways of signing (iothub_wire.md §7.1, rule 4)."""

    HUB = "hub"
    EVENTS = "Event Hub-compatible endpoint"
    NAMESPACE = "Event Hub of the namespace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A policy that somebody has proven to hold, for what lies at `path` and below, until `expires_at`."""

    policy: Policy
    realm: Realm
    path: tuple[str, ...]
    expires_at: float = field(compare=False)

    def gives(self, right: Right, realm: Realm, path: tuple[str, ...]) -> bool:
        """Whether this right is among what was proven; segments count whatever their case."""
        wanted = tuple(each.lower() for each in path[: len(self.path)])
        own = tuple(each.lower() for each in self.path)
        return right in self.policy.rights and realm is self.realm and wanted == own


class Admission:
    """Decides on user names, tokens and certificates.

    `hub_names`: hosts a client may name as its hub, in lower case without port: the hub's name, and the address that
    clients without a gateway use in its place. `authorities`: CAs whose certificates devices may show. `event_hubs`
    gives the policy of an Event Hub beside the hub, by the path of a token and the policy's name.
    """

    def __init__(
        self,
        registry: Registry,
        policies: Policies,
        *,
        hub_names: frozenset[str],
        authorities: Sequence[x509.Certificate],
        clock: Callable[[], float],
        faults: Faults | None = None,
        event_hubs: Callable[[tuple[str, ...], str], Policy | None] | None = None,
    ) -> None:
        self._event_hubs = event_hubs
        self._faults = faults or Faults()
        self._registry = registry
        self._policies = policies
        self._hub_names = hub_names
        self._authorities = tuple(authorities)
        self._clock = clock

    def admit(self, username: Username, password: bytes | None, certificates: Sequence[bytes]) -> Admitted | Refused:
        """Whether this MQTT client is who it says it is."""
        return self.admit_at(username.hub, username.identity, password, certificates)

    def admit_at(
        self, host: str, who: Identity, password: bytes | None, certificates: Sequence[bytes]
    ) -> Admitted | Refused:
        """Whether this is `who`, for a client that also says which hub it means: by user name or `Host`."""
        if sas.host_of(host) not in self._hub_names:
            return Refused(Reason.FOREIGN_HUB, f"the hub here is not {host}")
        return self.admit_identity(who, password, certificates)

    def admit_login(self, login: PlainLogin) -> Admitted | Refused:
        """Whether who logs in by SASL PLAIN is who it says it is."""
        if login.hub not in map(hub_label, self._hub_names):
            return Refused(Reason.FOREIGN_HUB, f"the hub here is not {login.hub}")
        return self.admit_identity(login.identity, login.token.encode(), ())

    def admit_policy_login(self, name: str, hub: str, token: str) -> Holder | Refused:
        """Whether who logs in by SASL PLAIN as a policy holds it."""
        if hub not in map(hub_label, self._hub_names):
            return Refused(Reason.FOREIGN_HUB, f"the hub here is not {hub}")
        decision = self.admit_policy(token)
        if isinstance(decision, Holder) and decision.policy.name != name:
            return Refused(Reason.FOREIGN_TOKEN, f"a token of {decision.policy.name} with the name of {name[:80]!r}")
        return decision

    def admit_policy(self, text: str) -> Holder | Refused:
        """Which policy a token proves, and for what: the hub, or the events of it."""
        try:
            token = sas.parse(text)
            target = target_of(token)
        except ProtocolError as error:
            return Refused(Reason.MALFORMED_TOKEN, f"a token of a policy: {error}")
        own = None if self._event_hubs is None else self._event_hubs(target.path, token.key_name)
        policy = own or self._policies.get(token.key_name)
        if policy is None:
            return Refused(Reason.UNKNOWN, f"a token of the policy {token.key_name[:80]!r}, which is not there")
        if target.host not in self._hub_names:
            return Refused(Reason.FOREIGN_TOKEN, f"a token of {policy.name} for {token.resource}")
        ways = _ways_to_sign(policy, token.resource) if own is None else [(Realm.NAMESPACE, own.text_keys())]
        for realm, keys in ways:
            match sas.verify(token, keys, self._clock()):
                case sas.Verdict.GOOD:
                    late = token.expires_at <= self._clock()
                    expires_at = token.expires_at + (TOKEN_SKEW_S if late else 0)
                    return Holder(policy=policy, realm=realm, path=target.path, expires_at=expires_at)
                case sas.Verdict.EXPIRED:
                    return Refused(Reason.EXPIRED, f"a token of {policy.name} expired at {token.expiry}")
                case sas.Verdict.WRONG_KEY:
                    pass
        return Refused(Reason.WRONG_KEY, f"a token of {policy.name} that is not signed with its keys")

    def admit_by_holder(self, who: Identity, holder: Holder) -> Admitted | Refused:
        """Whether who holds a policy may be this device or module."""
        entry = self._registry.get(who)
        if entry is None:
            return Refused(Reason.UNKNOWN, f"{who} is not in the registry")
        if not self._allowed(entry):
            return Refused(Reason.DISABLED, f"{who} is disabled")
        path = ("devices", who.device, *(() if who.module is None else ("modules", who.module)))
        if holder.gives(Right.DEVICE_CONNECT, Realm.HUB, path):
            return Admitted(who, holder.expires_at)
        return Refused(Reason.FOREIGN_TOKEN, f"{who} came with a token of {holder.policy.name}, which is not for it")

    def named_by(self, text: str) -> Identity | Refused | None:
        """Whom a token is for that says so by itself (CBS); whether it is good is for `admit_identity`.

        None if it is a policy's, and for no device or module in particular: that is for `admit_policy`.
        """
        try:
            token = sas.parse(text)
            audience = sas.audience(token)
        except ProtocolError as error:
            return Refused(Reason.MALFORMED_TOKEN, f"a token put on a connection: {error}")
        named = identities_of(audience)
        known = [who for who in named if self._registry.get(who) is not None]
        if known:
            return known[0]
        if named:
            return Refused(Reason.UNKNOWN, f"{named[0]} is not in the registry")
        if token.key_name:
            return None
        return Refused(Reason.FOREIGN_TOKEN, "a token put on a connection is for no device and no module")

    def admit_identity(
        self, who: Identity, password: bytes | None, certificates: Sequence[bytes]
    ) -> Admitted | Refused:
        """Whether the token in `password`, or a certificate, proves this identity."""
        entry = self._registry.get(who)
        if entry is None:
            return Refused(Reason.UNKNOWN, f"{who} is not in the registry")
        if not self._allowed(entry):
            return Refused(Reason.DISABLED, f"{who} is disabled")
        match entry.authentication:
            case Authentication.SYMMETRIC_KEY:
                return self._by_token(entry, password)
            case Authentication.THUMBPRINT | Authentication.AUTHORITY:
                return self._by_certificate(entry, password, certificates)
            case Authentication.NONE:
                return Refused(Reason.NO_CREDENTIALS, f"{who} has nothing in the registry to prove itself with")
        assert_never(entry.authentication)

    def _allowed(self, entry: Entry) -> bool:
        """A module is as enabled as its device."""
        device = self._registry.get(Identity(entry.identity.device))
        return entry.enabled and device is not None and device.enabled

    def _by_token(self, entry: Entry, password: bytes | None) -> Admitted | Refused:
        who = entry.identity
        if not password:
            return Refused(Reason.NO_CREDENTIALS, f"{who} came without a token")
        if self._faults.refusing_tokens:
            return Refused(Reason.WRONG_KEY, f"{who}: its token is refused on purpose")
        try:
            token = sas.parse(password.decode())
            audience = sas.audience(token)
        except (ProtocolError, UnicodeDecodeError) as error:
            return Refused(Reason.MALFORMED_TOKEN, f"{who}: {error}")
        if token.key_name:
            return self._by_policy(who, password.decode())
        if audience.host not in self._hub_names or not audience.covers(who):
            return Refused(Reason.FOREIGN_TOKEN, f"{who} came with a token for {token.resource}")
        now = self._clock()
        match sas.verify(token, entry.signing_keys(), now):
            case sas.Verdict.GOOD:
                # Who comes late by a clock that is slow has until the end of the allowance.
                late = token.expires_at <= now
                return Admitted(who, token.expires_at + (TOKEN_SKEW_S if late else 0))
            case sas.Verdict.WRONG_KEY:
                return Refused(Reason.WRONG_KEY, f"{who}: the token is not signed with one of its keys")
            case sas.Verdict.EXPIRED:
                return Refused(Reason.EXPIRED, f"{who}: the token expired at {token.expiry}")

    def _by_policy(self, who: Identity, token: str) -> Admitted | Refused:
        """Who may connect devices may be any of them, as far as its token goes (protocol gateways do)."""
        decision = self.admit_policy(token)
        if isinstance(decision, Refused):
            return Refused(decision.reason, f"{who}: {decision.what}")
        return self.admit_by_holder(who, decision)

    def _by_certificate(
        self, entry: Entry, password: bytes | None, certificates: Sequence[bytes]
    ) -> Admitted | Refused:
        who = entry.identity
        if password:
            return Refused(Reason.WRONG_KIND, f"{who} came with a token, the registry wants its certificate")
        if not certificates:
            return Refused(Reason.NO_CREDENTIALS, f"{who} showed no certificate")
        try:
            chain = read_chain(certificates)
        except ValueError as error:
            return Refused(Reason.WRONG_CERTIFICATE, f"{who}: the certificate cannot be read: {error}")
        now = self._clock()
        if not is_current(chain[0], now):
            return Refused(Reason.EXPIRED, f"{who}: the certificate is valid until {chain[0].not_valid_after_utc}")
        if entry.authentication is Authentication.THUMBPRINT:
            proven = has_thumbprint(chain[0], entry.thumbprints)
        else:
            is_ours = distance(chain, self._authorities, now) is not None
            proven = common_name(chain[0]) == str(who) and is_ours
        if not proven:
            return Refused(Reason.WRONG_CERTIFICATE, f"{who}: {chain[0].subject.rfc4514_string()} does not prove it")
        return Admitted(who, chain[0].not_valid_after_utc.timestamp())


def _ways_to_sign(policy: Policy, resource: str) -> list[tuple[Realm, tuple[bytes, ...]]]:
    """The keys that may have signed a token for this resource: what it is for shows by its scheme, mostly."""
    hub, events = (Realm.HUB, policy.signing_keys()), (Realm.EVENTS, policy.text_keys())
    folded = resource.lower()
    if folded.startswith(("sb:", "sb%3a")):
        return [events]
    return [events, hub] if folded.startswith(("amqp:", "amqp%3a", "amqps:", "amqps%3a")) else [hub]
