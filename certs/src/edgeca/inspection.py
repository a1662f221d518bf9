"""What is in a folder, and what is wrong with it or soon will be."""

import shlex
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import assert_never

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from edgeca import files, keys
from edgeca.credential import Credential, thumbprint_sha1, thumbprint_sha256
from edgeca.durations import in_words
from edgeca.errors import CaError
from edgeca.files import Entry
from edgeca.names import alternative_names, common_name
from edgeca.profiles import Kind
from edgeca.revocation import Revoked, find_revoked, load_crl, path_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One credential in words and numbers; `chain` names it and its issuers, leaf first."""

    kind: Kind
    name: str
    common_name: str
    names: tuple[str, ...]
    key: str
    serial: str
    sha1: str
    sha256: str
    starts_at: datetime
    ends_at: datetime
    left: timedelta
    chain: tuple[str, ...]
    files: tuple[Path, ...]
    revoked: Revoked | None = None

    @property
    def days_left(self) -> int:
        """Whole days until it ends; below zero once it has ended."""
        return self.left.days


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with `label`, and what to do about it."""

    label: str
    what: str
    remedy: str


def describe(entry: Entry, credential: Credential, now: datetime) -> Description:
    """`credential` as it stands at `now`."""
    certificate = credential.certificate
    return Description(
        kind=entry.kind,
        name=entry.name,
        common_name=common_name(certificate),
        names=alternative_names(certificate),
        key=keys.describe(credential.key),
        serial=f"{certificate.serial_number:X}",
        sha1=thumbprint_sha1(certificate),
        sha256=thumbprint_sha256(certificate),
        starts_at=certificate.not_valid_before_utc,
        ends_at=certificate.not_valid_after_utc,
        left=certificate.not_valid_after_utc - now,
        chain=tuple(common_name(each) for each in (certificate, *credential.issuers)),
        files=entry.paths,
        revoked=find_revoked(entry.directory, certificate, credential.issuers),
    )


def find_problems(directory: Path, now: datetime, within: timedelta = timedelta(0)) -> Iterator[Problem]:
    """All that is broken in `directory`, and all that ends within the span `within` from `now`."""
    trusted = _root_certificate(directory)
    yield from _list_problems(directory, now, within)
    for entry in files.entries(directory):
        try:
            credential = files.load(entry)
        except CaError as exc:
            yield Problem(label=entry.label, what=str(exc), remedy=_remake(entry))
        else:
            yield from _ending(entry, credential, now, within)
            yield from _revoked(entry, credential)
            yield from _chain_problems(entry, credential, trusted)
        yield from _mode_problems(entry)


def _root_certificate(directory: Path) -> x509.Certificate | None:
    try:
        return files.load_certificates(Entry(directory=directory, kind=Kind.ROOT))[0]
    except CaError:
        return None


def _ending(entry: Entry, credential: Credential, now: datetime, within: timedelta) -> Iterator[Problem]:
    for certificate in (credential.certificate, *credential.issuers):
        whose = "" if certificate is credential.certificate else f"its CA {common_name(certificate)!r} "
        end, start = certificate.not_valid_after_utc, certificate.not_valid_before_utc
        what = ""
        if end <= now:
            what = f"{whose}ended on {end:%Y-%m-%d}"
        elif end - now <= within:
            what = f"{whose}ends in {in_words(end - now)}, on {end:%Y-%m-%d}"
        elif start > now:
            what = f"{whose}starts only on {start:%Y-%m-%d}; is the clock right?"
        if what:
            yield Problem(label=entry.label, what=what, remedy=_renew(entry, credential, certificate))
            return


def _revoked(entry: Entry, credential: Credential) -> Iterator[Problem]:
    line = find_revoked(entry.directory, credential.certificate, credential.issuers)
    if line is not None:
        what = f"it was revoked on {line.at:%Y-%m-%d} ({line.reason.value})"
        yield Problem(label=entry.label, what=what, remedy=f"{_remake(entry)}; or move its files away")


def _list_problems(directory: Path, now: datetime, within: timedelta) -> Iterator[Problem]:
    """Revocation lists that must be signed anew; where nothing was ever revoked there are none."""
    for kind in (Kind.ROOT, Kind.ISSUING):
        if not path_of(directory, kind).exists():
            continue
        label = f"revocation list of {kind.value}"
        remedy = shlex.join(["edgeca", "crl", "--dir", str(directory)])
        try:
            issuer = files.load_certificates(Entry(directory=directory, kind=kind))[0]
            crl = load_crl(directory, kind, issuer)
        except CaError as exc:
            yield Problem(label=label, what=str(exc), remedy=remedy)
            continue
        if crl is None:
            yield Problem(label=label, what="it is that of another CA", remedy=remedy)
        elif crl.until <= now:
            yield Problem(label=label, what=f"its next one was due on {crl.until:%Y-%m-%d}", remedy=remedy)
        elif crl.until - now <= within:
            what = f"its next one is due in {in_words(crl.until - now)}, on {crl.until:%Y-%m-%d}"
            yield Problem(label=label, what=what, remedy=remedy)


def _chain_problems(entry: Entry, credential: Credential, trusted: x509.Certificate | None) -> Iterator[Problem]:
    chain = (credential.certificate, *credential.issuers)
    for child, issuer in zip(chain, (*chain[1:], chain[-1]), strict=True):
        try:
            child.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            what = f"{common_name(child)!r} was not signed by {common_name(issuer)!r}"
            yield Problem(label=entry.label, what=what, remedy=_remake(entry))
            return
    if credential.issuers and chain[-1] != trusted:
        what = f"its root {common_name(chain[-1])!r} is not the root in this folder"
        yield Problem(label=entry.label, what=what, remedy=_remake(entry))


def _mode_problems(entry: Entry) -> Iterator[Problem]:
    if sys.platform == "win32" or not entry.key_path.exists():
        return
    mode = stat.S_IMODE(entry.key_path.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        what = f"its key is open to others (mode {mode:04o})"
        yield Problem(label=entry.label, what=what, remedy=f"chmod 600 {entry.key_path}")


def _renew(entry: Entry, credential: Credential, ending: x509.Certificate) -> str:
    """The command for a certificate in the chain of `entry` that ends; a CA first, for nothing outlives its issuer."""
    if ending is credential.certificate:
        words = [entry.name, "--kind", entry.kind.value] if entry.name else [entry.kind.value]
    else:
        words = ["root" if ending == credential.issuers[-1] else "issuing"]
    if entry.kind is Kind.PROOF:  # which serves once
        return _remake(entry)
    return shlex.join(["edgeca", "renew", *words, "--dir", str(entry.directory)])


def _remake(entry: Entry) -> str:
    match entry.kind:
        case Kind.ROOT | Kind.ISSUING:
            words = ["init"]
        case Kind.SELF_SIGNED:
            words = ["device", entry.name.rpartition(".")[0], "--self-signed"]
        case Kind.SERVER:
            words = ["server", *_server_names(entry)]
        case Kind.EDGE_CA | Kind.EDGE_ID | Kind.DEVICE | Kind.PROOF:
            words = [entry.kind.value, entry.name]
        case _:
            assert_never(entry.kind)
    command = shlex.join(["edgeca", *words, "--dir", str(entry.directory), "--force"])
    return f"{command}, and then make everything below it anew" if words == ["init"] else command


def _server_names(entry: Entry) -> tuple[str, ...]:
    """All names the server has now, so that a new certificate keeps them."""
    try:
        found = files.load_certificates(entry)
    except CaError:
        return (entry.name,)
    return alternative_names(found[0]) or (entry.name,)
