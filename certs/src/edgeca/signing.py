"""Builds and signs one certificate."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from edgeca.credential import Credential
from edgeca.errors import CaError
from edgeca.keys import PrivateKey, PublicKey
from edgeca.names import common_name
from edgeca.profiles import PROFILES, Kind, Profile

# A board that took its time zone for UTC is up to 14 hours behind; a day covers it.
BACKDATED = timedelta(days=1)
MAX_DAYS = 36500


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who a certificate is for."""

    common_name: str = ""
    organization: str = ""
    names: tuple[x509.GeneralName, ...] = ()
    exact: x509.Name | None = None
    """The whole name, of one that is renewed: what it has signed names its issuer so."""
    key_id: x509.SubjectKeyIdentifier | None = None
    """The same for its key, if that stays."""


def utc_now() -> datetime:
    """The clock of the machine."""
    return datetime.now(UTC)


def sign(
    kind: Kind,
    subject: Subject,
    key: PrivateKey,
    *,
    issuer: Credential | None,
    days: int | None,
    now: datetime,
) -> Credential:
    """A certificate for `subject` and `key`, signed by `issuer`, or by itself if that is None.

    Without `days` it lives as its kind does, but never longer than its issuer. Raises CaError if `days` asks for more.
    """
    profile = PROFILES[kind]
    start = now.replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(subject) if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - BACKDATED)
        .not_valid_after(_end(profile, issuer, days, start))
    )
    builder = _with_usage(builder, profile, key.public_key())
    builder = _with_names(builder, subject)
    builder = _with_key_ids(
        builder, subject.key_id or x509.SubjectKeyIdentifier.from_public_key(key.public_key()), issuer
    )
    signing_key = key if issuer is None else issuer.key
    return Credential(
        certificate=builder.sign(signing_key, hashes.SHA256()),
        key=key,
        issuers=() if issuer is None else (issuer.certificate, *issuer.issuers),
    )


def subject_of(certificate: x509.Certificate, *, with_key: bool) -> Subject:
    """The subject of a certificate that is to be renewed; `with_key` if its key stays."""
    try:
        names = tuple(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = ()
    return Subject(
        common_name=common_name(certificate),
        names=names,
        exact=certificate.subject,
        key_id=key_id(certificate) if with_key else None,
    )


def _name(subject: Subject) -> x509.Name:
    if subject.exact is not None:
        return subject.exact
    parts = ((NameOID.ORGANIZATION_NAME, subject.organization), (NameOID.COMMON_NAME, subject.common_name))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts if text])


def _end(profile: Profile, issuer: Credential | None, days: int | None, start: datetime) -> datetime:
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise CaError(f"--days {days}: a certificate lives 1 to {MAX_DAYS} days")
    end = start + timedelta(days=days or profile.days)
    if issuer is None:
        return end
    last = issuer.certificate.not_valid_after_utc
    if last <= start:
        raise CaError(
            f"the CA {common_name(issuer.certificate)!r} ended on {last:%Y-%m-%d} and cannot sign any more; "
            "make a new one (edgeca init --force)"
        )
    if days is not None and end > last:
        raise CaError(
            f"--days {days} is longer than its CA lives: {common_name(issuer.certificate)!r} ends on {last:%Y-%m-%d}, "
            f"so at most {(last - start).days} days"
        )
    return min(end, last)


def _with_usage(builder: x509.CertificateBuilder, profile: Profile, key: PublicKey) -> x509.CertificateBuilder:
    is_ca = profile.path_length is not None
    usage = x509.KeyUsage(
        digital_signature=True,
        # TLS suites with RSA key exchange, the only ones of small boards, encrypt to the certificate's key.
        key_encipherment=not is_ca and isinstance(key, rsa.RSAPublicKey),
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=profile.path_length), critical=True)
    builder = builder.add_extension(usage, critical=True)
    if profile.purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(profile.purposes), critical=False)
    return builder


def _with_names(builder: x509.CertificateBuilder, subject: Subject) -> x509.CertificateBuilder:
    if not subject.names:
        return builder
    # RFC 5280 §4.2.1.6: critical where the subject is empty, because then it is the only name.
    return builder.add_extension(x509.SubjectAlternativeName(subject.names), critical=not subject.common_name)


def _with_key_ids(
    builder: x509.CertificateBuilder, own: x509.SubjectKeyIdentifier, issuer: Credential | None
) -> x509.CertificateBuilder:
    above = own if issuer is None else key_id(issuer.certificate)
    builder = builder.add_extension(own, critical=False)
    return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above), critical=False)


def key_id(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    """The subject key identifier of a CA's certificate; made from the key where a foreign CA has none."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
