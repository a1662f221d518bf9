"""The lists of revoked certificates in GATEWAY_CRL_FILE, a file or a folder of them, followed without a restart.

What cannot be read stops the start; later the lists before stay in force, and that is said once.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.app.certificate_watch import Candidate
from gateway.app.followed_files import LOOK_EVERY_S, FollowedFiles
from gateway.app.settings import ConfigError
from gateway.app.trust import read_file
from gateway.identity.revocation import RevocationError, RevocationList, Revocations, WhenOld, read_lists
from gateway.observe.certificates import CertificateKind, RevocationListUnusable
from gateway.observe.events import Event

MAX_BYTES: Final = 16 * 1_048_576
"""Of all files together: forty thousand revoked certificates take two."""
SUFFIXES: Final = (".pem", ".crl")
"""Of the files that are read in a folder."""

Emit = Callable[[Event], None]
Apply = Callable[[Revocations], None]


class RevocationFiles:
    """The lists in force. `known`: authorities whose own lists are checked at once; others are at the first login.

    Raises ConfigError if they cannot be used.
    """

    def __init__(
        self,
        place: Path,
        when_old: WhenOld,
        emit: Emit,
        *,
        known: Callable[[], Iterable[x509.Certificate]] = tuple,
    ) -> None:
        self._place = place
        self._when_old = when_old
        self._emit = emit
        self._known = known
        self._complaint = ""
        self._files = FollowedFiles(self._paths)
        try:
            self.revocations = self._read()
        except (RevocationError, ConfigError) as error:
            raise ConfigError(f"GATEWAY_CRL_FILE: {error}") from error

    @property
    def name(self) -> str:
        """Where they are, for a person."""
        return str(self._place)

    def look_again(self) -> bool:
        """Read them if they have changed; whether there is something new in force."""
        if not self._files.take():
            return False
        try:
            read = self._read()
            gone = missing(read.lists, self.revocations.lists)
            self.revocations = self._counting([*read.lists, *gone])
        except (RevocationError, ConfigError) as error:
            self._complain(f"GATEWAY_CRL_FILE: {str(error).removesuffix('.')}. The lists before stay in force")
            return False
        if gone:
            issuers = " and of ".join(sorted({each.issuer for each in gone}))
            self._complain(
                f"GATEWAY_CRL_FILE: {self._place} has no list of {issuers} any more. The one before stays in force: "
                "put one back, or start the gateway again if this authority is not to revoke anybody"
            )
        else:
            self._complaint = ""
        return True

    async def keep(self, apply: Apply) -> None:
        """Follow the files until cancelled; `apply` gets what is new."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._files.have_settled() and self.look_again():
                apply(self.revocations)

    def candidates(self) -> Iterator[Candidate]:
        """The newest list of each authority as something that ends: with its next update."""
        for each in self.revocations.newest_of_each():
            if each.next_update_at is not None:
                yield Candidate(
                    kind=CertificateKind.REVOCATION_LIST,
                    name=f"revocation list of {each.issuer}",
                    subject=each.issuer,
                    issuer=each.issuer,
                    starts_at=each.updated_at,
                    ends_at=each.next_update_at,
                    identity=each.fingerprint,
                    advice=self._advice(),
                )

    def _advice(self) -> str:
        what = (
            "it still counts, and who is not on it is let in"
            if self._when_old is WhenOld.ACCEPT
            else "nobody with a certificate of this authority is let in once it has"
        )
        return f"have its authority make a new one (`edgeca crl`) and write it to {self._place}; {what}"

    def _paths(self) -> Sequence[Path]:
        try:
            inside = sorted(path for path in self._place.iterdir() if path.suffix in SUFFIXES)
        except OSError:
            return (self._place,)
        return (self._place, *inside)

    def _read(self) -> Revocations:
        paths = [path for path in self._paths() if not path.is_dir()]
        contents = [(path, read_file(path)) for path in paths]
        if sum(len(content) for _, content in contents) > MAX_BYTES:
            raise RevocationError(
                f"{self._place} holds more than {MAX_BYTES // 1_048_576} MB of lists. Take old lists out"
            )
        lists = [each for path, content in contents for each in read_lists(content, str(path))]
        for each in lists:
            self._check_signer(each)
        return self._counting(lists)

    def _counting(self, lists: Iterable[RevocationList]) -> Revocations:
        return Revocations(lists, when_old=self._when_old, on_forged=self._on_forged)

    def _check_signer(self, each: RevocationList) -> None:
        signers = [known for known in self._known() if known.subject.rfc4514_string() == each.issuer]
        if signers and not any(each.is_signed_by(signer) for signer in signers):
            raise RevocationError(f"the list of {each.issuer} was not signed by it. Fetch it anew from its authority")

    def _on_forged(self, each: RevocationList) -> None:
        self._complain(
            f"GATEWAY_CRL_FILE: the list of {each.issuer} was not signed by the authority of this name that a device's "
            "certificate leads to, and does not count for it. Fetch it anew from its authority"
        )

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            self._complaint = complaint
            self._emit(RevocationListUnusable(complaint))


def missing(lists: Sequence[RevocationList], before: Sequence[RevocationList]) -> list[RevocationList]:
    """The lists of before whose authority has none now: a file that went missing lets nobody in again."""
    there = {each.authority for each in lists}
    return [each for each in before if each.authority not in there]
