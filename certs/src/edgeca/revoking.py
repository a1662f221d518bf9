"""Revoking what this CA has signed, and keeping its lists fresh, on disk."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from edgeca import files
from edgeca.authority import Authority
from edgeca.credential import Credential, read_certificates
from edgeca.errors import CaError, Refused
from edgeca.files import Entry
from edgeca.folder import Folder
from edgeca.names import common_name
from edgeca.profiles import Kind
from edgeca.revocation import Crl, Reason, Revoked, blocks_of, load_crl, path_of, sign_crl
from edgeca.signing import key_id

SIGNERS: Final = (Kind.ROOT, Kind.ISSUING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A certificate to be revoked; `issuer` says whose list it belongs on."""

    label: str
    serial: int
    issuer: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedNow:
    """What became of a target; `changed` is False if it was on the list already."""

    target: Target
    line: Revoked
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A list on disk; `changed` is False if it was fresh enough."""

    kind: Kind
    crl: Crl
    path: Path
    changed: bool


class Lists:
    """The revocation lists in a folder."""

    def __init__(self, folder: Folder, clock: Callable[[], datetime]) -> None:
        self._folder = folder
        self._clock = clock

    def revoke(
        self, targets: Sequence[Target], reason: Reason, days: int | None = None
    ) -> tuple[list[RevokedNow], list[Written]]:
        """Put these on the lists of who signed them; both lists are there afterwards. Raises CaError."""
        authority = self._folder.authority()
        with files.locked(self._folder.directory):
            done: list[RevokedNow] = []
            written: list[Written] = []
            for kind in SIGNERS:
                mine = [target for target in targets if target.issuer is kind]
                signer = _signer(authority, kind)
                before = load_crl(self._folder.directory, kind, signer.certificate)
                results = [self._line(target, before, reason) for target in mine]
                new = {each.line.serial: each.line for each in results if each.changed}
                done += results
                if new or before is None:
                    lines = [*(() if before is None else before.revoked), *new.values()]
                    written.append(self._write(kind, signer, before, lines, days))
                else:
                    written.append(self._unchanged(kind, before))
            self._write_all(written)
            return done, written

    def refresh(self, *, within: timedelta, days: int | None = None, force: bool = False) -> list[Written]:
        """Sign anew the lists that are missing or due within the span, or all of them by `force`. Raises CaError."""
        authority = self._folder.authority()
        with files.locked(self._folder.directory):
            written = []
            for kind in SIGNERS:
                signer = _signer(authority, kind)
                before = load_crl(self._folder.directory, kind, signer.certificate)
                if before is not None and not force and before.until - self._clock() > within:
                    written.append(self._unchanged(kind, before))
                else:
                    written.append(self._write(kind, signer, before, () if before is None else before.revoked, days))
            self._write_all(written)
            return written

    def _line(self, target: Target, before: Crl | None, reason: Reason) -> RevokedNow:
        known = None if before is None else before.find(target.serial)
        if known is not None:
            return RevokedNow(target=target, line=known, changed=False)
        now = self._clock().replace(microsecond=0)
        return RevokedNow(target=target, line=Revoked(serial=target.serial, at=now, reason=reason), changed=True)

    def _write(
        self, kind: Kind, signer: Credential, before: Crl | None, lines: Sequence[Revoked], days: int | None
    ) -> Written:
        path = path_of(self._folder.directory, kind)
        if before is None and path.exists():
            # Of a CA that was here before: what it has taken back stays on record.
            files.copy_file_aside(path, self._clock())
        number = 1 if before is None else before.number + 1
        crl = sign_crl(signer, lines, number=number, now=self._clock(), days=days)
        return Written(kind=kind, crl=crl, path=path, changed=True)

    def _unchanged(self, kind: Kind, crl: Crl) -> Written:
        return Written(kind=kind, crl=crl, path=path_of(self._folder.directory, kind), changed=False)

    def _write_all(self, written: Sequence[Written]) -> None:
        both = self._folder.directory / files.ALL_CRLS
        if not any(each.changed for each in written) and both.exists():
            return
        contents = [(each.path, each.crl.pem, files.CERTIFICATE_MODE) for each in written if each.changed]
        keys = {key_id(each.crl.issuer).digest for each in written}
        last = [pem for key, pem in _last_lists(both, self._clock()) if key not in keys]
        joined = b"".join([*(each.crl.pem for each in written), *last])
        files.write_files([*contents, (both, joined, files.CERTIFICATE_MODE)])


def keep_last_list(directory: Path, old: Credential, now: datetime) -> None:
    """Sign a last list of an issuing CA that gets a new key, for as long as what it has signed may be shown.

    It stays in `crl.pem` beside the lists of the CAs that are, until it ends.
    """
    before = load_crl(directory, Kind.ISSUING, old.certificate)
    days = (old.certificate.not_valid_after_utc - now).days
    if before is None or days < 1:
        return
    last = sign_crl(old, before.revoked, number=before.number + 1, now=now, days=days)
    both = directory / files.ALL_CRLS
    gone = key_id(old.certificate).digest
    others = [pem for key, pem in _last_lists(both, now) if key != gone]
    files.write_file(both, b"".join([*others, last.pem]), files.CERTIFICATE_MODE)


def _last_lists(path: Path, now: datetime) -> list[tuple[bytes | None, bytes]]:
    """The lists in `crl.pem` that have not ended, with the id of the key that signed each."""
    found = [(block, x509.load_pem_x509_crl(block)) for block in blocks_of(path)] if path.exists() else []
    return [(_signer_id(crl), pem) for pem, crl in found if crl.next_update_utc is None or crl.next_update_utc > now]


def _signer_id(crl: x509.CertificateRevocationList) -> bytes | None:
    try:
        return crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None


def _signer(authority: Authority, kind: Kind) -> Credential:
    return authority.root if kind is Kind.ROOT else authority.issuing


# What is to be revoked.


def target_of_entry(folder: Folder, entry: Entry) -> Target:
    """What stands under this name now. Raises Refused for what nobody can revoke, CaError if it cannot be read."""
    if entry.kind is Kind.ROOT:
        raise Refused(
            "the root cannot be revoked: nobody stands above it. Have all who trust it remove it from their trust "
            "bundles, and make a new CA: edgeca init --force"
        )
    if entry.kind is Kind.SELF_SIGNED:
        raise Refused(
            f"{entry.label} signed itself, so no list can name it. Remove its thumbprint where the device is "
            "registered: in IoT Hub, and by `gateway devices`"
        )
    certificate, *issuers = files.load_certificates(entry)
    return Target(label=entry.label, serial=certificate.serial_number, issuer=_issuer_of(folder, certificate, issuers))


def target_of_file(folder: Folder, path: Path) -> Target:
    """The first certificate of a file. Raises CaError if it cannot be read, Refused if this CA has not signed it."""
    certificate = read_certificates(files.read_bytes(path), str(path))[0]
    label = f"{path} ({common_name(certificate)})"
    return Target(label=label, serial=certificate.serial_number, issuer=_issuer_of(folder, certificate, ()))


def target_of_serial(folder: Folder, serial: int, issuer: Kind | None) -> Target:
    """The certificate with this serial number, here or in `retired/`. Raises Refused if it is not there.

    With `issuer` it need not be there.
    """
    label = f"serial number {serial:X}"
    if issuer is not None:
        return Target(label=label, serial=serial, issuer=issuer)
    for certificate in _all_certificates(folder.directory):
        if certificate.serial_number == serial:
            words = f"{label} ({common_name(certificate)})"
            return Target(label=words, serial=serial, issuer=_issuer_of(folder, certificate, ()))
    raise Refused(
        f"no certificate in {folder.directory} has the {label}. Say with --issuer root or --issuer issuing whose list "
        "it belongs on, or name its file with --file"
    )


def _all_certificates(directory: Path) -> Iterator[x509.Certificate]:
    for path in sorted(directory.rglob("*.cert.pem")):
        try:
            yield read_certificates(files.read_bytes(path), str(path))[0]
        except CaError:
            continue  # `edgeca check` names it


def _issuer_of(folder: Folder, certificate: x509.Certificate, issuers: Sequence[x509.Certificate]) -> Kind:
    authority = folder.authority()
    for kind in reversed(SIGNERS):
        signer = _signer(authority, kind).certificate
        if certificate != signer and _is_signed_by(certificate, signer):
            return kind
    who = common_name(issuers[0]) if issuers else certificate.issuer.rfc4514_string()
    raise Refused(
        f"{common_name(certificate)!r} was signed by {who!r}, not by the CA in {folder.directory}: only who signed a "
        "certificate can take it back"
    )


def _is_signed_by(certificate: x509.Certificate, signer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
