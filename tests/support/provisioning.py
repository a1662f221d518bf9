"""Enrolments of a stand-in, and what the devices of those prove themselves with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding

from edgeca.authority import self_signed_device
from edgeca.credential import Credential, thumbprint_sha256
from edgeca.folder import Folder
from edgewire.iothub import sas
from standin.app import StandIn
from standin.dps_enrolments import Attestation, Enrolment, with_keys

KEY: Final = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
WRONG_KEY: Final = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="


@dataclass(frozen=True, slots=True)
class Files:
    """A device's certificate and key."""

    chain: Path
    key: Path


def enrol(standin: StandIn, name: str = "reg-01", *, group: bool = False, **fields: Any) -> Enrolment:
    """A device, or a group of them, with `KEY`."""
    enrolment = Enrolment(name=name, group=group, attestation=Attestation.SYMMETRIC_KEY, **fields)
    return standin.dps.enrolments.add(with_keys(enrolment, [KEY]))


def derived(registration: str) -> str:
    """The key of one device of a group with `KEY`."""
    return sas.encode_key(sas.derive_device_key(sas.decode_key(KEY), registration))


def enrol_self_signed(standin: StandIn, name: str, directory: Path) -> Files:
    """A device that signs its certificate itself."""
    credential = self_signed_device(name)
    thumbprints = (thumbprint_sha256(credential.certificate),)
    standin.dps.enrolments.add(Enrolment(name=name, group=False, attestation=Attestation.X509, thumbprints=thumbprints))
    return write(credential, directory)


def enrol_ca_group(standin: StandIn, group: str, device: str, directory: Path) -> Files:
    """A group of the CA that signs devices, and one of its devices."""
    authority = Folder(standin.directory / "certs").authority()
    pem = authority.issuing.certificate.public_bytes(Encoding.PEM).decode()
    standin.dps.enrolments.add(Enrolment(name=group, group=True, attestation=Attestation.X509, authority=pem))
    return write(authority.issue_device(device), directory)


def write(credential: Credential, directory: Path) -> Files:
    """The files that clients are pointed at."""
    files = Files(directory / "chain.pem", directory / "key.pem")
    files.chain.write_bytes(credential.chain_pem)
    files.key.write_bytes(credential.key_pem)
    return files
