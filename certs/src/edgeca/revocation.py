"""Revocation lists: which certificates the root and the issuing CA have taken back (RFC 5280 §5).

The list is its own record: what is revoked stands in it with the day and the reason, and nowhere else.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from edgeca import files
from edgeca.credential import Credential
from edgeca.errors import CaError
from edgeca.names import common_name
from edgeca.profiles import Kind
from edgeca.signing import BACKDATED, MAX_DAYS, key_id

DAYS: Final = 90
"""Until a list must be signed anew: a site is visited a few times a year."""


_BLOCK: Final = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)


class Reason(Enum):
    """Why a certificate is taken back: the word in commands. RFC 5280 §5.3.1."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key-compromise"
    CA_COMPROMISE = "ca-compromise"
    AFFILIATION_CHANGED = "affiliation-changed"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation-of-operation"
    PRIVILEGE_WITHDRAWN = "privilege-withdrawn"


_FLAGS: Final = {reason: x509.ReasonFlags[reason.name.lower()] for reason in Reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """One line of a list."""

    serial: int
    at: datetime
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Crl:
    """A list: `number` grows with each signing; `until` is when the next one is due."""

    issuer: x509.Certificate
    number: int
    until: datetime
    revoked: tuple[Revoked, ...]
    pem: bytes

    def find(self, serial: int) -> Revoked | None:
        """The line of this certificate, None if it has none."""
        return next((each for each in self.revoked if each.serial == serial), None)


def sign_crl(
    issuer: Credential, revoked: Iterable[Revoked], *, number: int, now: datetime, days: int | None = None
) -> Crl:
    """The list of `issuer`, signed by it. Raises CaError for `days` that cannot be, or an issuer that has ended."""
    days = DAYS if days is None else days
    if not 1 <= days <= MAX_DAYS:
        raise CaError(f"--days {days}: a revocation list counts for 1 to {MAX_DAYS} days")
    if issuer.certificate.not_valid_after_utc <= now:
        raise CaError(f"the CA {common_name(issuer.certificate)!r} has ended and cannot sign; edgeca renew renews it")
    start = now.replace(microsecond=0)
    lines = tuple(sorted(revoked, key=lambda each: (each.at, each.serial)))
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        # As with certificates: who checks it may be behind.
        .last_update(start - BACKDATED)
        .next_update(start + timedelta(days=days))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id(issuer.certificate)), critical=False
        )
    )
    for each in lines:
        builder = builder.add_revoked_certificate(_line(each))
    crl = builder.sign(issuer.key, hashes.SHA256())
    return Crl(
        issuer=issuer.certificate,
        number=number,
        until=start + timedelta(days=days),
        revoked=lines,
        pem=crl.public_bytes(Encoding.PEM),
    )


def _line(each: Revoked) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(each.serial).revocation_date(each.at)
    if each.reason is not Reason.UNSPECIFIED:  # which is to be left out: RFC 5280 §5.3.1
        builder = builder.add_extension(x509.CRLReason(_FLAGS[each.reason]), critical=False)
    return builder.build()


def path_of(directory: Path, issuer: Kind) -> Path:
    """Where the list of the root, or of the issuing CA, lies."""
    return directory / f"{issuer.value}{files.CRL}"


def load_crl(directory: Path, kind: Kind, issuer: x509.Certificate) -> Crl | None:
    """The list of `issuer`; None if there is none, or that of another CA. Raises CaError if it cannot be read."""
    path = path_of(directory, kind)
    return next(_lists_of(path, issuer), None) if path.exists() else None


def blocks_of(path: Path) -> list[bytes]:
    """The lists in a file, PEM. Raises CaError if it holds something else."""
    content = files.read_bytes(path)
    found = _BLOCK.findall(content)
    if not found or len(found) != content.count(b"-----BEGIN"):
        raise _unreadable(path)
    return [block + b"\n" for block in found]


def _lists_of(path: Path, issuer: x509.Certificate) -> Iterator[Crl]:
    """Those of the lists in a file that this CA has signed."""
    for pem in blocks_of(path):
        try:
            crl = x509.load_pem_x509_crl(pem)
            if not crl.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type] # of our CAs: EC or RSA
                continue
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            revoked = tuple(_read_line(each) for each in crl)
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as exc:
            raise _unreadable(path) from exc
        yield Crl(
            issuer=issuer, number=number, until=crl.next_update_utc or crl.last_update_utc, revoked=revoked, pem=pem
        )


def _unreadable(path: Path) -> CaError:
    return CaError(f"{path} holds no readable revocation list; put back a copy, or move it away and revoke anew")


def _read_line(line: x509.RevokedCertificate) -> Revoked:
    try:
        flag = line.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        flag = x509.ReasonFlags.unspecified
    reason = next((each for each, known in _FLAGS.items() if known is flag), Reason.UNSPECIFIED)
    return Revoked(serial=line.serial_number, at=line.revocation_date_utc, reason=reason)


def find_revoked(directory: Path, certificate: x509.Certificate, issuers: Sequence[x509.Certificate]) -> Revoked | None:
    """The line of a certificate in the list of who signed it, None if it has none. Raises CaError."""
    if not issuers:
        return None
    # Those of a CA that has got a new key meanwhile stand only where all of them do.
    for path in (path_of(directory, Kind.ROOT), path_of(directory, Kind.ISSUING), directory / files.ALL_CRLS):
        for crl in _lists_of(path, issuers[0]) if path.exists() else ():
            line = crl.find(certificate.serial_number)
            if line is not None:
                return line
    return None
