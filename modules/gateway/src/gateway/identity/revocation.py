"""Lists of revoked certificates (RFC 5280 §5): who is on one is not let in, whatever else is good.

The operator puts the lists there, as the trust bundle. A certificate is revoked if any list of its issuer names its
serial number; where the issuer's own certificate is at hand, only lists count that it has signed. An authority without
a list has revoked nobody. A list past its next update still counts; `when_old` says what else it means.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtensionOID

MAX_LISTS: Final = 64
"""In force at once: one or two an authority, and a site has few of those."""

_BLOCK: Final = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_BEGIN: Final = b"-----BEGIN X509 CRL-----"
_UNREADABLE: Final = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension)
_UNDERSTOOD: Final = frozenset({ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER})


class RevocationError(ValueError):
    """A list cannot be read, or is of a kind that is not understood; the text says what to do."""


class WhenOld(Enum):
    """What a list past its next update means for certificates that it does not name."""

    ACCEPT = "accept"
    """They are let in: a site that nobody visits goes on."""
    REFUSE = "refuse"
    """Nobody of that authority is let in until a new list comes."""


class Revocation(Enum):
    """Why a certificate is not taken."""

    REVOKED = "revoked"
    LIST_ENDED = "list_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One certificate on the way to an authority, as far as lists need it."""

    serial: int
    issuer: str
    """Its issuer's name, RFC 4514."""
    key_id: bytes | None
    """Of its issuer's key, where it says."""
    signer: x509.Certificate | None
    """Its issuer's certificate, where it is known for sure."""


def links_of(path: Sequence[x509.Certificate]) -> tuple[Link, ...]:
    """The links of a verified path, leaf first; the authority at its end is believed by itself."""
    return tuple(_link(each, signer) for each, signer in pairwise(path))


def link_of(certificate: x509.Certificate) -> Link:
    """The link of a certificate that leads nowhere: one that is known by its thumbprint."""
    return _link(certificate, None)


def _link(certificate: x509.Certificate, signer: x509.Certificate | None) -> Link:
    with warnings.catch_warnings():
        # About serial numbers of zero and less (RFC 5280 §4.1.2.2), which old tools made: no peer writes into our log.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        serial = certificate.serial_number
    return Link(
        serial=serial,
        issuer=certificate.issuer.rfc4514_string(),
        key_id=_key_id(certificate.extensions),
        signer=signer,
    )


def _key_id(extensions: x509.Extensions) -> bytes | None:
    try:
        return extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None


class RevocationList:
    """One list; made by `read_lists`."""

    __slots__ = ("_crl", "_signed_by", "issuer", "key_id", "next_update_at", "updated_at")

    def __init__(self, crl: x509.CertificateRevocationList) -> None:
        self._crl = crl
        self._signed_by: dict[bytes, bool] = {}
        self.issuer = crl.issuer.rfc4514_string()
        self.key_id = _key_id(crl.extensions)
        self.updated_at = crl.last_update_utc.timestamp()
        ends = crl.next_update_utc
        self.next_update_at = None if ends is None else ends.timestamp()

    def __len__(self) -> int:
        return len(self._crl)

    @property
    def authority(self) -> tuple[str, bytes | None]:
        """Whose list it is: its name, and which of its keys, where the list says so."""
        return self.issuer, self.key_id

    @property
    def fingerprint(self) -> bytes:
        """Which list this is."""
        return self._crl.fingerprint(hashes.SHA256())

    def names(self, link: Link) -> bool:
        """Whether the serial number is on it."""
        if link.serial < 0:  # which the look-up does not take
            return any(each.serial_number == link.serial for each in self._crl)
        return self._crl.get_revoked_certificate_by_serial_number(link.serial) is not None

    def is_of(self, link: Link) -> bool:
        """Whether it is a list of this certificate's issuer, by name and key."""
        if self.issuer != link.issuer:
            return False
        return self.key_id is None or link.key_id is None or self.key_id == link.key_id

    def is_signed_by(self, signer: x509.Certificate) -> bool:
        """Whether this certificate's key has signed it; asked once of each."""
        known = signer.fingerprint(hashes.SHA256())
        if known not in self._signed_by:
            if len(self._signed_by) >= MAX_LISTS:
                self._signed_by.clear()
            self._signed_by[known] = _is_signature_of(self._crl, signer)
        return self._signed_by[known]


