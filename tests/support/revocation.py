"""Lists of revoked certificates for tests, with every fault that a test may want."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from issuing import NOON, Issued, Key


def revocation_list(
    by: Issued,
    *revoked: Issued,
    key: Key | None = None,
    at: datetime = NOON - timedelta(hours=1),
    until: datetime | None = NOON + timedelta(days=30),
    number: int = 1,
    with_key_id: bool = True,
    critical: Sequence[x509.ExtensionType] = (),
) -> bytes:
    """The list of `by` in PEM; signed by `key` instead, if one is given."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(by.certificate.subject).last_update(at)
    builder = builder.next_update(until or NOON)
    for each in revoked:
        line = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number).revocation_date(at)
        builder = builder.add_revoked_certificate(line.build())
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if with_key_id:
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
        builder = builder.add_extension(above, critical=False)
    for extension in critical:
        builder = builder.add_extension(extension, critical=True)
    signed = builder.sign(key or by.key, hashes.SHA256())
    return signed.public_bytes(Encoding.PEM)
