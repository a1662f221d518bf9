"""Devices and modules, and what they prove themselves with."""

import base64
import re
import secrets
import time
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
SCOPE_SCHEME: Final = "ms-azure-iot-edge://"
MANAGED_BY_EDGE: Final = "IotEdge"
"""Who looks after a module that a deployment has made: edgeAgent removes these, and no others."""


class RegistryError(Exception):
    """What a person asked of the registry cannot be done; the sentence says why."""


class Authentication(Enum):
    """How an identity proves itself; the values are the registry's own words in the cloud."""

    SYMMETRIC_KEY = "sas"
    THUMBPRINT = "selfSigned"
    AUTHORITY = "certificateAuthority"
    NONE = "none"
    """It has nothing yet: edgeAgent's and edgeHub's modules before their first start. Nobody can connect as these."""


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
    etag: str
    """Another one after each change, for whoever changes only what it has seen."""
    status_reason: str | None = None
    status_updated_at: float | None = None
    """Seconds since 1970; None if it was never enabled or disabled."""
    device_scope: str | None = None
    """Of an edge device its own; of another device that of its edge device, or None without a parent."""
    parent_scopes: tuple[str, ...] = ()
    managed_by: str | None = None
    """Who looks after a module."""

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
        generation_id=(generation := _new_generation()),
        edge=edge,
        etag=_new_etag(),
        device_scope=_own_scope(who, generation) if edge else None,
    )


def certificate_entry(who: Identity, thumbprints: Iterable[str] = ()) -> Entry:
    """An entry proven by a certificate: by one of these thumbprints, or without any by the CA and the CN."""
    normal = tuple(normal_thumbprint(each) for each in thumbprints)
    return Entry(
        identity=who,
        authentication=Authentication.THUMBPRINT if normal else Authentication.AUTHORITY,
        primary_key="",
        secondary_key="",
        thumbprints=normal,
        enabled=True,
        generation_id=_new_generation(),
        edge=False,
        etag=_new_etag(),
    )


def bare_entry(who: Identity) -> Entry:
    """An entry that cannot prove itself yet."""
    return replace(certificate_entry(who), authentication=Authentication.NONE)


def as_edge_device(entry: Entry) -> Entry:
    """The entry as that of an edge device, with a scope of its own; what its scope was says who its parent is."""
    if entry.edge:
        return entry
    parents = entry.parent_scopes or ((entry.device_scope,) if entry.device_scope else ())
    scope = _own_scope(entry.identity, entry.generation_id)
    return replace(entry, edge=True, device_scope=scope, parent_scopes=parents)


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
        self._keep(entry)
        return entry

    def update(self, entry: Entry) -> Entry:
        """Keep this in place of the one with its identity, with a new etag. Raises RegistryError if there is none."""
        self._known(entry.identity)
        changed = replace(entry, etag=_new_etag())
        self._keep(changed)
        return changed

    def set_enabled(self, who: Identity, *, enabled: bool) -> None:
        """Enable or disable. Raises RegistryError if there is no such identity."""
        entry = self._known(who)
        if entry.enabled != enabled:
            self.update(replace(entry, enabled=enabled, status_updated_at=time.time()))

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


def _new_etag() -> str:
    """As the cloud writes them: base64 of some decimal digits."""
    return base64.b64encode(str(secrets.randbelow(10**9)).encode()).decode()


def _own_scope(who: Identity, generation_id: str) -> str:
    return f"{SCOPE_SCHEME}{who.device}-{generation_id}"


def _check_ids(who: Identity) -> None:
    for text in (who.device, who.module or "-"):
        if not is_id(text):
            raise RegistryError(f"the id {text!r} is impossible: 1 to 128 of {ID_CHARACTERS}.")


def _check_key(who: Identity, key: str) -> None:
    try:
        sas.decode_key(key)
    except ValueError as error:
        raise RegistryError(f"{who}: {error}.") from error


def normal_thumbprint(text: str) -> str:
    """A thumbprint as it is compared: in capitals, without colons. Raises RegistryError if it is none."""
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
        "etag": entry.etag,
        "statusReason": entry.status_reason,
        "statusUpdatedAt": entry.status_updated_at,
        "deviceScope": entry.device_scope,
        "parentScopes": list(entry.parent_scopes),
        "managedBy": entry.managed_by,
    }


def _from_json(body: JsonObject) -> Entry:
    """The entry; what is read by `get` has no place in documents of older stand-ins."""
    who, generation, edge = identity(body["deviceId"], body["moduleId"]), body["generationId"], body["iotEdge"]
    return Entry(
        identity=who,
        authentication=Authentication(body["authentication"]),
        primary_key=body["primaryKey"],
        secondary_key=body["secondaryKey"],
        thumbprints=tuple(body["thumbprints"]),
        enabled=body["enabled"],
        generation_id=generation,
        edge=edge,
        etag=body.get("etag") or base64.b64encode(generation.encode()).decode(),
        status_reason=body.get("statusReason"),
        status_updated_at=body.get("statusUpdatedAt"),
        device_scope=body.get("deviceScope") or (_own_scope(who, generation) if edge else None),
        parent_scopes=tuple(body.get("parentScopes", ())),
        managed_by=body.get("managedBy"),
    )
