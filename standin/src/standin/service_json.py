"""Devices, modules and twins as the service API writes and reads them (iothub_wire.md §4.1)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from edgewire.message import Identity, identity
from standin.documents import JsonObject
from standin.errors import HubError
from standin.hub import Hub
from standin.registry import (
    SCOPE_SCHEME,
    Authentication,
    Entry,
    RegistryError,
    as_edge_device,
    bare_entry,
    certificate_entry,
    symmetric_entry,
)
from standin.service_http import ARGUMENT
from standin.twins import time_text

MAX_REASON_CHARS: Final = 128
"""IoT Hub's own: the text beside `status`."""
_STATUSES: Final[Mapping[str, bool]] = {"enabled": True, "disabled": False}


def entry_json(hub: Hub, entry: Entry) -> JsonObject:
    """A device or a module of the registry."""
    return _device_json(hub, entry) if entry.identity.module is None else _module_json(hub, entry)


def twin_json(hub: Hub, entry: Entry, configurations: JsonObject | None = None) -> JsonObject:
    """A twin: what the registry says of the identity, and the sections."""
    who, twin = entry.identity, hub.twin(entry.identity)
    device = hub.registry.get(identity(who.device)) or entry
    document: JsonObject = {
        "deviceId": who.device,
        "etag": twin.etag,
        "deviceEtag": device.etag,
        "status": _status(entry),
        "statusReason": entry.status_reason,
        "statusUpdateTime": time_text(entry.status_updated_at),
        "connectionState": _connection(hub, who),
        "lastActivityTime": time_text(hub.changed_at.get(who)),
        "cloudToDeviceMessageCount": hub.c2d_waiting(who),
        "authenticationType": entry.authentication.value,
        "x509Thumbprint": _thumbprints(entry),
        "modelId": "",
        "version": twin.version,
        "tags": twin.tags,
        "properties": twin.for_service(),
    }
    if configurations:
        document["configurations"] = configurations
    if who.module is not None:
        return {**document, "moduleId": who.module, "managedBy": entry.managed_by}
    return {**document, **_edge_members(entry)}


def read_entry(who: Identity, body: JsonObject, old: Entry | None) -> Entry:
    """The entry that a body describes, on top of an older one. Raises HubError for what cannot be."""
    try:
        entry = _with_authentication(who, body, old)
    except RegistryError as error:
        raise HubError(ARGUMENT, str(error)) from error
    entry = replace(entry, enabled=_enabled(body, entry), status_reason=_reason(body, entry))
    if who.module is not None:
        return replace(entry, managed_by=_text(body, "managedBy") or entry.managed_by)
    entry = _with_scopes(entry, body)
    wants_edge = (_object(body, "capabilities") or {}).get("iotEdge")
    if wants_edge is False and entry.edge:
        raise HubError(ARGUMENT, f"{who} is an edge device and stays one; remove it and add it again")
    return as_edge_device(entry) if wants_edge else entry


def _device_json(hub: Hub, entry: Entry) -> JsonObject:
    who = entry.identity
    return {
        "deviceId": who.device,
        **_common_members(hub, entry),
        "status": _status(entry),
        "statusReason": entry.status_reason,
        "statusUpdatedTime": time_text(entry.status_updated_at),
        **_edge_members(entry),
    }


def _module_json(hub: Hub, entry: Entry) -> JsonObject:
    who = entry.identity
    members = _common_members(hub, entry)
    return {"moduleId": who.module, "managedBy": entry.managed_by, "deviceId": who.device, **members}


def _common_members(hub: Hub, entry: Entry) -> JsonObject:
    who = entry.identity
    return {
        "generationId": entry.generation_id,
        "etag": entry.etag,
        "connectionState": _connection(hub, who),
        "connectionStateUpdatedTime": time_text(hub.changed_at.get(who)),
        "lastActivityTime": time_text(hub.changed_at.get(who)),
        "cloudToDeviceMessageCount": hub.c2d_waiting(who),
        "authentication": {
            "symmetricKey": {"primaryKey": entry.primary_key or None, "secondaryKey": entry.secondary_key or None},
            "x509Thumbprint": _thumbprints(entry),
            "type": entry.authentication.value,
        },
    }


def _edge_members(entry: Entry) -> JsonObject:
    members: JsonObject = {"capabilities": {"iotEdge": entry.edge}}
    if entry.device_scope is not None:
        members["deviceScope"] = entry.device_scope
    if entry.parent_scopes:
        members["parentScopes"] = list(entry.parent_scopes)
    return members


