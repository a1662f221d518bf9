"""Renewing: the same kind, names and kind of key, a new end; what lies above is put into the chains below."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from edgeca import files, keys
from edgeca.authority import Authority
from edgeca.credential import Credential, read_certificates, write_certificates
from edgeca.errors import CaError, Refused
from edgeca.files import Entry
from edgeca.folder import Folder, Made
from edgeca.keys import PrivateKey
from edgeca.profiles import PROFILES, Kind
from edgeca.revocation import find_revoked
from edgeca.revoking import keep_last_list
from edgeca.signing import BACKDATED, Subject, sign, subject_of

CAS: Final = (Kind.ROOT, Kind.ISSUING)
UNRENEWED: Final = frozenset({Kind.PROOF, Kind.SELF_SIGNED})
"""Left alone unless named: a proof is used once, and of a self-signed pair one is renewed while the other serves."""


class KeyWish(Enum):
    """Whether a renewed certificate keeps its key."""

    USUAL = "usual"
    """The root and the issuing CA keep theirs, so that what they have signed stays good; all else gets a new one."""
    KEEP = "keep"
    NEW = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalWish:
    """How to renew; `days` None: as long as its kind lives, or as it lived if that was shorter."""

    key: KeyWish = KeyWish.USUAL
    days: int | None = None


class Renewal:
    """Renews entries of a folder."""

    def __init__(self, folder: Folder, clock: Callable[[], datetime]) -> None:
        self._folder = folder
        self._clock = clock

    def due(self, within: timedelta | None) -> list[Entry]:
        """What `--all` (`within` None) or `--within` renews, CAs first: all that is not revoked and can be read."""
        now, found = self._clock(), []
        for entry in files.entries(self._folder.directory):
            if entry.kind in UNRENEWED or _why_unreadable(entry) or self._is_revoked(entry):
                continue
            ends_at = files.load_certificates(entry)[0].not_valid_after_utc
            if within is None or ends_at - now <= within:
                found.append(entry)
        return found

    def unreadable(self) -> list[str]:
        """What `due` passes over because it cannot be read, and why: one of them must not keep the others."""
        reasons = [(entry.label, _why_unreadable(entry)) for entry in files.entries(self._folder.directory)]
        return [f"{label}: {why}" for label, why in reasons if why]

    def renew(self, entries: Sequence[Entry], wish: RenewalWish) -> list[Made]:
        """Renew these, CAs first, and write all chains anew that a renewed CA stands in. Raises Refused or CaError."""
        order = sorted(entries, key=lambda entry: CAS.index(entry.kind) if entry.kind in CAS else len(CAS))
        made: list[Made] = []
        with files.locked(self._folder.directory):
            # Before anything is changed: whether one ended with its CA cannot be seen once that was renewed.
            lives = {entry: _life(entry, files.load(entry)) for entry in order}
            for entry in order:
                made += self._renew_one(entry, wish, lives[entry])
        return made

    def _renew_one(self, entry: Entry, wish: RenewalWish, life: int | None) -> list[Made]:
        match entry.kind:
            case Kind.ROOT:
                return [self._renew_root(entry, wish)]
            case Kind.ISSUING:
                return self._renew_issuing(entry, wish)
            case _:
                old = files.load(entry)
                issuer = None if entry.kind is Kind.SELF_SIGNED else self._issuer(entry, old)
                self._refuse_revoked_key(entry, old, wish)
                days = self._within(life, issuer) if wish.days is None else wish.days
                return [self._replace(entry, self._reissue(entry, old, _key(old, wish), issuer, days))]

    # CAs.

    def _renew_root(self, entry: Entry, wish: RenewalWish) -> Made:
        if wish.key is KeyWish.NEW:
            raise Refused(
                "a root with a new key is a new CA: edgeca init --force makes one, and everything below it must be "
                "made anew. To have devices trust both meanwhile, add the old root: edgeca bundle --add"
            )
        old, others = files.load(entry), self._others()
        made = self._replace(entry, self._reissue(entry, old, old.key, None, wish.days))
        _put_into_chains(others, {old.certificate: made.credential.certificate})
        self._put_into_bundle(old.certificate, made.credential.certificate)
        return made

    def _renew_issuing(self, entry: Entry, wish: RenewalWish) -> list[Made]:
        old = files.load(entry)
        self._refuse_revoked_key(entry, old, wish)
        below, others = self._signed_by(old.certificate), self._others()
        root = files.load(Entry(directory=entry.directory, kind=Kind.ROOT))
        key = keys.generate(keys.kind_of(old.key)) if wish.key is KeyWish.NEW else old.key
        made = self._replace(entry, self._reissue(entry, old, key, root, wish.days))
        if wish.key is not KeyWish.NEW:
            _put_into_chains(others, {old.certificate: made.credential.certificate})
            return [made]
        keep_last_list(self._folder.directory, old, self._clock())
        # What the old key has signed stays good until the old certificate ends; new chains need new signatures.
        return [made, *(self._sign_again(each, made.credential) for each in below)]

    def _sign_again(self, entry: Entry, issuer: Credential) -> Made:
        old = files.load(entry)
        days = self._within(_life(entry, old), issuer)
        return self._replace(entry, self._reissue(entry, old, old.key, issuer, days))

    def _signed_by(self, issuer: x509.Certificate) -> list[Entry]:
        return [
            entry
            for entry in files.entries(self._folder.directory)
            if issuer in files.load_certificates(entry)[1:2] and not self._is_revoked(entry)
        ]

    def _others(self) -> list[tuple[Entry, Credential]]:
        """All there is, read before anything is changed: one that cannot be read must not be found half-way."""
        return [(entry, files.load(entry)) for entry in files.entries(self._folder.directory)]

    def _put_into_bundle(self, old: x509.Certificate, new: x509.Certificate) -> None:
        path = self._folder.directory / files.TRUST_BUNDLE
        had = read_certificates(files.read_bytes(path), str(path)) if path.exists() else (old,)
        bundle = dict.fromkeys(new if each == old else each for each in had)
        files.write_file(path, write_certificates(bundle), files.CERTIFICATE_MODE)

    # One certificate.

    def _issuer(self, entry: Entry, old: Credential) -> Credential:
        authority: Authority = self._folder.authority()
        if entry.kind in {Kind.EDGE_CA, Kind.PROOF}:
            by_issuing = old.issuers[:1] == (authority.issuing.certificate,)
            return authority.issuing if by_issuing else authority.root
        return authority.issuing

    def _reissue(
        self, entry: Entry, old: Credential, key: PrivateKey, issuer: Credential | None, days: int | None
    ) -> Credential:
        subject = subject_of(old.certificate, with_key=key is old.key)
        if entry.kind is Kind.ISSUING and key is not old.key:
            subject = Subject(exact=_with_digits_of(key, old.certificate.subject))
        return sign(entry.kind, subject, key, issuer=issuer, days=days, now=self._clock())

    def _within(self, life: int | None, issuer: Credential | None) -> int | None:
        """A life of so many days, or as long as the issuer lives if that is less."""
        if life is None or issuer is None:
            return life
        return life if self._clock() + timedelta(days=life) <= issuer.certificate.not_valid_after_utc else None

    def _replace(self, entry: Entry, credential: Credential) -> Made:
        retired = files.copy_aside(entry, self._clock())
        files.save(entry, credential)
        return Made(entry=entry, credential=credential, changed=True, retired=retired)

    def _is_revoked(self, entry: Entry) -> bool:
        certificate, *issuers = files.load_certificates(entry)
        return find_revoked(entry.directory, certificate, issuers) is not None

    def _refuse_revoked_key(self, entry: Entry, old: Credential, wish: RenewalWish) -> None:
        keeps = wish.key is KeyWish.KEEP or (wish.key is KeyWish.USUAL and entry.kind in CAS)
        if keeps and find_revoked(entry.directory, old.certificate, old.issuers) is not None:
            raise Refused(
                f"{entry.label} was revoked, and whoever has its key would have a good certificate again. Renew it "
                "with a new key: leave out --keep-key, and for the issuing CA say --new-key"
            )


def _why_unreadable(entry: Entry) -> str:
    try:
        files.load(entry)
    except CaError as exc:
        return str(exc)
    return ""


def _put_into_chains(
    entries: Iterable[tuple[Entry, Credential]], renewed: Mapping[x509.Certificate, x509.Certificate]
) -> None:
    for entry, credential in entries:
        issuers = tuple(renewed.get(each, each) for each in credential.issuers)
        if issuers != credential.issuers:
            chained = Credential(certificate=credential.certificate, key=credential.key, issuers=issuers)
            files.save_chains(entry, chained)


def _with_digits_of(key: PrivateKey, name: x509.Name) -> x509.Name:
    """The name of a CA that gets a new key: two CAs of one name would be taken for each other."""
    tail = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest[:4].hex()
    return x509.Name(
        x509.NameAttribute(each.oid, f"{str(each.value).rpartition(' ')[0]} {tail}")
        if each.oid == NameOID.COMMON_NAME
        else each
        for each in name
    )


def _life(entry: Entry, old: Credential) -> int | None:
    """The days it was made for, if that was less than its kind's time and its issuer's end was not the reason."""
    certificate = old.certificate
    had = (certificate.not_valid_after_utc - certificate.not_valid_before_utc - BACKDATED).days
    ended_with_issuer = any(each.not_valid_after_utc == certificate.not_valid_after_utc for each in old.issuers)
    return had if 1 <= had < PROFILES[entry.kind].days and not ended_with_issuer else None


def _key(old: Credential, wish: RenewalWish) -> PrivateKey:
    return old.key if wish.key is KeyWish.KEEP else keys.generate(keys.kind_of(old.key))


def find_entries(folder: Folder, names: Iterable[str], kind: Kind | None) -> list[Entry]:
    """The entries with these names, of this kind if one is given. Raises Refused for none, or several of one name."""
    entries = list(files.entries(folder.directory))
    return [_find(entries, name, kind, folder) for name in dict.fromkeys(names)]


def _find(entries: Sequence[Entry], name: str, kind: Kind | None, folder: Folder) -> Entry:
    wanted = [each for each in entries if kind is None or each.kind is kind]
    found = [each for each in wanted if name == each.name or (not each.name and name == each.kind.value)]
    pair = [each for each in wanted if each.kind is Kind.SELF_SIGNED and each.name.rpartition(".")[0] == name]
    if not found and pair:
        raise Refused(
            f"{name!r} has two certificates, so that one serves while the other is replaced. Name one: "
            f"{' or '.join(each.name for each in pair)}"
        )
    if not found:
        raise Refused(f"there is no certificate named {name!r} in {folder.directory}; edgeca show lists them")
    if len(found) > 1:
        kinds = " or ".join(f"--kind {each.kind.value}" for each in found)
        raise CaError(f"{name!r} is the name of {len(found)} certificates; say which: {kinds}")
    return found[0]
