"""Certificates and keys on disk: names, modes, atomic writes, and moving aside instead of deleting.

Layout below the folder, `S` being `root`, `issuing`, or `KIND/NAME` with NAME percent-encoded:

    S.cert.pem        the certificate
    S.key.pem         its private key, mode 0600
    S.chain.pem       leaf first, without the root   (not for what signed itself)
    S.full-chain.pem  leaf first, with the root      (not for what signed itself)
    trust-bundle.pem  what others must trust
    CA.crl.pem        what the root, or the issuing CA, has taken back; crl.pem holds both
    retired/          what `--force` and `renew` replaced
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from cryptography import x509

from edgeca.credential import Credential, read_certificates
from edgeca.errors import CaError
from edgeca.keys import read_key
from edgeca.profiles import Kind

KEY_MODE: Final = 0o600
CERTIFICATE_MODE: Final = 0o644
FOLDER_MODE: Final = 0o700
TRUST_BUNDLE: Final = "trust-bundle.pem"
CRL: Final = ".crl.pem"
ALL_CRLS: Final = "crl.pem"
RETIRED: Final = "retired"

_SINGLE: Final = frozenset({Kind.ROOT, Kind.ISSUING})
_CERTIFICATE: Final = ".cert.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where one credential lies: its kind and its name; `name` is empty for the root and the issuing CA."""

    directory: Path
    kind: Kind
    name: str = ""

    @property
    def label(self) -> str:
        """How a person calls it, for example `server gateway.local`."""
        return f"{self.kind.value} {self.name}".strip()

    @property
    def certificate_path(self) -> Path:
        """The certificate alone."""
        return self._path(_CERTIFICATE)

    @property
    def key_path(self) -> Path:
        """The private key."""
        return self._path(".key.pem")

    @property
    def chain_path(self) -> Path:
        """Leaf first, without the root."""
        return self._path(".chain.pem")

    @property
    def full_chain_path(self) -> Path:
        """Leaf first, with the root."""
        return self._path(".full-chain.pem")

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that belong to it, present or not."""
        own = (self.certificate_path, self.key_path)
        if self.kind in {Kind.ROOT, Kind.SELF_SIGNED}:
            return own
        return (*own, self.chain_path, self.full_chain_path)

    def exists(self) -> bool:
        """Whether there is a certificate; it is written last."""
        return self.certificate_path.exists()

    def _path(self, suffix: str) -> Path:
        if self.kind in _SINGLE:
            return self.directory / f"{self.kind.value}{suffix}"
        # Ids may hold ? : and the like, which Windows does not take in a file name.
        return self.directory / self.kind.value / f"{quote(self.name, safe='')}{suffix}"


def entries(directory: Path) -> Iterator[Entry]:
    """All credentials below `directory`, CAs first."""
    for kind in Kind:
        if kind in _SINGLE:
            entry = Entry(directory=directory, kind=kind)
            if entry.exists():
                yield entry
            continue
        for path in sorted((directory / kind.value).glob(f"*{_CERTIFICATE}")):
            yield Entry(directory=directory, kind=kind, name=unquote(path.name.removesuffix(_CERTIFICATE)))


def load(entry: Entry) -> Credential:
    """Read `entry`. Raises CaError if a file is missing, unreadable, or belongs to another credential."""
    certificate, *issuers = load_certificates(entry)
    key = read_key(read_bytes(entry.key_path), str(entry.key_path))
    if key.public_key() != certificate.public_key():
        raise CaError(
            f"{entry.key_path} is not the key of {entry.certificate_path}; put the right one back, or make a new pair "
            "with --force"
        )
    return Credential(certificate=certificate, key=key, issuers=tuple(issuers))


def load_certificates(entry: Entry) -> tuple[x509.Certificate, ...]:
    """The certificate of `entry` and its issuers up to the root. Raises CaError as `load` does."""
    certificates = read_certificates(read_bytes(entry.certificate_path), str(entry.certificate_path))
    if entry.full_chain_path not in entry.paths:
        return certificates[:1]
    chain = read_certificates(read_bytes(entry.full_chain_path), str(entry.full_chain_path))
    if chain[0] != certificates[0] or len(chain) < 2:
        raise CaError(
            f"{entry.full_chain_path} is not the chain of {entry.certificate_path}; make a new pair with --force"
        )
    return chain


def save(entry: Entry, credential: Credential) -> None:
    """Put all files of `entry` in their place at one go, the certificate last: where it is, the rest is complete."""
    make_folder(entry.certificate_path.parent)
    contents = [(entry.key_path, credential.key_pem, KEY_MODE), *_chains(entry, credential)]
    write_files([*contents, (entry.certificate_path, credential.certificate_pem, CERTIFICATE_MODE)])


def save_chains(entry: Entry, credential: Credential) -> None:
    """Write the chains of `entry` anew: an issuer was renewed, key and certificate stay."""
    write_files(_chains(entry, credential))


def _chains(entry: Entry, credential: Credential) -> list[tuple[Path, bytes, int]]:
    if entry.full_chain_path not in entry.paths:
        return []
    return [
        (entry.chain_path, credential.chain_pem, CERTIFICATE_MODE),
        (entry.full_chain_path, credential.full_chain_pem, CERTIFICATE_MODE),
    ]


def copy_aside(entry: Entry, now: datetime) -> Path | None:
    """Copy the files of `entry` to `retired/`, if there are any, before they are replaced; where they went."""
    present = [path for path in entry.paths if path.exists()]
    if not present:
        return None
    make_folder(entry.directory / RETIRED)
    base = f"{now:%Y%m%dT%H%M%SZ}-{quote(entry.label.replace(' ', '-'), safe='')}"
    place = _make_new_folder(entry.directory / RETIRED, base)
    for path in present:
        mode = KEY_MODE if path == entry.key_path else CERTIFICATE_MODE
        write_file(place / path.name, read_bytes(path), mode)
    return place


def _make_new_folder(parent: Path, base: str) -> Path:
    number = 1
    while True:
        place = parent / (base if number == 1 else f"{base}-{number}")
        try:
            place.mkdir(mode=FOLDER_MODE)
        except FileExistsError:
            number += 1
        else:
            return place


def make_folder(folder: Path) -> None:
    """Make `folder` for our eyes only; one that exists keeps its mode. Raises CaError if that fails."""
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=FOLDER_MODE, exist_ok=True)
    except OSError as exc:
        raise CaError(f"cannot make folder {folder}: {exc.strerror}; choose another with --dir") from exc
    if not folder.is_dir():
        raise CaError(f"{folder} is not a folder; choose another with --dir")


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Replace `path` whole or not at all; the content never lies open to others. Raises CaError if that fails."""
    write_files([(path, content, mode)])


