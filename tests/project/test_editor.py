"""VS Code's settings of this project: the schemas that complete and check what a person writes."""

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from project_sources import ROOT

SETTINGS: dict[str, Any] = json.loads((ROOT / ".vscode/settings.json").read_text())
SCHEMAS = {entry["url"]: entry["fileMatch"] for entry in SETTINGS["json.schemas"]}


def alternatives(pattern: str) -> list[str]:
    """A glob with {a,b} as globs without."""
    found = re.search(r"\{([^}]*)\}", pattern)
    if found is None:
        return [pattern]
    return [pattern[: found.start()] + word + pattern[found.end() :] for word in found[1].split(",")]


def matching(patterns: list[str]) -> list[Path]:
    """The project's JSON files that the patterns take; a pattern that begins with / begins at the workspace."""
    globs = [one.removeprefix("/") for pattern in patterns for one in alternatives(pattern)]
    files = [*ROOT.glob("*.json"), *ROOT.glob("docs/examples/*.json")]
    return [path for path in files if any(fnmatch(str(path.relative_to(ROOT)), glob) for glob in globs)]


@pytest.mark.parametrize("url", SCHEMAS)
def test_a_schema_is_there_and_is_one(url: str) -> None:
    jsonschema.Draft7Validator.check_schema(json.loads((ROOT / url).read_text()))


@pytest.mark.parametrize(("url", "file"), [(url, file) for url, globs in SCHEMAS.items() for file in matching(globs)])
def test_what_it_is_for_is_good_by_it(url: str, file: Path) -> None:
    errors = jsonschema.Draft7Validator(json.loads((ROOT / url).read_text())).iter_errors(json.loads(file.read_text()))
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_the_template_and_the_examples_have_one() -> None:
    taken = {path.name for globs in SCHEMAS.values() for path in matching(globs)}
    assert {"deployment.template.json", "site.json", "routes.json", "sending.json", "topics.json"} <= taken


def test_a_mistyped_setting_in_the_template_is_underlined() -> None:
    template = json.loads((ROOT / "deployment.template.json").read_text())
    (url,) = [url for url, globs in SCHEMAS.items() if ROOT / "deployment.template.json" in matching(globs)]
    settings = template["modulesContent"]["gateway"]["properties.desired"]
    settings["storeAndForward"]["maxByte"] = settings["storeAndForward"].pop("maxBytes")
    (error,) = jsonschema.Draft7Validator(json.loads((ROOT / url).read_text())).iter_errors(template)
    assert "maxByte" in error.message