def _thumbprints(entry: Entry) -> JsonObject:
    primary, secondary = (*entry.thumbprints, None, None)[:2]
    return {"primaryThumbprint": primary, "secondaryThumbprint": secondary}


def _connection(hub: Hub, who: Identity) -> str:
    return "Connected" if who in hub.connected() else "Disconnected"


def _status(entry: Entry) -> str:
    return "enabled" if entry.enabled else "disabled"


def _with_authentication(who: Identity, body: JsonObject, old: Entry | None) -> Entry:
    said = _object(body, "authentication")
    if said is None and old is not None:
        return old
    kind, keys, thumbprints = _credentials(said or {})
    if kind is Authentication.SYMMETRIC_KEY:
        kept = (old.primary_key, old.secondary_key) if old is not None and old.primary_key else ()
        made = symmetric_entry(who, keys=keys or kept)
    elif kind is Authentication.NONE:
        made = bare_entry(who)
    else:
        made = certificate_entry(who, thumbprints)
        if made.authentication is not kind:
            raise HubError(ARGUMENT, f"{kind.value} goes with x509Thumbprint, certificateAuthority without any")
    if old is None:
        return made
    return replace(
        old,
        authentication=made.authentication,
        primary_key=made.primary_key,
        secondary_key=made.secondary_key,
        thumbprints=made.thumbprints,
    )


def _credentials(said: JsonObject) -> tuple[Authentication, tuple[str, ...], tuple[str, ...]]:
    """The kind, the keys and the thumbprints of `authentication`; what it does not name is taken from what it holds."""
    pair, prints = _object(said, "symmetricKey") or {}, _object(said, "x509Thumbprint") or {}
    keys = tuple(each for name in ("primaryKey", "secondaryKey") if (each := _text(pair, name)))
    thumbprints = tuple(each for name in ("primaryThumbprint", "secondaryThumbprint") if (each := _text(prints, name)))
    if len(keys) == 1:
        raise HubError(ARGUMENT, "symmetricKey has one key only: give both, or none to have them made")
    text = _text(said, "type")
    if text is None:
        return Authentication.THUMBPRINT if thumbprints else Authentication.SYMMETRIC_KEY, keys, thumbprints
    kind = next((each for each in Authentication if each.value.lower() == text.lower()), None)
    if kind is None:
        known = ", ".join(each.value for each in Authentication)
        raise HubError(ARGUMENT, f"authentication.type is {text[:40]!r}; it is one of {known}")
    return kind, keys, thumbprints


def _with_scopes(entry: Entry, body: JsonObject) -> Entry:
    scope, parents = _text(body, "deviceScope"), body.get("parentScopes")
    if parents is not None and (not isinstance(parents, list) or not all(isinstance(each, str) for each in parents)):
        raise HubError(ARGUMENT, "parentScopes is no list of texts")
    for each in (scope, *(parents or ())):
        if each and not each.startswith(SCOPE_SCHEME):
            raise HubError(ARGUMENT, f"the scope {each[:100]!r} does not start with {SCOPE_SCHEME}")
    if parents is not None:
        entry = replace(entry, parent_scopes=tuple(parents))
    # An edge device's scope is its own, whatever is written; a child names its parent's.
    return entry if entry.edge or scope is None else replace(entry, device_scope=scope or None)


def _enabled(body: JsonObject, entry: Entry) -> bool:
    text = _text(body, "status")
    if text is None:
        return entry.enabled
    if text.lower() not in _STATUSES:
        raise HubError(ARGUMENT, f"status is {text[:40]!r}; it is enabled or disabled")
    return _STATUSES[text.lower()]


def _reason(body: JsonObject, entry: Entry) -> str | None:
    if "statusReason" not in body:
        return entry.status_reason
    text = _text(body, "statusReason")
    if text is not None and len(text) > MAX_REASON_CHARS:
        raise HubError(ARGUMENT, f"statusReason has {len(text)} characters; {MAX_REASON_CHARS} are allowed")
    return text


def _object(body: JsonObject, name: str) -> JsonObject | None:
    value: Any = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise HubError(ARGUMENT, f"{name} is no JSON object")
    return value


def _text(body: JsonObject, name: str) -> str | None:
    value: Any = body.get(name)
    if value is not None and not isinstance(value, str):
        raise HubError(ARGUMENT, f"{name} is no text")
    return value
