"""The same certificates once more under the names of Microsoft's sample scripts, so that guides read right.

Below the folder, as certGen.sh and ca-certs.ps1 leave them: `certs/PREFIX.cert.pem`, `certs/PREFIX-full-chain.cert.pem`
(with the root), `certs/PREFIX.cert.pfx`, `private/PREFIX.key.pem`. Copies: `edgeca` itself reads its own names only.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from edgeca import files
from edgeca.credential import Credential
from edgeca.files import Entry
from edgeca.pfx import write_pfx
from edgeca.profiles import Kind

PFX_PASSWORD: Final = b"1234"
"""That of the scripts, which guides repeat. It protects nothing: the file's mode does, as with the key beside it."""

_PREFIXES: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.ROOT: "azure-iot-test-only.root.ca",
        Kind.ISSUING: "azure-iot-test-only.intermediate",
        Kind.EDGE_CA: "iot-edge-device-ca-{name}",
        Kind.EDGE_ID: "iot-edge-device-identity-{name}",
        Kind.DEVICE: "iot-device-{name}",
        Kind.SELF_SIGNED: "iot-device-{name}",
        Kind.SERVER: "iot-edge-server-{name}",
        Kind.PROOF: "iot-device-verification-code",
    }
)


def prefix_of(entry: Entry) -> str:
    """How the scripts call this certificate."""
    name = entry.name
    if entry.kind is Kind.SELF_SIGNED:
        device, _, which = name.rpartition(".")
        name = f"{device}-{which}"
    return _PREFIXES[entry.kind].format(name=quote(name, safe=""))


def export(entry: Entry, credential: Credential) -> list[Path]:
    """Write a credential under those names; where. Raises CaError."""
    prefix = prefix_of(entry)
    certificates, private = entry.directory / "certs", entry.directory / "private"
    for folder in (certificates, private):
        files.make_folder(folder)
    contents = [(private / f"{prefix}.key.pem", credential.key_pem, files.KEY_MODE)]
    if credential.issuers:
        chain = certificates / f"{prefix}-full-chain.cert.pem"
        contents.append((chain, credential.full_chain_pem, files.CERTIFICATE_MODE))
    if entry.kind is not Kind.ROOT:
        pfx = write_pfx(credential, prefix, PFX_PASSWORD)
        contents.append((certificates / f"{prefix}.cert.pfx", pfx, files.KEY_MODE))
    contents.append((certificates / f"{prefix}.cert.pem", credential.certificate_pem, files.CERTIFICATE_MODE))
    files.write_files(contents)
    return [path for path, _, _ in contents]