def _is_signature_of(crl: x509.CertificateRevocationList, signer: x509.Certificate) -> bool:
    key = signer.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    try:
        return crl.is_signature_valid(key)
    except (InvalidSignature, *_UNREADABLE):
        return False


def read_lists(content: bytes, source: str) -> list[RevocationList]:
    """The lists in a file: PEM, any number, or one in DER. Raises RevocationError, which names `source`."""
    blocks = _BLOCK.findall(content)
    if len(blocks) != content.count(_BEGIN):
        raise RevocationError(f"{source} is cut off in the middle of a list. Copy it anew")
    try:
        read = [x509.load_pem_x509_crl(block) for block in blocks] if blocks else [x509.load_der_x509_crl(content)]
        for crl in read:
            _check(crl, source)
        return [RevocationList(crl) for crl in read]
    except _UNREADABLE as error:
        if isinstance(error, RevocationError):
            raise
        raise RevocationError(
            f"{source} holds no list of revoked certificates that can be read ({error}). Give one in PEM "
            "('-----BEGIN X509 CRL-----') or DER; `edgeca crl` writes them"
        ) from error


def _check(crl: x509.CertificateRevocationList, source: str) -> None:
    """Refuse what would be read wrongly: RFC 5280 §5.2, critical extensions that are not understood."""
    strange = [each.oid for each in crl.extensions if each.critical and each.oid not in _UNDERSTOOD]
    if strange:
        kinds = ", ".join(getattr(oid, "_name", oid.dotted_string) for oid in strange)
        raise RevocationError(
            f"{source} is a list of a special kind ({kinds}), and only whole lists of one authority are understood. "
            "Ask the authority for its full list"
        )
    if isinstance(crl.signature_hash_algorithm, hashes.MD5 | hashes.SHA1):
        raise RevocationError(f"{source} is signed with SHA-1 or MD5, which proves nothing. Sign it with SHA-256")


class Revocations:
    """The lists in force. `on_forged` hears once of a list that its issuer has not signed; it does not count."""

    def __init__(
        self,
        lists: Iterable[RevocationList] = (),
        *,
        when_old: WhenOld = WhenOld.ACCEPT,
        on_forged: Callable[[RevocationList], None] = lambda _: None,
    ) -> None:
        """Raises RevocationError if there are more lists than can be."""
        self.lists = tuple(lists)
        if len(self.lists) > MAX_LISTS:
            raise RevocationError(f"there are {len(self.lists)} lists, more than {MAX_LISTS}. Take the old ones out")
        self._when_old = when_old
        self._on_forged = on_forged
        self._forged: set[int] = set()

    def __len__(self) -> int:
        return sum(map(len, self.lists))

    def problem_with(self, links: Iterable[Link], now: float) -> Revocation | None:
        """Why somebody with this path is not let in; None if no list has anything against it."""
        if not self.lists:
            return None
        ended = False
        for link in links:
            lists = [each for each in self.lists if self._counts(each, link)]
            if any(each.names(link) for each in lists):
                return Revocation.REVOKED
            ended = ended or (bool(lists) and is_ended(newest(lists), now))
        return Revocation.LIST_ENDED if ended and self._when_old is WhenOld.REFUSE else None

    def newest_of_each(self) -> tuple[RevocationList, ...]:
        """The newest list of each authority: what an older one says to its next update is history."""
        by_issuer: dict[tuple[str, bytes | None], list[RevocationList]] = {}
        for each in self.lists:
            by_issuer.setdefault(each.authority, []).append(each)
        return tuple(map(newest, by_issuer.values()))

    def _counts(self, each: RevocationList, link: Link) -> bool:
        if not each.is_of(link):
            return False
        if link.signer is None or each.is_signed_by(link.signer):
            return True
        if id(each) not in self._forged:
            self._forged.add(id(each))
            self._on_forged(each)
        return False


def newest(lists: Sequence[RevocationList]) -> RevocationList:
    """The one that was made last."""
    return max(lists, key=lambda each: each.updated_at)


def is_ended(each: RevocationList, now: float) -> bool:
    """Whether its authority should have made a new one by now."""
    return each.next_update_at is not None and each.next_update_at <= now
