"""The authority on disk: what is there stays, what is missing is made, what differs needs `force`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from edgeca import files, keys
from edgeca.authority import (
    DEFAULT_NAME,
    Authority,
    edge_ca_common_name,
    self_signed_device,
    server_subject,
)
from edgeca.credential import Credential, read_certificates, write_certificates
from edgeca.errors import CaError, Refused
from edgeca.files import Entry
from edgeca.keys import KeyType
from edgeca.names import MAX_COMMON_NAME, alternative_names, common_name, names_as_text
from edgeca.profiles import Kind
from edgeca.revocation import find_revoked
from edgeca.signing import BACKDATED, Subject, utc_now

PAIR: Final = ("primary", "secondary")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What else may be asked of a certificate; None does not care."""

    key_type: KeyType | None = None
    days: int | None = None
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A credential on disk; `changed` is False if it was there already, `retired` is where its forerunner lies."""

    entry: Entry
    credential: Credential
    changed: bool
    retired: Path | None = None


NO_WISH: Final = Wish()


class Folder:
    """A folder with one authority. Nothing is ever deleted: what is replaced is copied to `retired/` first."""

    def __init__(self, directory: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.directory = directory
        self._clock = clock

    def init(self, name: str | None = None, wish: Wish = NO_WISH) -> tuple[Made, Made]:
        """The root and the issuing CA, made if there is none. Raises Refused if there is a different one."""
        files.make_folder(self.directory)
        with files.locked(self.directory):
            root, issuing = (Entry(directory=self.directory, kind=kind) for kind in (Kind.ROOT, Kind.ISSUING))
            if root.exists() and not wish.force:
                return self._existing_ca(root, issuing, name, wish)
            authority = Authority.create(
                DEFAULT_NAME if name is None else name,
                key_type=wish.key_type or KeyType.EC_P256,
                days=wish.days,
                clock=self._clock,
            )
            # The root comes last: where it is, its issuing CA is too.
            made_issuing = self._replace(issuing, authority.issuing)
            made_root = self._replace(root, authority.root)
            self._write_bundle([authority.root.certificate])
            return made_root, made_issuing

    def adopt(self, root: Credential, wish: Wish = NO_WISH) -> tuple[Made, Made]:
        """A root made elsewhere, and a new issuing CA below it. Raises Refused if there is another root.

        Raises CaError if it cannot sign.
        """
        files.make_folder(self.directory)
        with files.locked(self.directory):
            places = [Entry(directory=self.directory, kind=kind) for kind in (Kind.ROOT, Kind.ISSUING)]
            if places[0].exists() and not wish.force:
                authority = self.authority()
                other = authority.root.certificate != root.certificate
                _refuse_differences(places[0], ["it is another certificate"] if other else [])
                had = (authority.root, authority.issuing)
                existing = [
                    Made(entry=each, credential=has, changed=False) for each, has in zip(places, had, strict=True)
                ]
                return existing[0], existing[1]
            authority = Authority.below(root, key_type=wish.key_type, clock=self._clock)
            made_issuing = self._replace(places[1], authority.issuing)
            made_root = self._replace(places[0], authority.root)
            self._write_bundle([root.certificate])
            return made_root, made_issuing

    def _existing_ca(self, root: Entry, issuing: Entry, name: str | None, wish: Wish) -> tuple[Made, Made]:
        authority = self.authority()
        problems = self._differences(authority.root, wish)
        if name is not None and name != authority.name:
            problems.insert(0, f"its name is {authority.name!r}, not {name!r}")
        _refuse_differences(root, problems)
        return (
            Made(entry=root, credential=authority.root, changed=False),
            Made(entry=issuing, credential=authority.issuing, changed=False),
        )

    def authority(self) -> Authority:
        """The authority in this folder. Raises Refused if there is none, CaError if it cannot be read."""
        root, issuing = (Entry(directory=self.directory, kind=kind) for kind in (Kind.ROOT, Kind.ISSUING))
        if not root.exists():
            raise Refused(f"there is no CA in {self.directory}; make one: edgeca init --dir {self.directory}")
        authority = Authority(root=files.load(root), issuing=files.load(issuing), clock=self._clock)
        if authority.issuing.issuers != (authority.root.certificate,):
            raise CaError(
                f"{issuing.certificate_path} was not signed by {root.certificate_path}; put the right pair back, or "
                "make a new CA: edgeca init --force"
            )
        return authority

    def edge_ca(self, name: str, wish: Wish = NO_WISH) -> Made:
        """The CA of the IoT Edge device `name`."""
        authority = self.authority()
        return self._ensure(
            Entry(directory=self.directory, kind=Kind.EDGE_CA, name=name),
            Subject(common_name=edge_ca_common_name(name)),
            authority.root,
            wish,
            lambda: authority.issue_edge_ca(name, key_type=wish.key_type, days=wish.days),
        )

    def edge_id(self, name: str, wish: Wish = NO_WISH) -> Made:
        """The identity of the IoT Edge device `name`."""
        authority = self.authority()
        return self._ensure(
            Entry(directory=self.directory, kind=Kind.EDGE_ID, name=name),
            Subject(common_name=name),
            authority.issuing,
            wish,
            lambda: authority.issue_edge_id(name, key_type=wish.key_type, days=wish.days),
        )

    def device(self, device_id: str, wish: Wish = NO_WISH) -> Made:
        """The certificate of a leaf device, signed by the issuing CA."""
        authority = self.authority()
        return self._ensure(
            Entry(directory=self.directory, kind=Kind.DEVICE, name=device_id),
            Subject(common_name=device_id),
            authority.issuing,
            wish,
            lambda: authority.issue_device(device_id, key_type=wish.key_type, days=wish.days),
        )

    def self_signed(self, device_id: str, wish: Wish = NO_WISH) -> tuple[Made, ...]:
        """The primary and the secondary certificate of a device known by thumbprint; needs no CA."""
        files.make_folder(self.directory)
        return tuple(
            self._ensure(
                Entry(directory=self.directory, kind=Kind.SELF_SIGNED, name=f"{device_id}.{which}"),
                Subject(common_name=device_id[:MAX_COMMON_NAME]),
                None,
                wish,
                lambda: self_signed_device(
                    device_id, key_type=wish.key_type or KeyType.EC_P256, days=wish.days, clock=self._clock
                ),
            )
            for which in PAIR
        )

    def server(self, names: Sequence[str], wish: Wish = NO_WISH) -> Made:
        """The certificate of a server, filed under its first name."""
        authority = self.authority()
        subject = server_subject(names)
        return self._ensure(
            Entry(directory=self.directory, kind=Kind.SERVER, name=names_as_text(subject.names)[0]),
            subject,
            authority.issuing,
            wish,
            lambda: authority.issue_server(names, key_type=wish.key_type, days=wish.days),
        )

    def proof(self, code: str, wish: Wish = NO_WISH, ca: Kind = Kind.ROOT) -> Made:
        """The proof of possession for a verification code of IoT Hub or DPS: of the root, or of the issuing CA."""
        authority = self.authority()
        issuer = authority.issuing if ca is Kind.ISSUING else authority.root
        return self._ensure(
            Entry(directory=self.directory, kind=Kind.PROOF, name=code),
            Subject(common_name=code),
            issuer,
            wish,
            lambda: authority.prove(code, issuer=issuer, days=wish.days),
        )

    def bundle(self, more: Sequence[Path] = ()) -> tuple[Path, bool]:
        """Write the trust bundle: our root, and the certificates of `more`. Where it is, and whether it changed."""
        certificates = [self.authority().root.certificate]
        for path in more:
            certificates.extend(read_certificates(files.read_bytes(path), str(path)))
        return self._write_bundle(certificates)

    def _write_bundle(self, certificates: list[x509.Certificate]) -> tuple[Path, bool]:
        path = self.directory / files.TRUST_BUNDLE
        content = write_certificates(dict.fromkeys(certificates))
        if path.exists() and files.read_bytes(path) == content:
            return path, False
        files.write_file(path, content, files.CERTIFICATE_MODE)
        return path, True

    def _ensure(
        self, entry: Entry, subject: Subject, issuer: Credential | None, wish: Wish, make: Callable[[], Credential]
    ) -> Made:
        with files.locked(self.directory):
            if entry.exists() and not wish.force:
                credential = files.load(entry)
                signed_by = None if issuer is None else issuer.certificate
                problems = _other_names(credential.certificate, subject)
                if signed_by is not None and credential.issuers[0] != signed_by:
                    problems.append(f"it was signed by {common_name(credential.issuers[0])!r}, not by this CA")
                revoked = find_revoked(self.directory, credential.certificate, credential.issuers)
                if revoked is not None:
                    problems.append(f"it was revoked on {revoked.at:%Y-%m-%d}")
                problems += self._differences(credential, wish)
                _refuse_differences(entry, problems)
                return Made(entry=entry, credential=credential, changed=False)
            return self._replace(entry, make())

    def _replace(self, entry: Entry, credential: Credential) -> Made:
        retired = files.copy_aside(entry, self._clock())
        files.save(entry, credential)
        return Made(entry=entry, credential=credential, changed=True, retired=retired)

    def _differences(self, credential: Credential, wish: Wish) -> list[str]:
        """In what `credential` is not what is wished; a certificate that has ended is nobody's wish."""
        certificate, found = credential.certificate, []
        kind = keys.describe(credential.key)
        if wish.key_type is not None and wish.key_type.value != kind:
            found.append(f"its key is {kind}, not {wish.key_type.value}")
        days = (certificate.not_valid_after_utc - certificate.not_valid_before_utc - BACKDATED).days
        if wish.days is not None and wish.days != days:
            found.append(f"it was made for {days} days, not for {wish.days}")
        if certificate.not_valid_after_utc <= self._clock():
            found.append(f"it ended on {certificate.not_valid_after_utc:%Y-%m-%d}")
        return found


def _other_names(certificate: x509.Certificate, subject: Subject) -> list[str]:
    have, want = alternative_names(certificate), names_as_text(subject.names)
    if set(have) != set(want):
        return [f"its names are {', '.join(have) or 'none'}, not {', '.join(want)}"]
    if common_name(certificate) != subject.common_name:
        return [f"its common name is {common_name(certificate)!r}, not {subject.common_name!r}"]
    return []


def _refuse_differences(entry: Entry, problems: Sequence[str]) -> None:
    if problems:
        raise Refused(
            f"{entry.label} exists and differs: {'; '.join(problems)}. Nothing was changed; repeat with --force "
            f"to make a new one (the old one moves to {entry.directory / files.RETIRED})"
        )
