"""Deployments as tests change them: the template that is shipped, with one thing in it made otherwise."""

import copy
import json
from pathlib import Path
from typing import Any, Final

TEMPLATE: Final = Path(__file__).parents[2] / "deployment.template.json"


def template() -> dict[str, Any]:
    """The template, a copy of its own."""
    found: dict[str, Any] = copy.deepcopy(json.loads(TEMPLATE.read_text(encoding="utf-8")))
    return found


def agent(document: dict[str, Any]) -> dict[str, Any]:
    """What it says to edgeAgent."""
    found: dict[str, Any] = document["modulesContent"]["$edgeAgent"]["properties.desired"]
    return found


def hub(document: dict[str, Any]) -> dict[str, Any]:
    """What it says to edgeHub."""
    found: dict[str, Any] = document["modulesContent"]["$edgeHub"]["properties.desired"]
    return found


def ours(document: dict[str, Any]) -> dict[str, Any]:
    """The gateway's settings in it."""
    found: dict[str, Any] = document["modulesContent"]["gateway"]["properties.desired"]
    return found


def module(document: dict[str, Any], name: str) -> dict[str, Any]:
    """A container in it, made if there is none."""
    sections = agent(document)
    found: dict[str, Any] = sections["systemModules"].get(name) or sections["modules"].setdefault(
        name, {"settings": {"image": "x", "createOptions": {}}}
    )
    return found
