"""Who may connect: SAS tokens and client certificates against the registry (iothub_wire.md §7.1, edgehub.md §6.4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.amqp.cbs import identities_of
from edgewire.iothub.amqp.sasl import PlainLogin, hub_label
from edgewire.iothub.limits import TOKEN_SKEW_S
from edgewire.iothub.username import Username
from edgewire.message import Identity
from standin.registry import Authentication, Entry, Registry

_MAX_CHAIN: Final = 8
"""Certificates looked at on the way to an authority."""


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


class Admission:
    """Decides on user names, tokens and certificates.

    `hub_names`: hosts a client may name as its hub, in lower case without port: the hub's name, and the address that
    clients without a gateway use in its place. `authorities`: CAs whose certificates devices may show.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        hub_names: frozenset[str],
        authorities: Sequence[x509.Certificate],
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._hub_names = hub_names
        self._authorities = tuple(authorities)
        self._clock = clock

    def admit(self, username: Username, password: bytes | None, certificates: Sequence[bytes]) -> Admitted | Refused:
        """Whether this MQTT client is who it says it is."""
        if sas.host_of(username.hub) not in self._hub_names:
            return Refused(Reason.FOREIGN_HUB, f"the hub here is not {username.hub}")
        return self.admit_identity(username.identity, password, certificates)

    def admit_login(self, login: PlainLogin) -> Admitted | Refused:
        """Whether who logs in by SASL PLAIN is who it says it is."""
        if login.hub not in map(hub_label, self._hub_names):
            return Refused(Reason.FOREIGN_HUB, f"the hub here is not {login.hub}")
        return self.admit_identity(login.identity, login.token.encode(), ())

    def named_by(self, text: str) -> Identity | Refused:
        """Whom a token is for that says so by itself (CBS); whether it is good is for `admit_identity`."""
        try:
            audience = sas.audience(sas.parse(text))
        except ProtocolError as error:
            return Refused(Reason.MALFORMED_TOKEN, f"a token put on a connection: {error}")
        named = identities_of(audience)
        known = [who for who in named if self._registry.get(who) is not None]
        if known:
            return known[0]
        if named:
            return Refused(Reason.UNKNOWN, f"{named[0]} is not in the registry")
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
        assert_never(entry.authentication)

    def _allowed(self, entry: Entry) -> bool:
        """A module is as enabled as its device."""
        device = self._registry.get(Identity(entry.identity.device))
        return entry.enabled and device is not None and device.enabled

    def _by_token(self, entry: Entry, password: bytes | None) -> Admitted | Refused:
        who = entry.identity
        if not password:
            return Refused(Reason.NO_CREDENTIALS, f"{who} came without a token")
        try:
            token = sas.parse(password.decode())
            audience = sas.audience(token)
        except (ProtocolError, UnicodeDecodeError) as error:
            return Refused(Reason.MALFORMED_TOKEN, f"{who}: {error}")
        if audience.host not in self._hub_names or not audience.covers(who) or token.key_name:
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

    def _by_certificate(
        self, entry: Entry, password: bytes | None, certificates: Sequence[bytes]
    ) -> Admitted | Refused:
        who = entry.identity
        if password:
            return Refused(Reason.WRONG_KIND, f"{who} came with a token, the registry wants its certificate")
        if not certificates:
            return Refused(Reason.NO_CREDENTIALS, f"{who} showed no certificate")
        try:
            chain = [x509.load_der_x509_certificate(der) for der in certificates[:_MAX_CHAIN]]
        except ValueError as error:
            return Refused(Reason.WRONG_CERTIFICATE, f"{who}: the certificate cannot be read: {error}")
        now = self._clock()
        if not chain[0].not_valid_before_utc.timestamp() <= now <= chain[0].not_valid_after_utc.timestamp():
            return Refused(Reason.EXPIRED, f"{who}: the certificate is valid until {chain[0].not_valid_after_utc}")
        if entry.authentication is Authentication.THUMBPRINT:
            proven = _has_thumbprint(chain[0], entry.thumbprints)
        else:
            proven = _common_name(chain[0]) == who.device and self._is_ours(chain, now)
        if not proven:
            return Refused(Reason.WRONG_CERTIFICATE, f"{who}: {chain[0].subject.rfc4514_string()} does not prove it")
        return Admitted(who, chain[0].not_valid_after_utc.timestamp())

    def _is_ours(self, chain: Sequence[x509.Certificate], now: float) -> bool:
        """Whether the chain, leaf first, each signed by the next, ends below one of the authorities."""
        for index, certificate in enumerate(chain):
            if index and not (_is_authority(certificate) and _is_current(certificate, now)):
                return False
            if any(_is_issued_by(certificate, authority) for authority in self._authorities):
                return True
            if index + 1 == len(chain) or not _is_issued_by(certificate, chain[index + 1]):
                return False
        return False


def _has_thumbprint(certificate: x509.Certificate, thumbprints: Sequence[str]) -> bool:
    # SHA-1 names the certificate as the registry of the cloud does; what it protects is the operator's choice.
    algorithms = (hashes.SHA1(), hashes.SHA256())  # noqa: S303
    return any(certificate.fingerprint(each).hex().upper() in thumbprints for each in algorithms)


def _common_name(certificate: x509.Certificate) -> str | None:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else None


def _is_current(certificate: x509.Certificate, now: float) -> bool:
    return certificate.not_valid_before_utc.timestamp() <= now <= certificate.not_valid_after_utc.timestamp()


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
