"""`standin set-modules`: deploy a manifest to the edge device, as `az iot edge set-modules` does."""

import argparse
from typing import TYPE_CHECKING, Any, Final

import orjson

from standin.client import Control
from standin.commands.terminal import DONE, InputError, add_command, json_argument, say

if TYPE_CHECKING:
    from standin.commands.terminal import Commands

_CONTENTS: Final = ("modulesContent", "deviceContent", "moduleContent")
_CREATE_OPTIONS: Final = "createOptions"


def add(commands: "Commands") -> None:
    """`set-modules`."""
    modules = add_command(commands, "set-modules", _set, "apply a deployment manifest, or a template of one")
    modules.add_argument("manifest", metavar="FILE", help="deployment.json or deployment.template.json; - reads stdin")
    modules.add_argument("--device", metavar="ID", help="an edge device (default: the stand-in's own)")


def _set(arguments: argparse.Namespace) -> int:
    text = arguments.manifest if arguments.manifest == "-" else f"@{arguments.manifest}"
    content = _content_of(arguments.manifest, json_argument(text))
    query = {} if arguments.device is None else {"device": arguments.device}
    answer = Control(arguments.dir).ask("POST", "/content", content, **query)
    say(f"{answer['device']} has the modules {', '.join(answer['modules'])}")
    return DONE


def _content_of(name: str, manifest: Any) -> dict[str, Any]:
    """What a manifest deploys: a template has more beside it, and `createOptions` not yet as text."""
    if not isinstance(manifest, dict):
        raise InputError(f"{name} is no deployment manifest: it is no JSON object.")
    inner = manifest.get("content", manifest)
    if not isinstance(inner, dict) or "modulesContent" not in inner:
        raise InputError(f"{name} is no deployment manifest: it has no modulesContent.")
    return {key: _with_texts(value) for key, value in inner.items() if key in _CONTENTS}


def _with_texts(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        key: orjson.dumps(member).decode()
        if key == _CREATE_OPTIONS and isinstance(member, dict)
        else _with_texts(member)
        for key, member in value.items()
    }
