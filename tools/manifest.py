"""`make manifest`: a deployment manifest from a template, without IoT Edge's own tools. See docs/deployment.md.

    python tools/manifest.py [TEMPLATE …] [--platform arm64v8] [--env-file .env] [--output config]

`deployment.template.json` becomes `config/deployment.arm64v8.json`: `${MODULES.gateway}` and `${MODULEDIR<../path>}`
are the images that module.json names, `${NAME}` is a value of the env file or, where that has none, of the environment;
createOptions become texts of 512 characters at most. What has no braces is never expanded: `$upstream`, `$edgeHub` and
`$edgeAgent` are words of IoT Edge. The same template and values give the same bytes, on any machine.

Exit codes: 0 written; 2 the template, a value or the result cannot be used, and nothing was written.
"""

import argparse
import difflib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jsonschema
import referencing
import referencing.jsonschema

from edgewire.iothub.twins import TwinError, check_size, checked_patch

ROOT: Final = Path(__file__).parents[1]
SCHEMAS: Final = ROOT / "tests/schemas"
PLATFORMS: Final = ("amd64", "arm32v7", "arm64v8")
TEMPLATE_SCHEMA: Final = "azure-iot-edge-deployment-template-4.0"
MANIFEST_SCHEMA: Final = "azure-iot-edge-deployment-2.0"
LAYER_SCHEMA: Final = "layered-deployment"
TEMPLATE_VERSION: Final = "4.0.0"
CHUNK: Final = 512
"""Characters of one text of createOptions (conventions.md §1.3)."""
MAX_CHUNKS: Final = 100
"""As many as edgeAgent joins; iotedgedev makes 8 at most."""
MAX_MODULES: Final = 50
"""Of one deployment: IoT Hub's own."""
DESIRED: Final = "properties.desired"
RUNTIME: Final = ("$edgeAgent", "$edgeHub")
PLACEHOLDER: Final = re.compile(r"\$\{([^{}]*)\}")
MODULE_FOLDER: Final = re.compile(r"MODULEDIR<([^<>]+)>(?:\.(.+))?")
MODULE_NAME: Final = re.compile(r"MODULES\.([A-Za-z0-9_]+)(?:\.(.+))?")
IMAGE: Final = re.compile(
    r"(?:(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::\d+)?/)?"
    r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
"""The reference of an image, as container engines read it: server, path, tag, digest."""
QUOTED: Final = re.compile(r"'([^']*)'|\"([^\"\\]*)\"")
"""A value of an env file that means the same to every tool: nothing escaped, nothing behind its end."""

Document = dict[str, Any]


class ManifestError(Exception):
    """What a person should change first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Whom the manifest is for: the platform, and the values that placeholders stand for."""

    platform: str
    values: Mapping[str, str]
    folder: Path
    """Of the template: modules are looked for below it."""


def make_manifest(template: Document, wish: Wish) -> Document:
    """The manifest of a template, checked. Raises ManifestError with all that is wrong."""
    if is_layer(template):
        _check_schema(template, LAYER_SCHEMA, "the template")
    else:
        _check_schema(template, TEMPLATE_SCHEMA, "the template")
    manifest = _filled_in(template, wish)
    manifest.pop("$schema-template", None)
    for name, module in modules_of(manifest):
        _split_create_options(name, module)
    check_manifest(manifest)
    return manifest


def check_manifest(manifest: Document) -> None:
    """Raise ManifestError if IoT Hub or IoT Edge would not take it."""
    _check_schema(manifest, LAYER_SCHEMA if is_layer(manifest) else MANIFEST_SCHEMA, "the manifest")
    if "${" in json.dumps(manifest):
        raise ManifestError("a '${' is left: only whole names in braces are filled in, ${LIKE_THIS}")
    if len(list(modules_of(manifest))) > MAX_MODULES:
        raise ManifestError(f"a deployment has at most {MAX_MODULES} modules: leave some out")
    _check_images(manifest)
    for name, section in contents_of(manifest).items():
        try:
            _check_twin(name, section)
        except TwinError as error:
            raise ManifestError(f"{name}: {error.what}. IoT Hub would refuse the deployment; shorten it") from error


def _check_images(manifest: Document) -> None:
    """No schema knows what an image is called; the device would say it, long after."""
    named = [(name, str(module["settings"]["image"])) for name, module in modules_of(manifest)]
    if wrong := [(name, image) for name, image in named if not IMAGE.fullmatch(image)]:
        lines = [f"the image of {name} is '{image}', which no engine can fetch" for name, image in wrong]
        lines.append("an image is SERVER/NAME:TAG, the server as myregistry.example or myregistry.example:5000")
        raise ManifestError("\n".join(lines))


def is_layer(document: Document) -> bool:
    """Whether it is a layer, which adds to a deployment, not a whole one."""
    return "content" in document


def contents_of(document: Document) -> Document:
    """What is wanted of each module's twin, by the module's name."""
    content = document.get("content", document)
    found: Document = content["modulesContent"]
    return found


def modules_of(document: Document) -> Iterator[tuple[str, Document]]:
    """What edgeAgent is to run, the runtime too: names and what is said of each."""
    agent = contents_of(document).get("$edgeAgent", {})
    desired = agent.get(DESIRED, {})
    yield from desired.get("systemModules", {}).items()
    yield from desired.get("modules", {}).items()
    for path, module in agent.items():
        start, _, name = path.rpartition(".")
        if start in (f"{DESIRED}.modules", f"{DESIRED}.systemModules"):
            yield name, module


# Placeholders.


def _filled_in(template: Document, wish: Wish) -> Document:
    """A copy with every placeholder replaced. Raises ManifestError with all that have no value."""
    missing: dict[str, None] = {}

    def value_of(found: re.Match[str]) -> str:
        value = _value_of(found[1], wish)
        if value is None:
            missing[found[1]] = None
        return value or ""

    filled: Document = _mapped(template, lambda text: PLACEHOLDER.sub(value_of, text))
    if missing:
        raise ManifestError("\n".join(_no_value(name, wish) for name in missing))
    return filled


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A copy with every text changed; names of members stay."""
    if isinstance(value, dict):
        return {key: _mapped(member, change) for key, member in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def _value_of(name: str, wish: Wish) -> str | None:
    if found := MODULE_NAME.fullmatch(name):
        return image_of(wish.folder / "modules" / found[1], found[2] or "", wish)
    if found := MODULE_FOLDER.fullmatch(name):
        return image_of(wish.folder / found[1], found[2] or "", wish)
    return wish.values.get(name) or None


def image_of(folder: Path, variant: str, wish: Wish) -> str:
    """The image of the module in `folder`: repository, version and platform, by module.json. Raises ManifestError."""
    file = folder / "module.json"
    image = _filled_in(read_json(file), wish).get("image", {})
    try:
        repository, version, platforms = image["repository"], image["tag"]["version"], image["tag"]["platforms"]
    except (KeyError, TypeError) as error:
        raise ManifestError(
            f"{file}: image.repository, image.tag.version and image.tag.platforms are needed"
        ) from error
    platform = {"": wish.platform, "debug": f"{wish.platform}.debug"}.get(variant, variant)
    if platform not in platforms:
        raise ManifestError(f"{file} has no image for '{platform}'; it has {', '.join(platforms)}")
    extra = wish.values.get("CONTAINER_TAG")
    return f"{repository.lower()}:{version}{f'-{extra}' if extra else ''}-{platform}"


def _no_value(name: str, wish: Wish) -> str:
    near = difflib.get_close_matches(name, [*wish.values, *_module_placeholders(wish.folder)], n=1)
    meant = f" Did you mean ${{{near[0]}}}?" if near and near[0] != name else ""
    return f"${{{name}}} has no value: write {name}=… into the env file (.env.tmp lists the names).{meant}"


def _module_placeholders(folder: Path) -> list[str]:
    return [f"MODULES.{file.parent.name}" for file in folder.glob("modules/*/module.json")]


# createOptions.


def _split_create_options(name: str, module: Document) -> None:
    """Replace createOptions by texts that fit into a twin."""
    settings = module.get("settings", {})
    if "createOptions" not in settings:
        return
    options = settings["createOptions"]
    text = options if isinstance(options, str) else json.dumps(options, separators=(",", ":"))
    chunks = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)] or ["{}"]
    if len(chunks) > MAX_CHUNKS:
        raise ManifestError(
            f"the createOptions of {name} have {len(text)} characters; {CHUNK * MAX_CHUNKS} are allowed"
        )
    try:
        whole = json.loads("".join(chunks))
    except json.JSONDecodeError as error:
        raise ManifestError(f"the createOptions of {name} are no JSON: {error}") from error
    if not isinstance(whole, dict):
        raise ManifestError(f"the createOptions of {name} must be a JSON object")
    for number, chunk in enumerate(chunks):
        settings["createOptions" if number == 0 else f"createOptions{number:02}"] = chunk


# Checks.


def _check_schema(document: Document, name: str, what: str) -> None:
    errors = sorted(validator(name).iter_errors(document), key=lambda error: list(map(str, error.absolute_path)))
    if errors:
        lines = [f"{what}, at {_place(error)}: {error.message[:300]}" for error in errors]
        raise ManifestError("\n".join(lines))


def _place(error: "jsonschema.ValidationError") -> str:
    return " → ".join(map(str, error.absolute_path)) or "its top"


def validator(name: str) -> "jsonschema.Draft4Validator":
    """Validates by the stored copies of the schemas alone; nothing is fetched."""
    documents = [read_json(path) for path in sorted(SCHEMAS.glob("azure-iot-*.json"))]
    resources = [
        (document["id"], referencing.Resource.from_contents(document, referencing.jsonschema.DRAFT4))
        for document in documents
    ]
    registry: referencing.Registry[Any] = referencing.Registry().with_resources(resources)
    return jsonschema.Draft4Validator(read_json(SCHEMAS / f"{name}.json"), registry=registry)


def _check_twin(name: str, section: Document) -> None:
    """What the schemas do not know of twins: names, sizes, nesting. Raises TwinError."""
    desired: Document = {}
    for path, value in section.items():
        below = desired
        *names, last = path.removeprefix(DESIRED).lstrip(".").split(".")
        if not last:
            desired |= value
            continue
        for each in names:
            below = below.setdefault(each, {})
        below[last] = value
    if _holds_null(desired):
        raise TwinError(400, "a value is null, which removes a member of a twin: leave the member out")
    checked_patch(desired)
    check_size(f"desired ({name})", desired)


def _holds_null(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_holds_null, value.values() if isinstance(value, dict) else value))
    return value is None


# Files.


def read_json(file: Path) -> Document:
    """A JSON object in a file. Raises ManifestError."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ManifestError(f"{file} is no JSON: {error}. A placeholder stands inside of quotes") from error
    if not isinstance(document, dict):
        raise ManifestError(f"{file} is no JSON object")
    return document


def read_values(file: Path) -> dict[str, str]:
    """The lines NAME=value of an env file; none if it is not there. Raises ManifestError."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()  # editors of Windows write a mark in front
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ManifestError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{file} is no text in UTF-8: save it as such") from error
    values: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.removeprefix("export ").partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name.strip()):
            raise ManifestError(f"{file}, line {number}: it must be NAME=value")
        values[name.strip()] = _unquoted(value.strip(), f"{file}, line {number}")
    return values


def _unquoted(value: str, place: str) -> str:
    """The value that all tools read here. Raises ManifestError where they differ, as secrets are in such files."""
    if found := QUOTED.fullmatch(value):
        return found[1] or found[2] or ""
    if value[:1] in ("'", '"'):
        raise ManifestError(f'{place}: what is in quotes must end the line, without \\ between " and "')
    if re.search(r"\s#", value):
        raise ManifestError(f"{place}: put the comment on a line of its own, or the value in 'quotes'")
    return value


def name_of(template: Path, platform: str) -> str:
    """The manifest's file name, as IoT Edge's tools make it."""
    return f"{template.name.removesuffix('.json').removesuffix('.template')}.{platform}.json"


def written(manifest: Document) -> bytes:
    """The bytes of a manifest's file."""
    return (json.dumps(manifest, indent=2) + "\n").encode()


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, taken apart."""
    parser = argparse.ArgumentParser(prog="manifest", description="A deployment manifest from a template.")
    parser.add_argument("templates", nargs="*", type=Path, default=[ROOT / "deployment.template.json"])
    parser.add_argument("--platform", choices=PLATFORMS, default="amd64")
    parser.add_argument("--env-file", type=Path, default=ROOT / ".env", help="values of placeholders (default: .env)")
    parser.add_argument("--output", type=Path, default=ROOT / "config", help="folder to write to (default: config)")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Write the manifests. Returns the exit code."""
    given = arguments(words)
    try:
        # The file decides; the environment fills in what it leaves open, such as a password in a pipeline.
        values = {**os.environ, **{name: value for name, value in read_values(given.env_file).items() if value}}
        made = []
        for template in given.templates:
            wish = Wish(platform=given.platform, values=values, folder=template.resolve().parent)
            try:
                made.append(
                    (given.output / name_of(template, given.platform), make_manifest(read_json(template), wish))
                )
            except ManifestError as error:
                raise ManifestError("\n".join(f"{template}: {line}" for line in str(error).splitlines())) from error
        given.output.mkdir(parents=True, exist_ok=True)
        for file, manifest in made:
            beside = file.with_suffix(".new")
            beside.touch(mode=0o600)  # it holds the registry's password
            beside.write_bytes(written(manifest))
            beside.replace(file)
            print(file)
    except (ManifestError, OSError) as error:
        print(f"manifest: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
