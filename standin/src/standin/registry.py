"""Devices and modules, and what they prove themselves with."""

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from edgewire.iothub import sas
from edgewire.iothub.ids import ID_CHARACTERS, is_id
from edgewire.message import Identity, identity
from standin.documents import Documents, JsonObject

_KIND: Final = "registry"
_THUMBPRINT: Final = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


class RegistryError(Exception):
    """What a person asked of the registry cannot be done; the sentence says why."""


class Authentication(Enum):
    """How an identity proves itself; the values are the registry's own words in the cloud."""

    SYMMETRIC_KEY = "sas"
    THUMBPRINT = "selfSigned"
    AUTHORITY = "certificateAuthority"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One device or module of the registry."""

    identity: Identity
    authentication: Authentication
    primary_key: str
    secondary_key: str
    thumbprints: tuple[str, ...]
    enabled: bool
    generation_id: str
    edge: bool

    def signing_keys(self) -> tuple[bytes, ...]:
        """The keys that sign this identity's tokens, primary first; none if it uses certificates."""
        if self.authentication is not Authentication.SYMMETRIC_KEY:
            return ()
        return (sas.decode_key(self.primary_key), sas.decode_key(self.secondary_key))

    def connection_string(self, hub: str, gateway: str | None = None) -> str:
        """What a device is configured with."""
        parts = [f"HostName={hub}", f"DeviceId={self.identity.device}"]
        if self.identity.module is not None:
            parts.append(f"ModuleId={self.identity.module}")
        if self.authentication is Authentication.SYMMETRIC_KEY:
            parts.append(f"SharedAccessKey={self.primary_key}")
        else:
            parts.append("x509=true")
        if gateway is not None:
            parts.append(f"GatewayHostName={gateway}")
        return ";".join(parts)


def new_key() -> str:
    """A fresh symmetric key, in base64."""
    return sas.encode_key(secrets.token_bytes(32))


def symmetric_entry(who: Identity, *, keys: Sequence[str] = (), edge: bool = False) -> Entry:
    """An entry with up to two keys in base64; the ones not given are made."""
    primary, secondary = (*keys, new_key(), new_key())[:2]
    for key in (primary, secondary):
        _check_key(who, key)
    return Entry(
        identity=who,
        authentication=Authentication.SYMMETRIC_KEY,
        primary_key=primary,
        secondary_key=secondary,
        thumbprints=(),
        enabled=True,
        generation_id=_new_generation(),
        edge=edge,
    )


def certificate_entry(who: Identity, thumbprints: Iterable[str] = ()) -> Entry:
    """An entry proven by a certificate: by one of these thumbprints, or without any by the CA and the CN."""
    normal = tuple(_normal_thumbprint(each) for each in thumbprints)
    return Entry(
        identity=who,
        authentication=Authentication.THUMBPRINT if normal else Authentication.AUTHORITY,
        primary_key="",
        secondary_key="",
        thumbprints=normal,
        enabled=True,
        generation_id=_new_generation(),
        edge=False,
    )


class Registry:
    """All devices and modules; every change is on disk when the call returns."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        entries = (_from_json(body) for body in documents.all(_KIND).values())
        self._entries = {entry.identity: entry for entry in entries}

    def get(self, who: Identity) -> Entry | None:
        """The entry, or None if there is none."""
        return self._entries.get(who)

    def entries(self) -> tuple[Entry, ...]:
        """All entries, each device before its modules, in the order of the ids."""
        return tuple(sorted(self._entries.values(), key=_order))

    def modules(self, device: str) -> tuple[Entry, ...]:
        """The modules of this device, in the order of their ids."""
        return tuple(
            entry for entry in self.entries() if entry.identity.device == device and entry.identity.module is not None
        )

    def add(self, entry: Entry) -> Entry:
        """Keep a new entry. Raises RegistryError if the id is taken or impossible, or its device is missing."""
        who = entry.identity
        _check_ids(who)
        if who in self._entries:
            raise RegistryError(f"{who} is in the registry already; remove it first, or choose another id.")
        if who.module is not None and identity(who.device) not in self._entries:
            raise RegistryError(f"{who} needs its device: add the device {who.device} first.")
        if who.module is not None and entry.authentication is not Authentication.SYMMETRIC_KEY:
            raise RegistryError(f"{who} is a module: give it a symmetric key, modules use no certificates here.")
        self._keep(entry)
        return entry

    def set_enabled(self, who: Identity, *, enabled: bool) -> None:
        """Enable or disable. Raises RegistryError if there is no such identity."""
        self._keep(replace(self._known(who), enabled=enabled))

    def remove(self, who: Identity) -> tuple[Identity, ...]:
        """Remove it, a device with its modules. Returns what was removed."""
        self._known(who)
        gone = [who]
        if who.module is None:
            gone += [entry.identity for entry in self.modules(who.device)]
        for each in gone:
            del self._entries[each]
            self._documents.delete(_KIND, str(each))
        return tuple(gone)

    def _known(self, who: Identity) -> Entry:
        entry = self._entries.get(who)
        if entry is None:
            raise RegistryError(f"{who} is not in the registry; `standin devices list` shows what is.")
        return entry

    def _keep(self, entry: Entry) -> None:
        self._entries[entry.identity] = entry
        self._documents.put(_KIND, str(entry.identity), _to_json(entry))


def _order(entry: Entry) -> tuple[str, str]:
    return entry.identity.device, entry.identity.module or ""


def _new_generation() -> str:
    return str(secrets.randbelow(10**18)).rjust(18, "1")


def _check_ids(who: Identity) -> None:
    for text in (who.device, who.module or "-"):
        if not is_id(text):
            raise RegistryError(f"the id {text!r} is impossible: 1 to 128 of {ID_CHARACTERS}.")


def _check_key(who: Identity, key: str) -> None:
    try:
        sas.decode_key(key)
    except ValueError as error:
        raise RegistryError(f"{who}: {error}.") from error


def _normal_thumbprint(text: str) -> str:
    normal = text.replace(":", "").replace(" ", "").upper()
    if _THUMBPRINT.fullmatch(normal) is None:
        raise RegistryError(f"{text!r} is no thumbprint: SHA-1 has 40 hexadecimal digits, SHA-256 has 64.")
    return normal


def _to_json(entry: Entry) -> JsonObject:
    return {
        "deviceId": entry.identity.device,
        "moduleId": entry.identity.module,
        "authentication": entry.authentication.value,
        "primaryKey": entry.primary_key,
        "secondaryKey": entry.secondary_key,
        "thumbprints": list(entry.thumbprints),
        "enabled": entry.enabled,
        "generationId": entry.generation_id,
        "iotEdge": entry.edge,
    }


def _from_json(body: JsonObject) -> Entry:
    return Entry(
        identity=identity(body["deviceId"], body["moduleId"]),
        authentication=Authentication(body["authentication"]),
        primary_key=body["primaryKey"],
        secondary_key=body["secondaryKey"],
        thumbprints=tuple(body["thumbprints"]),
        enabled=body["enabled"],
        generation_id=body["generationId"],
        edge=body["iotEdge"],
    )
