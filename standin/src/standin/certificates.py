"""Certificates of the stand-in: its own, its modules', and which devices' it believes. All from the CA tool."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from edgeca.credential import Credential
from edgeca.errors import CaError
from edgeca.folder import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and its key in PEM: the chain leaf first, without the root."""

    chain: str
    key: str
    expires_at: datetime


class Certificates:
    """A CA folder, made at the first use, and the edge CA of one edge device in it.

    `days`: how long certificates of modules live; None for as long as the CA tool makes them.
    """

    def __init__(self, directory: Path, *, edge_device: str, days: int | None = None) -> None:
        """Raises CaError if the folder holds something that cannot be used."""
        folder = Folder(directory)
        folder.init()
        self._authority = folder.authority()
        self._edge_ca = folder.edge_ca(edge_device).credential
        self._days = days

    @property
    def trust_bundle(self) -> str:
        """The root, in PEM: what everybody must trust who connects."""
        return self._authority.trust_bundle_pem.decode()

    @property
    def authorities(self) -> tuple[x509.Certificate, ...]:
        """The CAs that devices' certificates may come from: the root, and the issuing CA for chains without it."""
        return (self._authority.root.certificate, self._authority.issuing.certificate)

    def issue_listener(self, names: Sequence[str]) -> Issued:
        """The stand-in's own server certificate, for these names and addresses."""
        return _issued(self._authority.issue_server(names))

    def issue_server(self, common_name: str, module: str) -> Issued:
        """A module's server certificate, from the edge CA.

        Names: the common name (an address too), and the module's id without `$` where that can be a host name, as the
        daemon does (edgehub.md §6.5). Raises CaError if the common name is neither a host name nor an address.
        """
        try:
            return self._from_edge_ca([common_name, module.replace("$", "").lower()])
        except CaError:
            return self._from_edge_ca([common_name])

    def issue_identity(self, module: str) -> Issued:
        """A module's client certificate; its common name is the module's id. Raises CaError if that cannot be one."""
        return _issued(self._authority.issue_device(module, days=self._days))

    def _from_edge_ca(self, names: Sequence[str]) -> Issued:
        return _issued(self._authority.issue_server(names, issuer=self._edge_ca, days=self._days))


def _issued(credential: Credential) -> Issued:
    return Issued(
        chain=credential.chain_pem.decode(),
        key=credential.key_pem.decode(),
        expires_at=credential.certificate.not_valid_after_utc,
    )
