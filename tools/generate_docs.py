"""Write docs/events.md, docs/settings.md, docs/metrics.md, docs/grafana/ and docs/schemas/ from the sources' tables.

`--check` only says whether they are fresh.
"""

import importlib
import json
import pkgutil
import sys
from pathlib import Path

import generate_metrics

from gateway import observe
from gateway.app.document_rows import (
    Anything,
    Choice,
    Either,
    Elsewhere,
    Entries,
    Items,
    Number,
    Row,
    Section,
    Shape,
    Switch,
    Text,
    Whole,
)
from gateway.app.document_schema import deployment_schema, settings_schema, shape_of
from gateway.app.document_table import ROWS
from gateway.app.settings import SETTINGS
from gateway.observe.events import Event, Level

DOCS = Path(__file__).parents[1] / "docs"

EVENTS_HEAD = """# Events

Everything the gateway says about itself is one of these. Each has a level, a sentence in the log (rate-limited per
event) and a counter at `http://127.0.0.1:9600/metrics`. Levels by who must act: **error** means data was lost or a
person is needed, **warning** is unexpected but nothing is lost, **info** is something an operator caused, **debug** is
the rest. Labels come from closed sets.

Generated from `gateway/observe/` by `make docs`; do not edit.

| event | level | counter | what it means |
|---|---|---|---|
"""

SETTINGS_HEAD = """# Settings of the container

Environment variables of the gateway module, set in the deployment manifest's `env`. Routes and store limits are tuned
in the module twin instead: see [routes.md](routes.md). A mistyped name or value stops the start with a sentence.

Generated from `gateway/app/settings.py` by `make docs`; do not edit.

| variable | kind | default | what it does |
|---|---|---|---|
"""


DOCUMENT_HEAD = """
# Settings of the module twin

What an operator tunes: `properties.desired` of the module's twin, or the same JSON in `GATEWAY_SETTINGS_FILE`. A star
stands for a name of your choice. [docs/schemas](schemas/settings.schema.json) holds the same for editors: the
repository's `.vscode` wires it up, and `gateway schema` prints it for any other.

Generated from `gateway/app/document_table.py` by `make docs`; do not edit.

| member | what it may be | default | what it says |
|---|---|---|---|
"""


NOUNS: dict[type, str] = {
    Text: "text",
    Switch: "true or false",
    Items: "list",
    Section: "object",
    Entries: "object",
    Anything: "anything",
}


def event_classes() -> list[type[Event]]:
    """Every event class, loudest first."""
    modules = [
        importlib.import_module(f"gateway.observe.{each.name}") for each in pkgutil.iter_modules(observe.__path__)
    ]
    members = {member for module in modules for member in vars(module).values() if isinstance(member, type)}
    order = [Level.ERROR, Level.WARNING, Level.INFO, Level.DEBUG]
    kinds = (kind for kind in members if issubclass(kind, Event) and kind is not Event)
    return sorted(kinds, key=lambda kind: (order.index(kind.LEVEL), kind.__name__))


def event_row(kind: type[Event]) -> str:
    """One row of the table of events."""
    counter = f"`{kind.METRIC}`" if kind.METRIC else "none"
    if kind.LABELS:
        counter += f" by {', '.join(kind.LABELS)}"
    meaning = " ".join((kind.__doc__ or "").split())
    return f"| `{kind.__name__}` | {kind.LEVEL.value} | {counter} | {meaning} |\n"


def in_words(shape: Shape) -> str:
    """What a member may be, for a table."""
    match shape:
        case Either():
            return " or ".join(dict.fromkeys(map(in_words, shape.shapes)))
        case Elsewhere():
            return in_words(shape_of(shape))
        case Choice():
            return ", ".join(shape.words)
        case Number() | Whole():
            return range_of(shape)
        case _:
            return NOUNS[type(shape)]


def range_of(shape: Number | Whole) -> str:
    """From where to where; a number that JSON alone limits has no end worth a word."""
    least = f"above {shape.least:g}" if isinstance(shape, Number) and shape.above else f"{shape.least:,}"
    return f"{least} to {shape.most:,}" if shape.most < 1e300 else f"{least} or more"


def members(shape: Shape, path: str) -> list[tuple[str, Row]]:
    """All members below `path`, in their order."""
    match shape:
        case Section():
            inner = [(f"{path}.{row.name}".lstrip("."), row) for row in shape.rows]
            return [pair for place, row in inner for pair in ((place, row), *members(row.shape, place))]
        case Entries():
            return members(shape.shape, f"{path}.*")
        case Items():
            return members(shape.shape, f"{path}[]")
        case Either():
            return [pair for one in shape.shapes for pair in members(one, path)]
        case Elsewhere():
            return members(shape_of(shape), path)
        case _:
            return []


def document_rows() -> str:
    """The table of the settings document. A member of several variants of a section stands there once."""
    variants: dict[str, list[Row]] = {}
    for path, row in members(Section(ROWS), ""):
        if not path.startswith("tests["):  # what a case says is told where cases are: routes.md
            variants.setdefault(path, []).append(row)
    return "".join(document_row(path, rows) for path, rows in variants.items())


def document_row(path: str, variants: list[Row]) -> str:
    """One row of the table of the settings document."""
    first = variants[0]
    kind = in_words(Either([row.shape for row in variants])) + (f" {first.unit}" if first.unit else "")
    default = "required" if first.required else "" if first.default is None else json.dumps(first.default).strip('"')
    meaning = "; ".join(dict.fromkeys(row.help for row in variants)).replace("|", "/")
    return f"| `{path}` | {kind} | {default} | {meaning} |\n"


def as_file(schema: object) -> str:
    """A schema as it is kept."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def pages() -> dict[Path, str]:
    """The generated pages and their text."""
    settings = "".join(
        f"| `{row.name}` | {', '.join(row.choices) or row.kind.value} | {row.default or 'unset'} | {row.help} |\n"
        for row in SETTINGS
    )
    return {
        DOCS / "events.md": EVENTS_HEAD + "".join(map(event_row, event_classes())),
        DOCS / "settings.md": SETTINGS_HEAD + settings + DOCUMENT_HEAD + document_rows(),
        DOCS / "metrics.md": generate_metrics.page(),
        DOCS / "grafana/gateway.json": generate_metrics.dashboard(),
        DOCS / "schemas/settings.schema.json": as_file(settings_schema()),
        DOCS / "schemas/deployment.schema.json": as_file(deployment_schema()),
    }


def stale() -> list[Path]:
    """The pages that no longer say what the sources say."""
    return [path for path, text in pages().items() if not path.exists() or path.read_text() != text]


def main() -> int:
    """Write the pages, or say which are stale."""
    if "--check" in sys.argv[1:]:
        for path in stale():
            print(f"{path.name} is stale: run make docs", file=sys.stderr)
        return 1 if stale() else 0
    for path, text in pages().items():
        path.write_text(text)
        print(f"wrote {path.relative_to(DOCS.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
