"""Devices, modules, bulk operations and statistics of the service API (iothub_wire.md §4.1)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from edgewire.iothub.ids import is_id
from edgewire.message import Identity, identity
from edgewire.session.http.server import Response
from standin.documents import JsonObject
from standin.errors import HubError
from standin.http_errors import ERROR_NAMES
from standin.hub import Hub
from standin.policies import Right
from standin.registry import MANAGED_BY_EDGE, Entry, RegistryError, bare_entry
from standin.service_content import EDGE_AGENT, EDGE_HUB
from standin.service_http import (
    ARGUMENT,
    CHANGED_MEANWHILE,
    DEVICE_UNKNOWN,
    MODULE_UNKNOWN,
    NOTHING,
    Call,
    Route,
    answer,
    check_etag,
    route,
)
from standin.service_json import entry_json, read_entry
from standin.service_sections import read_sections, replace_twin

MAX_LIST: Final = 1_000
"""IoT Hub's own: devices in one answer."""
MAX_BULK: Final = 100
"""IoT Hub's own: entries of one bulk operation."""
_EXISTS: Final = {True: 409301, False: 409001}
"""By whether it is a module."""


class RegistryService:
    """Answers what is asked of the registry."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        """What it serves."""
        read, write = Right.REGISTRY_READ, Right.REGISTRY_WRITE
        return [
            route("GET", "/devices", read, self._list),
            route("POST", "/devices", write, self._bulk),
            route("GET", "/devices/*", read, self._get),
            route("PUT", "/devices/*", write, self._put),
            route("DELETE", "/devices/*", write, self._delete),
            route("GET", "/devices/*/modules", read, self._modules),
            route("GET", "/devices/*/modules/*", read, self._get),
            route("PUT", "/devices/*/modules/*", write, self._put),
            route("DELETE", "/devices/*/modules/*", write, self._delete),
            route("GET", "/statistics/devices", read, self._device_statistics),
            route("GET", "/statistics/service", Right.SERVICE_CONNECT, self._service_statistics),
        ]

    def _list(self, call: Call) -> Response:
        top = call.number("top", most=MAX_LIST) or MAX_LIST
        devices = [entry for entry in self._hub.registry.entries() if entry.identity.module is None]
        return answer([entry_json(self._hub, entry) for entry in devices[:top]])

    def _get(self, call: Call) -> Response:
        return self._answer(known(self._hub, call.target()))

    def _modules(self, call: Call) -> Response:
        device = known(self._hub, call.target()).identity.device
        return answer([entry_json(self._hub, entry) for entry in self._hub.registry.modules(device)])

    def _put(self, call: Call) -> Response:
        who, body = call.target(), call.object()
        for name, text in (("deviceId", who.device), ("moduleId", who.module)):
            if text is not None and body.get(name, text) != text:
                raise HubError(ARGUMENT, f"the body has another {name} than the path")
        old = self._hub.registry.get(who)
        if call.etag() is None:
            return self._answer(add(self._hub, who, body))
        if old is None:
            raise _unknown(who)
        check_etag(call, old.etag, str(who))
        return self._answer(update(self._hub, old, body))

    def _delete(self, call: Call) -> Response:
        entry = known(self._hub, call.target())
        check_etag(call, entry.etag, str(entry.identity))
        self._hub.remove(entry.identity)
        return NOTHING

    def _answer(self, entry: Entry) -> Response:
        return answer(entry_json(self._hub, entry), etag=entry.etag)

    # Bulk

    def _bulk(self, call: Call) -> Response:
        items = call.json()
        if not isinstance(items, list) or not 1 <= len(items) <= MAX_BULK:
            raise HubError(ARGUMENT, f"the body is no array of 1 to {MAX_BULK} entries")
        errors = [error for item in items if (error := self._bulk_error(item)) is not None]
        result = {"isSuccessful": not errors, "errors": errors, "warnings": []}
        return answer(result, status=400 if errors else 200)

    def _bulk_error(self, item: Any) -> JsonObject | None:
        """Do one entry of a bulk operation. Returns what went wrong with it, or None."""
        if not isinstance(item, dict):
            item = {}
        device, module = str(item.get("id", "")), item.get("moduleId") or None
        mode = str(item.get("importMode", "createOrUpdate"))
        try:
            _operation(mode)(self._hub, _identity(device, module), item)
        except HubError as error:
            name = ERROR_NAMES.get(error.code, "GenericError")
            told: JsonObject = {"deviceId": device, "errorCode": name, "errorStatus": error.what, "operation": mode}
            return told if module is None else {**told, "moduleId": module}
        return None

    # Statistics

    def _device_statistics(self, _: Call) -> Response:
        devices = [entry for entry in self._hub.registry.entries() if entry.identity.module is None]
        enabled = sum(entry.enabled for entry in devices)
        return answer(
            {
                "totalDeviceCount": len(devices),
                "enabledDeviceCount": enabled,
                "disabledDeviceCount": len(devices) - enabled,
            }
        )

    def _service_statistics(self, _: Call) -> Response:
        return answer({"connectedDeviceCount": sum(who.module is None for who in self._hub.connected())})


def known(hub: Hub, who: Identity) -> Entry:
    """The entry. Raises HubError if there is none."""
    entry = hub.registry.get(who)
    if entry is None:
        raise _unknown(who)
    return entry


def add(hub: Hub, who: Identity, body: JsonObject) -> Entry:
    """Add what a body describes; an edge device gets the modules that every one has. Raises HubError."""
    if hub.registry.get(who) is not None:
        raise HubError(_EXISTS[who.module is not None], f"{who} is in the registry; name its etag to change it")
    if who.module is not None:
        known(hub, identity(who.device))
    entry = _kept(hub.add, read_entry(who, body, None))
    if entry.edge:
        add_system_modules(hub, who.device)
    return entry


def update(hub: Hub, old: Entry, body: JsonObject) -> Entry:
    """Change an entry as a body says; who is disabled by that is disconnected. Raises HubError."""
    new = read_entry(old.identity, body, old)
    if new.enabled != old.enabled:
        hub.set_enabled(old.identity, enabled=new.enabled)
        switched = known(hub, old.identity)
        new = read_entry(old.identity, body, switched)
    entry = _kept(hub.registry.update, new)
    if entry.edge:
        add_system_modules(hub, entry.identity.device)
    return entry


def add_system_modules(hub: Hub, device: str) -> None:
    """Add `$edgeAgent` and `$edgeHub`, as far as they are not there."""
    for name in (EDGE_AGENT, EDGE_HUB):
        if hub.registry.get(who := identity(device, name)) is None:
            hub.add(replace(bare_entry(who), managed_by=MANAGED_BY_EDGE))


def _kept(keep: Callable[[Entry], Entry], entry: Entry) -> Entry:
    try:
        return keep(entry)
    except RegistryError as error:
        raise HubError(ARGUMENT, str(error)) from error


def _unknown(who: Identity) -> HubError:
    code = DEVICE_UNKNOWN if who.module is None else MODULE_UNKNOWN
    return HubError(code, f"{who} is not in the registry")


# --- one entry of a bulk operation ------------------------------------------------------------------------------------


def _create(hub: Hub, who: Identity, item: JsonObject) -> None:
    sections = read_sections(item)
    add(hub, who, item)
    replace_twin(hub, who, sections)


def _update(hub: Hub, who: Identity, item: JsonObject) -> None:
    update(hub, known(hub, who), item)


def _create_or_update(hub: Hub, who: Identity, item: JsonObject) -> None:
    (_update if hub.registry.get(who) is not None else _create)(hub, who, item)


def _delete(hub: Hub, who: Identity, _: JsonObject) -> None:
    hub.remove(known(hub, who).identity)


def _update_twin(hub: Hub, who: Identity, item: JsonObject) -> None:
    known(hub, who)
    replace_twin(hub, who, read_sections(item))


def _if_unchanged(
    operation: Callable[[Hub, Identity, JsonObject], None],
) -> Callable[[Hub, Identity, JsonObject], None]:
    def checked(hub: Hub, who: Identity, item: JsonObject) -> None:
        entry = hub.registry.get(who)
        wanted = str(item.get("eTag") or item.get("etag") or "").strip('"')
        if entry is not None and wanted not in {"*", entry.etag}:
            raise HubError(CHANGED_MEANWHILE, f"{who} has the etag {entry.etag}, not {wanted[:100]}")
        operation(hub, who, item)

    return checked


def _update_twin_if_unchanged(hub: Hub, who: Identity, item: JsonObject) -> None:
    known(hub, who)
    wanted, current = str(item.get("twinETag") or "").strip('"'), hub.twin(who).etag
    if wanted not in {"*", current}:
        raise HubError(CHANGED_MEANWHILE, f"the twin of {who} has the etag {current}, not {wanted[:100]}")
    _update_twin(hub, who, item)


_OPERATIONS: Final[Mapping[str, Callable[[Hub, Identity, JsonObject], None]]] = {
    "create": _create,
    "update": _update,
    "updateifmatchetag": _if_unchanged(_update),
    "createorupdate": _create_or_update,
    "createorupdateifmatchetag": _if_unchanged(_create_or_update),
    "delete": _delete,
    "deleteifmatchetag": _if_unchanged(_delete),
    "updatetwin": _update_twin,
    "updatetwinifmatchetag": _update_twin_if_unchanged,
}


def _operation(mode: str) -> Callable[[Hub, Identity, JsonObject], None]:
    operation = _OPERATIONS.get(mode.lower())
    if operation is None:
        raise HubError(ARGUMENT, f"the importMode {mode[:40]!r} is not known here")
    return operation


def _identity(device: str, module: Any) -> Identity:
    if not is_id(device) or not (module is None or (isinstance(module, str) and is_id(module))):
        raise HubError(ARGUMENT, "an entry without a possible id")
    return identity(device, module)
