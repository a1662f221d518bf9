"""Who may register: tokens and certificates against the enrolments (iothub_wire.md §5.4, §7.1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.dps import Registrant, is_token_for
from edgewire.iothub.limits import TOKEN_SKEW_S
from standin.admission import Reason
from standin.chains import common_name, distance, has_thumbprint, is_current, read_chain
from standin.dps_enrolments import Attestation, Enrolment, Enrolments
from standin.dps_errors import UNAUTHORIZED, DpsError

_NO_AUTHORITY: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A peer that is who it says it is, by this enrolment, until `expires_at` in seconds since 1970.

    `keys` or `thumbprints` are what it will prove itself with at its hub.
    """

    registrant: Registrant
    enrolment: str
    keys: tuple[str, ...] = field(default=(), repr=False)
    thumbprints: tuple[str, ...] = ()
    expires_at: float


class DpsAdmission:
    """Decides on tokens and certificates of peers that want to register."""

    def __init__(self, enrolments: Enrolments, *, scope: str, clock: Callable[[], float]) -> None:
        self._enrolments = enrolments
        self._scope = scope
        self._clock = clock

    def admit(self, registrant: Registrant, token: str | None, certificates: Sequence[bytes]) -> Proven:
        """Whether a token or a certificate proves this registrant. Raises DpsError.

        A disabled enrolment is no reason to refuse here: its devices hear of it when they register.
        """
        if registrant.scope.lower() != self._scope.lower():
            raise _refused(Reason.FOREIGN_HUB, f"the id scope here is not {registrant.scope}")
        if token:
            return self._by_token(registrant, token)
        if certificates:
            return self._by_certificate(registrant, certificates)
        raise _refused(Reason.NO_CREDENTIALS, f"{registrant} came without a token or a certificate")

    def _by_token(self, registrant: Registrant, text: str) -> Proven:
        try:
            token = sas.parse(text)
            is_ours = is_token_for(token, registrant)
        except ProtocolError as error:
            raise DpsError(UNAUTHORIZED, f"{registrant}: {error.what}", reason=Reason.MALFORMED_TOKEN.value) from error
        if not is_ours:
            raise _refused(Reason.FOREIGN_TOKEN, f"{registrant} came with a token for {token.resource}")
        enrolment, keys = self._signer(registrant, token)
        now = self._clock()
        if now >= token.expires_at + TOKEN_SKEW_S:
            raise _refused(Reason.EXPIRED, f"{registrant}: the token expired at {token.expiry}")
        return Proven(
            registrant=registrant,
            enrolment=enrolment.key,
            keys=tuple(map(sas.encode_key, keys)),
            # Who comes late by a clock that is slow has until the end of the allowance.
            expires_at=token.expires_at + (TOKEN_SKEW_S if token.expires_at <= now else 0),
        )

    def _signer(self, registrant: Registrant, token: sas.Sas) -> tuple[Enrolment, tuple[bytes, ...]]:
        """The enrolment whose key signed the token, and the keys that are the device's. Raises DpsError."""
        own = self._enrolments.individual(registrant.registration)
        if own is not None and own.attestation is not Attestation.SYMMETRIC_KEY:
            raise _refused(Reason.WRONG_KIND, f"{registrant} came with a token, its enrolment wants a certificate")
        if own is not None:
            if not sas.is_signed_by(token, own.signing_keys()):
                raise _refused(Reason.WRONG_KEY, f"{registrant}: the token is not signed with one of its keys")
            return own, own.signing_keys()
        groups = self._enrolments.groups(Attestation.SYMMETRIC_KEY)
        for group in groups:
            # Ids are compared without case, so some derive from the small letters, others from what they write.
            for name in dict.fromkeys((registrant.registration, registrant.key)):
                keys = tuple(sas.derive_device_key(key, name) for key in group.signing_keys())
                if sas.is_signed_by(token, keys):
                    return group, keys
        if groups:
            raise _refused(Reason.WRONG_KEY, f"{registrant}: the token is signed with no group's derived key")
        raise _refused(Reason.UNKNOWN, f"{registrant} is not enrolled")

    def _by_certificate(self, registrant: Registrant, certificates: Sequence[bytes]) -> Proven:
        try:
            chain = read_chain(certificates)
        except ValueError as error:
            what = f"{registrant}: the certificate cannot be read: {error}"
            raise DpsError(UNAUTHORIZED, what, reason=Reason.WRONG_CERTIFICATE.value) from error
        leaf = chain[0]
        if not is_current(leaf, self._clock()):
            raise _refused(Reason.EXPIRED, f"{registrant}: the certificate is valid until {leaf.not_valid_after_utc}")
        if (common_name(leaf) or "").lower() != registrant.key:
            # iothub_wire.md §5.1: the common name must be the registration id.
            raise _refused(Reason.WRONG_CERTIFICATE, f"{registrant}: the certificate is for {common_name(leaf)}")
        enrolment, thumbprints = self._certified(registrant, chain)
        return Proven(
            registrant=registrant,
            enrolment=enrolment.key,
            thumbprints=thumbprints,
            expires_at=leaf.not_valid_after_utc.timestamp(),
        )

    def _certified(
        self, registrant: Registrant, chain: Sequence[x509.Certificate]
    ) -> tuple[Enrolment, tuple[str, ...]]:
        """The enrolment that the certificate belongs to, and the thumbprints that are the device's."""
        own = self._enrolments.individual(registrant.registration)
        if own is not None and own.attestation is not Attestation.X509:
            raise _refused(Reason.WRONG_KIND, f"{registrant} came with a certificate, its enrolment wants a token")
        if own is not None:
            if not has_thumbprint(chain[0], own.thumbprints):
                raise _refused(Reason.WRONG_CERTIFICATE, f"{registrant}: the certificate is not the enrolled one")
            return own, own.thumbprints
        now = self._clock()
        nearest = min(
            self._enrolments.groups(Attestation.X509), key=lambda group: _distance(chain, group, now), default=None
        )
        if nearest is None:
            raise _refused(Reason.UNKNOWN, f"{registrant} is not enrolled")
        if _distance(chain, nearest, now) == _NO_AUTHORITY:
            raise _refused(Reason.WRONG_CERTIFICATE, f"{registrant}: CA certificate not found")
        return nearest, (chain[0].fingerprint(hashes.SHA256()).hex().upper(),)


def _distance(chain: Sequence[x509.Certificate], group: Enrolment, now: float) -> int:
    """How far the group's CA is up the chain: where two groups know the chain, the nearer CA counts."""
    authority = x509.load_pem_x509_certificate(group.authority.encode())
    return distance(chain, (authority,), now) or _NO_AUTHORITY


def _refused(reason: Reason, what: str) -> DpsError:
    return DpsError(UNAUTHORIZED, what, reason=reason.value)