def write_files(contents: Sequence[tuple[Path, bytes, int]]) -> None:
    """Replace files that belong together: all are on the disk under other names before the first is renamed.

    Each has its content and mode. Raises CaError if that fails.
    """
    written: list[tuple[Path, Path]] = []
    path = Path()
    try:
        for path, content, mode in contents:
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary.unlink(missing_ok=True)
            written.append((temporary, path))
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for temporary, path in written:
            temporary.replace(path)
    except OSError as exc:
        for temporary, _ in written:
            temporary.unlink(missing_ok=True)
        raise CaError(f"cannot write {path}: {exc.strerror}") from exc


def read_bytes(path: Path) -> bytes:
    """The content of `path`. Raises CaError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise CaError(f"cannot read {path}: {exc.strerror}") from exc


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other runs of this tool out of `directory`, where the system can; two at once would mix their pairs."""
    if sys.platform == "win32":
        yield
        return
    import fcntl  # noqa: PLC0415 — absent on Windows

    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def copy_file_aside(path: Path, now: datetime) -> Path:
    """Copy one file to `retired/` before it is replaced; where it lies."""
    make_folder(path.parent / RETIRED)
    place = _make_new_folder(path.parent / RETIRED, f"{now:%Y%m%dT%H%M%SZ}-{path.name}") / path.name
    write_file(place, read_bytes(path), CERTIFICATE_MODE)
    return place
