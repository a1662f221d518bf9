"""Decides who is let in.

Whatever is unknown or wrong costs the same work as what is known: a device without keys is checked against decoys, and
the groups are tried for registered devices too. Status and expiry are looked at only after the signature is good.
"""

import hmac
import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, assert_never

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.limits import TOKEN_SKEW_S
from edgewire.iothub.sas import Sas
from edgewire.message import Identity, identity
from gateway.identity.certificates import CertificateError, ChainProblem, Leaf, TrustBundle, read_leaf
from gateway.identity.certified import CertifiedLogins, Shown
from gateway.identity.credentials import Admitted, Claim, LoginMethod, RefusalReason, Refused
from gateway.identity.limiter import FailureLimiter
from gateway.identity.registry import Registry
from gateway.identity.revocation import Link, Revocation, Revocations
from gateway.identity.roster import CaSigned, Group, NoCredential, Registration, SymmetricKeys, Thumbprints
from gateway.identity.tokens import Token
from gateway.identity.vouching import Vouchers, Vouching

_REVOKED: Final[Mapping[Revocation | None, RefusalReason]] = MappingProxyType(
    {
        Revocation.REVOKED: RefusalReason.CERTIFICATE_REVOKED,
        Revocation.LIST_ENDED: RefusalReason.REVOCATION_LIST_ENDED,
    }
)


