"""What edgeAgent and edgeHub do about their twins, as far as it shows in the hub: nothing runs here.

edgeAgent keeps a module identity for each module it is told to run, and removes what it manages and is told no more.
edgeHub uses its routes, those of the edge device whose modules the stand-in serves. Both report what became of it, as
the real ones do (edgehub.md §7).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from edgewire.iothub.twins import difference, merged
from edgewire.message import Identity, identity
from standin.documents import JsonObject
from standin.errors import HubError
from standin.hub import Hub
from standin.registry import MANAGED_BY_EDGE, symmetric_entry
from standin.routes import RoutesError, parse_routes
from standin.service_content import EDGE_AGENT, EDGE_HUB, SYSTEM_MODULES, Content, check_desired, composed, module_names
from standin.service_http import ARGUMENT
from standin.service_registry import add_system_modules, known
from standin.service_sections import Sections, replace_twin


class EdgeRuntime:
    """The runtime of all edge devices of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        hub.watch_desired(self.follow)

    def restore_routes(self) -> None:
        """Use the routes that an earlier run was given, if it was given any."""
        twin = self._hub.twin(identity(self._hub.edge_device, EDGE_HUB))
        if "routes" in twin.desired:
            self._use_routes(twin.desired)

    def apply(self, device: str, content: Content) -> None:
        """Set the modules of one edge device as a manifest says, all of it or nothing. Raises HubError."""
        entry = known(self._hub, identity(device))
        if not entry.edge:
            raise HubError(ARGUMENT, f"{device} is no edge device")
        if not content.modules:
            raise HubError(ARGUMENT, "the content has no modulesContent")
        if content.module is not None:
            raise HubError(ARGUMENT, "moduleContent goes with a targetCondition, in a configuration")
        wanted = {
            name: piece.on(self._hub.twin(identity(device, name)).desired) for name, piece in content.modules.items()
        }
        targets = {identity(device, name): desired for name, desired in wanted.items()}
        if content.device is not None:
            targets[identity(device)] = content.device.on(self._hub.twin(identity(device)).desired)
        self.set_desired(targets)

    def deploy(self, device: str, contents: list[Content]) -> None:
        """Set the modules of an edge device as these say together, the last on top. Raises HubError."""
        self.set_desired({identity(device, name): each for name, each in composed(contents).items()})

    def set_desired(self, targets: Mapping[Identity, JsonObject]) -> None:
        """Put these desired properties in place; what is equal already is left alone. Raises HubError."""
        for who, desired in targets.items():
            check_desired(str(who), desired)
        for device in {who.device for who in targets}:
            if known(self._hub, identity(device)).edge:
                add_system_modules(self._hub, device)
        for who, desired in sorted(targets.items(), key=_runtime_last):
            if who.module is not None:
                self._ensure_module(who)
            if difference(self._hub.twin(who).desired, merged({}, desired)):
                replace_twin(self._hub, who, Sections(None, desired))

    def follow(self, who: Identity) -> None:
        """The desired properties of somebody have changed: do what edgeAgent and edgeHub would."""
        entry = self._hub.registry.get(identity(who.device))
        if entry is None or not entry.edge:
            return
        if who.module == EDGE_AGENT:
            self._run_modules(who)
        elif who.module == EDGE_HUB and who.device == self._hub.edge_device:
            self._follow_routes(who)

    def _run_modules(self, agent: Identity) -> None:
        twin = self._hub.twin(agent)
        wanted = set(module_names(twin.desired))
        for name in sorted(wanted):
            self._ensure_module(identity(agent.device, name))
        for entry in self._hub.registry.modules(agent.device):
            name = entry.identity.module or ""
            if entry.managed_by == MANAGED_BY_EDGE and name not in wanted | SYSTEM_MODULES:
                self._hub.remove(entry.identity)
        self._report(agent, 200, "")

    def _ensure_module(self, who: Identity) -> None:
        entry = self._hub.registry.get(who)
        if entry is None:
            self._hub.add(replace(symmetric_entry(who), managed_by=MANAGED_BY_EDGE))
        elif entry.managed_by is None and who.module not in SYSTEM_MODULES:
            self._hub.registry.update(replace(entry, managed_by=MANAGED_BY_EDGE))

    def _follow_routes(self, who: Identity) -> None:
        wrong = self._use_routes(self._hub.twin(who).desired)
        self._report(who, 400 if wrong else 200, wrong)

    def _use_routes(self, desired: JsonObject) -> str:
        """Route by these; if one of them is bad the old ones stay. Returns what is wrong, or an empty text."""
        try:
            self._hub.use_routes(parse_routes(_route_texts(desired)))
        except RoutesError as error:
            self._hub.note(f"edgeHub keeps its routes: {error}")
            return str(error)
        return ""

    def _report(self, who: Identity, code: int, description: str) -> None:
        twin = self._hub.twin(who)
        status = {"code": code, "description": description[:512]}
        reported = {"lastDesiredVersion": twin.desired_version, "lastDesiredStatus": status}
        self._hub.patch_reported(who, orjson.dumps(reported))


def _runtime_last(target: tuple[Identity, JsonObject]) -> tuple[bool, str]:
    """Modules have their twins before edgeAgent would start them, and edgeHub its routes."""
    return target[0].module in SYSTEM_MODULES, target[0].module or ""


def _route_texts(desired: JsonObject) -> dict[str, str]:
    """The routes by name, as texts or with a priority (edgehub.md §7); an empty one is none. Raises RoutesError."""
    routes: Any = desired.get("routes") or {}
    if not isinstance(routes, dict):
        raise RoutesError("routes is no JSON object.")
    texts = {name: each.get("route") if isinstance(each, dict) else each for name, each in routes.items()}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise RoutesError(f"route {name!r} is neither a text nor an object with a route.")
    return {name: text for name, text in texts.items() if text}
