"""Write docs/events.md and docs/settings.md from the sources' tables; `--check` only says whether they are fresh."""

import importlib
import pkgutil
import sys
from pathlib import Path

from gateway import observe
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


def pages() -> dict[Path, str]:
    """The generated pages and their text."""
    settings = "".join(
        f"| `{row.name}` | {', '.join(row.choices) or row.kind.value} | {row.default or 'unset'} | {row.help} |\n"
        for row in SETTINGS
    )
    return {
        DOCS / "events.md": EVENTS_HEAD + "".join(map(event_row, event_classes())),
        DOCS / "settings.md": SETTINGS_HEAD + settings,
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