class Authenticator:
    """Checks claims against the registry.

    `hub_names`: the hub's host name and the gateway's own, as user names and tokens may carry them.
    `clock_floor`: no token is judged at an earlier time than this, should the machine's clock be set back; the caller
    gives the latest time it knows to have passed, again and again.
    `certified`: who was let in by which certificate.
    """

    __slots__ = (
        "_decoys",
        "_hub_names",
        "_limiter",
        "_registry",
        "_revocations",
        "_skew_s",
        "_trust_bundle",
        "_vouchers",
        "certified",
        "clock_floor",
    )

    def __init__(
        self,
        registry: Registry,
        hub_names: Iterable[str],
        trust_bundle: TrustBundle | None,
        *,
        skew_s: float = TOKEN_SKEW_S,
        clock_floor: float = 0.0,
        vouchers: Vouchers | None = None,
    ) -> None:
        self._registry = registry
        self._hub_names = frozenset(map(sas.host_of, hub_names))
        self._trust_bundle = trust_bundle
        self._skew_s = skew_s
        self.clock_floor = clock_floor
        self._vouchers = vouchers
        self._revocations = Revocations()
        self.certified = CertifiedLogins()
        self._limiter = FailureLimiter()
        # Random, so that nobody can sign with them: a module is checked against them beside its own keys.
        self._decoys = (os.urandom(32), os.urandom(32))

    def replace_trust_bundle(self, trust_bundle: TrustBundle | None) -> None:
        """Believe these authorities from now on."""
        self._trust_bundle = trust_bundle

    def replace_revocations(self, revocations: Revocations) -> None:
        """Take these lists from now on. Who is connected is the caller's to end: `certified` tells who is on them."""
        self._revocations = revocations

    def authenticate(self, claim: Claim) -> Admitted | Refused:
        """Let somebody in, or not. Good credentials are let in however many others failed before."""
        self._registry.reload()
        verdict = self._judge(claim)
        if isinstance(verdict, Admitted):
            self._limiter.succeeded(claim.address, claim.identity)
            if claim.token and len(self.certified):
                self.certified.leave(claim.identity)
            return verdict
        if verdict.reason is RefusalReason.UPSTREAM_AWAY:
            return verdict  # nothing was guessed: it may be good
        hold_s = self._limiter.failed(claim.address, claim.identity, claim.now)
        return Refused(RefusalReason.THROTTLED, hold_s) if hold_s else verdict

    def asks(self, claim: Claim, then: Callable[[], None]) -> bool:
        """Whether the hub is asked about a device that is unknown here; `then` is called later, when it has answered.

        What it said is remembered: `authenticate` knows it, and says "upstream away" where it could not be asked.
        """
        token = self._unknown_token(claim)
        if token is None or self._vouchers is None:
            return False
        self._vouchers.ask(claim.identity, token, claim.address, then)
        return True

    def is_issued_to(self, claim: Claim) -> bool:
        """Whether an authority of the trust bundle has issued the certificate to this device, however it is registered.

        Who asks decides what that is worth: nobody is let in by it here.
        """
        try:
            leaf = read_leaf(claim.certificates[0])
        except CertificateError:
            return False
        links, problem = self._follow(claim, leaf)
        if _judge_issued(claim.identity, leaf, problem) is not None or not leaf.is_valid_at(claim.now):
            return False
        return self._revocations.problem_with(links, claim.now) is None

    def _unknown_token(self, claim: Claim) -> Token | None:
        """A token that nobody here can judge and the hub has not been asked about."""
        if self._vouchers is None or not claim.token:
            return None
        self._registry.reload()
        if self._entry_of(claim.identity) is not None:
            return None
        verdict = self._judge(claim)
        if not isinstance(verdict, Refused) or verdict.reason is not RefusalReason.UPSTREAM_AWAY:
            return None
        return Token(claim.token, sas.parse(claim.token).expires_at)

    def _entry_of(self, who: Identity) -> Registration | None:
        """The entry that says how `who` logs in, None if there is none."""
        entry = self._registry.find(who)
        return None if entry is not None and entry.leaves_login_open else entry

    def _judge(self, claim: Claim) -> Admitted | Refused:
        if sas.host_of(claim.hub) not in self._hub_names:
            return Refused(RefusalReason.FOREIGN_HUB)
        if claim.token:
            return self._judge_token(claim, claim.token)
        if claim.certificates:
            return self._judge_certificate(claim)
        return Refused(RefusalReason.NO_CREDENTIALS)

    # --- by token ---

    def _judge_token(self, claim: Claim, text: str) -> Admitted | Refused:
        try:
            token = sas.parse(text)
            audience = sas.audience(token)
        except ProtocolError:
            return Refused(RefusalReason.MALFORMED_TOKEN)
        if token.key_name:
            return Refused(RefusalReason.POLICY_TOKEN)
        if audience.host not in self._hub_names or not audience.covers(claim.identity):
            return Refused(RefusalReason.FOREIGN_AUDIENCE)
        if claim.certificates and self._is_of_another(claim):
            # As with edgeHub the password decides; a certificate that is somebody else's is no accident.
            return Refused(RefusalReason.CERTIFICATE_MISMATCH)
        is_device_token = len(audience.path) == 2
        signed_by_own = sas.is_signed_by(token, self._keys_for(claim.identity, device_only=is_device_token))
        group = self._group_that_signed(claim.identity, token)
        return self._judge_signer(claim, token, group, signed_by_own=signed_by_own)

    def _keys_for(self, who: Identity, *, device_only: bool) -> tuple[bytes, ...]:
        """The keys that may sign for `who`: its own, and for a module its device's; decoys where there are none."""
        of_device = self._keys_of(identity(who.device))
        return of_device if who.module is None or device_only else self._keys_of(who) + of_device

    def _keys_of(self, who: Identity) -> tuple[bytes, ...]:
        registration = self._registry.find(who)
        if registration is None or not isinstance(registration.credential, SymmetricKeys):
            return self._decoys
        return registration.credential.both

    def _group_that_signed(self, who: Identity, token: Sas) -> Group | None:
        """The group whose derived key signed; all that the id can belong to are tried. Modules have no groups."""
        signer = None
        for group in self._registry.groups_for(who.device) if who.module is None else ():
            if sas.is_signed_by(token, [sas.derive_device_key(key, who.device) for key in group.keys.both]):
                signer = group
        return signer

    def _judge_signer(
        self, claim: Claim, token: Sas, group: Group | None, *, signed_by_own: bool
    ) -> Admitted | Refused:
        registration = self._entry_of(claim.identity)
        if registration is None:
            return self._judge_unknown(claim, token) if group is None else self._admit_by_group(claim, token, group)
        device = self._registry.find(identity(claim.identity.device))
        if not isinstance(registration.credential, SymmetricKeys):
            return Refused(RefusalReason.WRONG_METHOD)
        if not signed_by_own:
            return Refused(RefusalReason.WRONG_KEY)
        is_enabled = registration.enabled and device is not None and device.enabled
        return self._judge_time(claim, token, LoginMethod.SYMMETRIC_KEY, is_enabled=is_enabled)

    def _judge_unknown(self, claim: Claim, token: Sas) -> Admitted | Refused:
        """Of a device that is not registered here the hub decides, where it can be asked."""
        if self._vouchers is None or claim.token is None:
            return Refused(RefusalReason.UNKNOWN_DEVICE)
        verdict = self._judge_time(claim, token, LoginMethod.VOUCHED, is_enabled=True)
        if isinstance(verdict, Refused):
            return verdict
        match self._vouchers.known(claim.identity, claim.token):
            case Vouching.GOOD:
                return verdict
            case Vouching.REFUSED:
                return Refused(RefusalReason.REFUSED_UPSTREAM)
            case _:
                return Refused(RefusalReason.UPSTREAM_AWAY)

    def _admit_by_group(self, claim: Claim, token: Sas, group: Group) -> Admitted | Refused:
        verdict = self._judge_time(claim, token, LoginMethod.GROUP_KEY, is_enabled=group.enabled)
        if isinstance(verdict, Admitted) and not self._registry.remember(claim.identity, group):
            return Refused(RefusalReason.GROUP_FULL)
        return verdict

    def _judge_time(self, claim: Claim, token: Sas, method: LoginMethod, *, is_enabled: bool) -> Admitted | Refused:
        """The last of the checks on a token whose signature is good."""
        if not is_enabled:
            return Refused(RefusalReason.DISABLED)
        expires_at = token.expires_at + self._skew_s
        if max(claim.now, self.clock_floor) >= expires_at:
            return Refused(RefusalReason.EXPIRED)
        return Admitted(claim.identity, expires_at, method)

    # --- by certificate ---

    def _judge_certificate(self, claim: Claim) -> Admitted | Refused:
        try:
            leaf = read_leaf(claim.certificates[0])
        except CertificateError:
            return Refused(RefusalReason.CERTIFICATE_MALFORMED)
        # The chain is followed for everybody, so that its cost tells nothing about who is registered for what.
        links, problem = self._follow(claim, leaf)
        registration = self._entry_of(claim.identity)
        if registration is None:
            return Refused(RefusalReason.UNKNOWN_DEVICE)
        refusal, method = _judge_leaf(registration, leaf, problem)
        if refusal is None and not leaf.is_valid_at(claim.now):
            refusal = RefusalReason.CERTIFICATE_EXPIRED
        if refusal is None and not registration.enabled:
            refusal = RefusalReason.DISABLED
        if refusal is None:
            refusal = _REVOKED.get(self._revocations.problem_with(links, claim.now))
        if refusal is not None:
            return Refused(refusal)
        self.certified.enter(claim.identity, _shown(leaf, links))
        return Admitted(claim.identity, leaf.valid_until, method)

    def _follow(self, claim: Claim, leaf: Leaf) -> tuple[tuple[Link, ...], ChainProblem | None]:
        """What lists of revoked certificates may name on the certificate's way to the bundle, and why it has none."""
        if self._trust_bundle is None:
            return (leaf.link,), ChainProblem.UNTRUSTED
        found = self._trust_bundle.follow(claim.certificates, claim.now)
        if isinstance(found, ChainProblem):
            # Of one that is known by its thumbprint nobody is asked who has signed it; a list may still name it.
            return (leaf.link,), found
        return found, None

    def _is_of_another(self, claim: Claim) -> bool:
        """Whether a certificate that we know, by its thumbprint or its authority, is another device's."""
        try:
            leaf = read_leaf(claim.certificates[0])
        except CertificateError:
            return False
        owners = self._registry.owners_of(leaf.thumbprints[0]) | self._registry.owners_of(leaf.thumbprints[1])
        if owners:
            return identity(claim.identity.device) not in owners
        return leaf.common_name != claim.identity.device and self._follow(claim, leaf)[1] is None


