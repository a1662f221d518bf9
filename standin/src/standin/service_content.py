"""The content of a configuration: which desired properties it wants of modules, devices, or the modules it targets.

A twin is written whole, `"properties.desired": {…}`, or by paths, `"properties.desired.routes.up": …`, as layered
deployments do (conventions.md §1.4). Later contents go on top of earlier ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edgewire.iothub.ids import is_id
from edgewire.iothub.limits import MAX_TWIN_DEPTH
from edgewire.iothub.twins import TwinError, check_size, checked_patch, merged
from standin.documents import JsonObject
from standin.errors import HubError
from standin.service_http import ARGUMENT
from standin.service_sections import refused

EDGE_AGENT: Final = "$edgeAgent"
EDGE_HUB: Final = "$edgeHub"
SYSTEM_MODULES: Final = frozenset({EDGE_AGENT, EDGE_HUB})
MAX_MODULES: Final = 50
"""IoT Hub's own: modules of one deployment."""
_WHOLE: Final = "properties.desired"
_MEMBERS: Final = frozenset({"modulesContent", "deviceContent", "moduleContent"})


@dataclass(frozen=True, slots=True)
class Piece:
    """What is wanted of one twin: all of desired, or values at paths below it, or both."""

    whole: JsonObject | None
    paths: tuple[tuple[tuple[str, ...], Any], ...] = ()

    def on(self, desired: JsonObject) -> JsonObject:
        """The desired properties with this on top."""
        result = desired if self.whole is None else self.whole
        for path, value in self.paths:
            result = _with_value(result, path, value)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A content that has been understood."""

    modules: Mapping[str, Piece] = field(default_factory=dict)
    device: Piece | None = None
    module: Piece | None = None

    @property
    def is_layer(self) -> bool:
        """Whether it only adds to a deployment: it does not say what edgeAgent is to run as a whole."""
        agent = self.modules.get(EDGE_AGENT)
        return bool(self.modules) and (agent is None or agent.whole is None)


def read_content(document: object) -> Content:
    """The content of a body or a manifest. Raises HubError with the place of what is wrong."""
    if not isinstance(document, dict):
        raise HubError(ARGUMENT, "the content is no JSON object")
    # A layered manifest has its content below `content`, as configurations have.
    document = document.get("content", document)
    if not isinstance(document, dict) or not document or not document.keys() <= _MEMBERS:
        raise HubError(ARGUMENT, f"a content has {', '.join(sorted(_MEMBERS))}, and nothing else")
    modules = document.get("modulesContent") or {}
    if not isinstance(modules, dict) or len(modules) > MAX_MODULES + len(SYSTEM_MODULES):
        raise HubError(ARGUMENT, f"modulesContent is no JSON object, or has more than {MAX_MODULES} modules")
    return Content(
        modules={_module_id(name): _piece(f"modulesContent.{name}", piece) for name, piece in modules.items()},
        device=_optional_piece(document, "deviceContent"),
        module=_optional_piece(document, "moduleContent"),
    )


def composed(contents: Sequence[Content]) -> dict[str, JsonObject]:
    """The desired properties of each module that these contents name, the last one on top."""
    desired: dict[str, JsonObject] = {}
    for content in contents:
        for name, piece in content.modules.items():
            desired[name] = piece.on(desired.get(name, {}))
    return desired


def check_desired(name: str, desired: JsonObject) -> None:
    """Raise HubError if a twin may not hold this; `name` is for the message."""
    try:
        checked_patch(desired)
        check_size("desired", merged({}, desired))
    except TwinError as error:
        raise HubError(refused(error).code, f"{name}: {error.what}") from error


def module_names(desired: JsonObject) -> Iterable[str]:
    """The modules that edgeAgent's desired properties tell it to run, without the runtime's own."""
    modules = desired.get("modules")
    return [name for name in modules if is_id(name)] if isinstance(modules, dict) else []


def _optional_piece(document: JsonObject, name: str) -> Piece | None:
    found = document.get(name)
    return _piece(name, found) if found else None


def _piece(where: str, document: object) -> Piece:
    if not isinstance(document, dict):
        raise HubError(ARGUMENT, f"{where} is no JSON object")
    whole, paths = None, []
    for key, value in document.items():
        if key == _WHOLE:
            if not isinstance(value, dict):
                raise HubError(ARGUMENT, f"{where}: {key} is no JSON object")
            whole = value
        else:
            paths.append((_path(where, key), value))
    return Piece(whole, tuple(paths))


def _path(where: str, key: str) -> tuple[str, ...]:
    path = tuple(key.removeprefix(_WHOLE + ".").split("."))
    if not key.startswith(_WHOLE + ".") or not all(path) or len(path) > MAX_TWIN_DEPTH:
        raise HubError(
            ARGUMENT, f"{where}: {key[:200]!r} is neither {_WHOLE} nor a path of 1 to {MAX_TWIN_DEPTH} names below it"
        )
    return path


def _module_id(name: str) -> str:
    if not is_id(name):
        raise HubError(ARGUMENT, f"modulesContent: {name[:200]!r} is no id of a module")
    return name


def _with_value(section: JsonObject, path: tuple[str, ...], value: Any) -> JsonObject:
    name, *below = path
    if not below:
        return {**section, name: value}
    inner = section.get(name)
    return {**section, name: _with_value(inner if isinstance(inner, dict) else {}, tuple(below), value)}
