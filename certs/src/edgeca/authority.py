"""The authority in memory: makes a root and an issuing CA, and signs everything else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from edgeca import keys
from edgeca.credential import Credential, write_certificates
from edgeca.errors import CaError
from edgeca.keys import KeyType
from edgeca.names import (
    MAX_COMMON_NAME,
    check_characters,
    check_identifier,
    common_name,
    names_as_text,
    parse_names,
)
from edgeca.profiles import Kind
from edgeca.signing import Subject, key_id, sign, utc_now

DEFAULT_NAME = "Edge test"
MAX_NAME = 40  # leaves room in the common name for what the CA is for and its eight digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A root, and the issuing CA below it that signs servers and devices.

    The root signs the issuing CA and the edge CAs, so that every leaf has exactly one intermediate. Keys of leaves are
    of the root's kind unless asked otherwise: a board that knows only RSA needs RSA in the whole chain.
    """

    root: Credential
    issuing: Credential
    clock: Callable[[], datetime] = utc_now

    @classmethod
    def create(
        cls,
        name: str = DEFAULT_NAME,
        *,
        key_type: KeyType = KeyType.EC_P256,
        days: int | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> "Authority":
        """A new root that lives `days`, and its issuing CA. Raises CaError for a name that does not fit."""
        if not name.strip() or len(name) > MAX_NAME:
            raise CaError(f"the CA's name {name!r} has {len(name)} characters; give it 1 to {MAX_NAME}")
        key = keys.generate(key_type)
        # Two roots of one name confuse trust stores and people; the key's digits keep them apart.
        tail = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest[:4].hex()
        root_subject = Subject(common_name=f"{name} root CA {tail}", organization=name)
        root = sign(Kind.ROOT, root_subject, key, issuer=None, days=days, now=clock())
        issuing_subject = Subject(common_name=f"{name} issuing CA {tail}", organization=name)
        issuing_key = keys.generate(key_type)
        issuing = sign(Kind.ISSUING, issuing_subject, issuing_key, issuer=root, days=None, now=clock())
        return cls(root=root, issuing=issuing, clock=clock)

    @classmethod
    def below(
        cls, root: Credential, *, key_type: KeyType | None = None, clock: Callable[[], datetime] = utc_now
    ) -> "Authority":
        """A new issuing CA below a root that was made elsewhere. Raises CaError if that is no root, or may not sign."""
        _check_root(root)
        tail = key_id(root.certificate).digest[:4].hex()
        name = common_name(root.certificate)[:MAX_NAME] or DEFAULT_NAME
        key = keys.generate(key_type or keys.kind_of(root.key))
        subject = Subject(common_name=f"{name} issuing CA {tail}")
        return cls(
            root=root, issuing=sign(Kind.ISSUING, subject, key, issuer=root, days=None, now=clock()), clock=clock
        )

    @property
    def name(self) -> str:
        """The name it was created with; empty for a root made elsewhere without an organization."""
        found = self.root.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return str(found[0].value) if found else ""

    @property
    def trust_bundle_pem(self) -> bytes:
        """What devices and modules must trust: the root."""
        return write_certificates([self.root.certificate])

    @property
    def key_type(self) -> KeyType:
        """The kind of the root's key."""
        return keys.kind_of(self.root.key)

    def issue_edge_ca(self, name: str, *, key_type: KeyType | None = None, days: int | None = None) -> Credential:
        """The CA that one IoT Edge device signs its modules' server certificates with.

        Its common name holds blanks and so is never a host name: where both are equal, TLS stacks take the CA for
        the server's own issuer and build chains in a loop.
        """
        subject = Subject(common_name=edge_ca_common_name(name))
        return self._issue(Kind.EDGE_CA, subject, self.root, key_type, days)

    def issue_edge_id(self, name: str, *, key_type: KeyType | None = None, days: int | None = None) -> Credential:
        """The client certificate by which an IoT Edge device proves itself to IoT Hub or DPS."""
        subject = Subject(common_name=check_identifier(name, "device id"))
        return self._issue(Kind.EDGE_ID, subject, self.issuing, key_type, days)

    def issue_device(self, device_id: str, *, key_type: KeyType | None = None, days: int | None = None) -> Credential:
        """The client certificate of a leaf device: its common name is the device id, as IoT Hub demands."""
        subject = Subject(common_name=check_identifier(device_id, "device id"))
        return self._issue(Kind.DEVICE, subject, self.issuing, key_type, days)

    def issue_server(
        self,
        names: Sequence[str],
        *,
        issuer: Credential | None = None,
        key_type: KeyType | None = None,
        days: int | None = None,
    ) -> Credential:
        """A server's certificate for host names and addresses, signed by the issuing CA or by an edge CA."""
        return self._issue(Kind.SERVER, server_subject(names), issuer or self.issuing, key_type, days)

    def prove(self, code: str, *, issuer: Credential | None = None, days: int | None = None) -> Credential:
        """A signature under a verification code, which shows IoT Hub and DPS that we own who signed: the root.

        Or the issuing CA, where that is what was registered there.
        """
        subject = Subject(common_name=check_identifier(code, "verification code"))
        return self._issue(Kind.PROOF, subject, issuer or self.root, None, days)

    def _issue(
        self, kind: Kind, subject: Subject, issuer: Credential, key_type: KeyType | None, days: int | None
    ) -> Credential:
        key = keys.generate(key_type or self.key_type)
        return sign(kind, subject, key, issuer=issuer, days=days, now=self.clock())


def _check_root(root: Credential) -> None:
    certificate = root.certificate
    if root.key.public_key() != certificate.public_key():
        raise CaError(f"the key is not that of {common_name(certificate)!r}; give the two that were made together")
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature) as exc:
        raise CaError(f"{common_name(certificate)!r} did not sign itself, so it is no root; give the root") from exc
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        basic = x509.BasicConstraints(ca=False, path_length=None)
    if not basic.ca or basic.path_length == 0:
        raise CaError(
            f"{common_name(certificate)!r} may not sign a CA below it (basic constraints); a root for this tool has "
            "CA:TRUE and a path length of 1 or more, or none"
        )


def server_subject(names: Sequence[str]) -> Subject:
    """The subject for these host names and addresses: all of them as alternative names, the first as common name."""
    general_names = parse_names(names)
    texts = names_as_text(general_names)
    return Subject(common_name=next((text for text in texts if len(text) <= MAX_COMMON_NAME), ""), names=general_names)


def edge_ca_common_name(name: str) -> str:
    """The common name of the edge CA `name`. Raises CaError if it gets too long."""
    text = f"{check_characters(name, 'edge device name')} edge CA"
    if len(text) > MAX_COMMON_NAME:
        spare = MAX_COMMON_NAME - (len(text) - len(name))
        raise CaError(f"edge device name {name!r} has {len(name)} characters; use at most {spare}")
    return text


def self_signed_device(
    device_id: str,
    *,
    key_type: KeyType = KeyType.EC_P256,
    days: int | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Credential:
    """A device certificate under no CA: IoT Hub knows it by its thumbprint alone."""
    # An id may be longer than a common name; nobody reads the name where the thumbprint decides.
    subject = Subject(common_name=check_characters(device_id, "device id")[:MAX_COMMON_NAME])
    return sign(Kind.SELF_SIGNED, subject, keys.generate(key_type), issuer=None, days=days, now=clock())
