"""Who may register, and what becomes of them: individual enrolments and groups."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edgewire.iothub import sas
from edgewire.iothub.dps import is_registration_id
from edgewire.iothub.ids import ID_CHARACTERS, is_id
from edgewire.iothub.twins import TwinError, checked_patch
from standin.documents import Documents, JsonObject
from standin.registry import RegistryError, new_key, normal_thumbprint

_KIND: Final = "enrolment"
MAX_GROUPS: Final = 100
"""Groups of each attestation: the cloud's own limit (iothub_wire.md §5.4)."""
_THUMBPRINTS: Final = range(1, 3)


class EnrolmentError(RegistryError):
    """What a person asked of the enrolments cannot be done; the sentence says why."""


class Attestation(Enum):
    """How a device proves that it is the enrolled one; the values are the service's own words."""

    SYMMETRIC_KEY = "symmetricKey"
    X509 = "x509"


class Reprovisioning(Enum):
    """What becomes of the device's twin when it registers again."""

    KEEP = "keep"
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """One device by its registration id, or a group of them.

    primary_key, secondary_key: the device's own, or of a group those that its devices' keys are derived from.
    thumbprints: of a device's certificates. authority: in PEM, whose certificates the devices of a group show.
    device: the device id, where it is not the registration id. hub: which linked hub; empty for the stand-in's own.
    payload: what an allocation function would return; None returns what the device has sent.
    """

    name: str
    group: bool
    attestation: Attestation
    primary_key: str = field(default="", repr=False)
    secondary_key: str = field(default="", repr=False)
    thumbprints: tuple[str, ...] = ()
    authority: str = ""
    device: str | None = None
    edge: bool = False
    enabled: bool = True
    tags: JsonObject = field(default_factory=dict)
    desired: JsonObject = field(default_factory=dict)
    hub: str = ""
    reprovisioning: Reprovisioning = Reprovisioning.KEEP
    payload: Any = None

    @property
    def key(self) -> str:
        """Names are compared without case; a group may be called as a device is."""
        return f"{'group' if self.group else 'individual'}/{self.name.lower()}"

    def signing_keys(self) -> tuple[bytes, bytes]:
        """Both keys in bytes; for symmetric keys only."""
        return sas.decode_key(self.primary_key), sas.decode_key(self.secondary_key)

    def to_json(self) -> JsonObject:
        """As it is kept, keys and all."""
        return {
            "name": self.name,
            "group": self.group,
            "attestation": self.attestation.value,
            "primaryKey": self.primary_key,
            "secondaryKey": self.secondary_key,
            "thumbprints": list(self.thumbprints),
            "authority": self.authority,
            "deviceId": self.device,
            "iotEdge": self.edge,
            "enabled": self.enabled,
            "tags": self.tags,
            "desired": self.desired,
            "hub": self.hub,
            "reprovisioning": self.reprovisioning.value,
            "payload": self.payload,
        }


def with_keys(enrolment: Enrolment, keys: Sequence[str] = ()) -> Enrolment:
    """The enrolment with these keys in base64; the ones not given are made."""
    primary, secondary = (*keys, new_key(), new_key())[:2]
    for key in (primary, secondary):
        try:
            sas.decode_key(key)
        except ValueError as error:
            raise EnrolmentError(f"{enrolment.name}: {error}.") from error
    return replace(enrolment, primary_key=primary, secondary_key=secondary)