def _judge_leaf(
    registration: Registration, leaf: Leaf, problem: ChainProblem | None
) -> tuple[RefusalReason | None, LoginMethod]:
    """Whether a certificate is the one that the registration asks for, its dates and status aside."""
    credential = registration.credential
    match credential:
        case SymmetricKeys():
            return RefusalReason.WRONG_METHOD, LoginMethod.SYMMETRIC_KEY
        case Thumbprints():
            known = [hmac.compare_digest(mine, theirs) for mine in credential for theirs in leaf.thumbprints]
            return None if any(known) else RefusalReason.CERTIFICATE_MISMATCH, LoginMethod.THUMBPRINT
        case CaSigned():
            return _judge_issued(registration.identity, leaf, problem), LoginMethod.CERTIFICATE_AUTHORITY
        case NoCredential():
            return RefusalReason.WRONG_METHOD, LoginMethod.CERTIFICATE_AUTHORITY
        case _:
            assert_never(credential)


def _judge_issued(who: Identity, leaf: Leaf, problem: ChainProblem | None) -> RefusalReason | None:
    if problem is ChainProblem.EXPIRED:
        return RefusalReason.CERTIFICATE_EXPIRED
    if problem is not None or leaf.is_authority or not leaf.is_for_clients:
        return RefusalReason.CERTIFICATE_UNTRUSTED
    return None if leaf.common_name == who.device else RefusalReason.CERTIFICATE_MISMATCH


def _shown(leaf: Leaf, links: tuple[Link, ...]) -> Shown:
    return Shown(
        thumbprint=leaf.thumbprints[1],
        issuer=leaf.link.issuer,
        valid_from=leaf.valid_from,
        valid_until=leaf.valid_until,
        links=links,
    )
