"""What each kind of certificate may do and how long it lives: one row per kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID


class Kind(Enum):
    """The kinds of certificate; the value is the word in commands, and the folder of those with many."""

    ROOT = "root"
    ISSUING = "issuing"
    EDGE_CA = "edge-ca"
    EDGE_ID = "edge-id"
    DEVICE = "device"
    SELF_SIGNED = "self-signed"
    SERVER = "server"
    PROOF = "proof"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How certificates of one kind are made. `path_length` is None for what is not a CA."""

    days: int
    path_length: int | None = None
    purposes: tuple[x509.ObjectIdentifier, ...] = ()


_CLIENT: Final = (ExtendedKeyUsageOID.CLIENT_AUTH,)
_SERVER: Final = (ExtendedKeyUsageOID.SERVER_AUTH,)

# Outages by expiry are what users of test CAs report most, so CAs live for years; `check` tells in time. Servers live
# 398 days with the one they are backdated by, the most that Apple's TLS clients accept.
PROFILES: Final[Mapping[Kind, Profile]] = MappingProxyType(
    {
        Kind.ROOT: Profile(days=3650, path_length=1),
        Kind.ISSUING: Profile(days=1825, path_length=0),
        # IoT Edge signs its modules' server certificates with it directly, so no CA comes below it.
        Kind.EDGE_CA: Profile(days=1825, path_length=0),
        Kind.EDGE_ID: Profile(days=730, purposes=_CLIENT),
        Kind.DEVICE: Profile(days=730, purposes=_CLIENT),
        Kind.SELF_SIGNED: Profile(days=730, purposes=_CLIENT),
        Kind.SERVER: Profile(days=397, purposes=_SERVER),
        # Needed for the minutes between making it and uploading it.
        Kind.PROOF: Profile(days=30, purposes=_CLIENT),
    }
)