class Enrolments:
    """All enrolments; every change is on disk when the call returns."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        found = (_from_json(body) for body in documents.all(_KIND).values())
        self._enrolments = {enrolment.key: enrolment for enrolment in found}

    def all(self) -> tuple[Enrolment, ...]:
        """Devices before groups, each in the order of their names."""
        return tuple(sorted(self._enrolments.values(), key=lambda each: (each.group, each.key)))

    def by_key(self, key: str) -> Enrolment | None:
        """The enrolment with this key, or None if there is none."""
        return self._enrolments.get(key)

    def individual(self, registration: str) -> Enrolment | None:
        """The enrolment of this device alone."""
        return self._enrolments.get(f"individual/{registration.lower()}")

    def groups(self, attestation: Attestation) -> tuple[Enrolment, ...]:
        """The groups whose devices prove themselves so."""
        return tuple(each for each in self.all() if each.group and each.attestation is attestation)

    def named(self, name: str, *, group: bool | None = None) -> Enrolment:
        """The enrolment a person means; `group` is needed only where both have the name. Raises EnrolmentError."""
        keys = {False: f"individual/{name.lower()}", True: f"group/{name.lower()}"}
        wanted = list(keys.values()) if group is None else [keys[group]]
        found = [self._enrolments[key] for key in wanted if key in self._enrolments]
        if not found:
            raise EnrolmentError(f"there is no enrolment {name!r}; `standin enrolments list` shows what is.")
        if len(found) > 1:
            raise EnrolmentError(f"{name} is a device and a group; say which: --individual or --group.")
        return found[0]

    def add(self, enrolment: Enrolment) -> Enrolment:
        """Keep a new enrolment. Raises EnrolmentError if it is impossible, or its name is taken."""
        _check(enrolment)
        if enrolment.key in self._enrolments:
            raise EnrolmentError(f"{enrolment.name} is enrolled already; remove it first, or choose another name.")
        if enrolment.group and len(self.groups(enrolment.attestation)) >= MAX_GROUPS:
            raise EnrolmentError(f"there are {MAX_GROUPS} groups of this kind; the service takes no more.")
        self._keep(enrolment)
        return enrolment

    def set_enabled(self, enrolment: Enrolment, *, enabled: bool) -> Enrolment:
        """Allow or forbid registrations; devices that are assigned stay so, as in the cloud."""
        changed = replace(enrolment, enabled=enabled)
        self._keep(changed)
        return changed

    def remove(self, enrolment: Enrolment) -> None:
        """Forget it; devices that are assigned stay so."""
        del self._enrolments[enrolment.key]
        self._documents.delete(_KIND, enrolment.key)

    def _keep(self, enrolment: Enrolment) -> None:
        self._enrolments[enrolment.key] = enrolment
        self._documents.put(_KIND, enrolment.key, enrolment.to_json())


def normal_thumbprints(thumbprints: Iterable[str]) -> tuple[str, ...]:
    """Thumbprints as they are compared. Raises RegistryError."""
    return tuple(normal_thumbprint(each) for each in thumbprints)


def authority_pem(pem: bytes) -> str:
    """One CA certificate, in PEM. Raises EnrolmentError if it is none."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound) as error:
        raise EnrolmentError("the CA's certificate cannot be read as one in PEM that may sign others.") from error
    if not is_authority:
        raise EnrolmentError("this certificate may not sign others: give the CA's, not a device's.")
    return certificate.public_bytes(Encoding.PEM).decode()


def _check(enrolment: Enrolment) -> None:
    if not is_registration_id(enrolment.name):
        raise EnrolmentError(
            f"the name {enrolment.name!r} is impossible: 1 to 128 ASCII letters, digits and - . _ : "
            "that end with a letter, digit or -."
        )
    if enrolment.device is not None and enrolment.group:
        raise EnrolmentError(f"{enrolment.name} is a group: its devices are called by their registration ids.")
    if enrolment.device is not None and not is_id(enrolment.device):
        raise EnrolmentError(f"the device id {enrolment.device!r} is impossible: 1 to 128 of {ID_CHARACTERS}.")
    for name, section in (("tags", enrolment.tags), ("desired", enrolment.desired)):
        try:
            checked_patch(section)
        except TwinError as error:
            raise EnrolmentError(f"{enrolment.name}: the {name} of its twin: {error.what}.") from error
    if enrolment.attestation is Attestation.X509:
        _check_certificates(enrolment)


def _check_certificates(enrolment: Enrolment) -> None:
    if enrolment.edge:
        raise EnrolmentError(f"{enrolment.name}: an edge device here has symmetric keys.")
    if enrolment.group and not enrolment.authority:
        raise EnrolmentError(f"{enrolment.name} is a group by X.509: name the CA that signs its devices.")
    if not enrolment.group and len(enrolment.thumbprints) not in _THUMBPRINTS:
        raise EnrolmentError(f"{enrolment.name}: give the thumbprint of its certificate, or two of them.")


def _from_json(body: JsonObject) -> Enrolment:
    return Enrolment(
        name=body["name"],
        group=body["group"],
        attestation=Attestation(body["attestation"]),
        primary_key=body["primaryKey"],
        secondary_key=body["secondaryKey"],
        thumbprints=tuple(body["thumbprints"]),
        authority=body["authority"],
        device=body["deviceId"],
        edge=body["iotEdge"],
        enabled=body["enabled"],
        tags=body["tags"],
        desired=body["desired"],
        hub=body["hub"],
        reprovisioning=Reprovisioning(body["reprovisioning"]),
        payload=body["payload"],
    )
