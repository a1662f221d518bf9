"""The room `edgewire.line` is what its `__init__` says: no more, no less, and nothing of it stands on other code."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

import edgewire.line
from project_sources import ROOT

sys.path.insert(0, str(ROOT / "tools"))
compile_line = importlib.import_module("compile_line")

FOLDER = Path(edgewire.line.__file__).parent
INTERFACE: dict[str, set[str]] = {
    "acknowledgements": {"pubacks"},
    "bodies": {"MAX_DEPTH", "MAX_SELECTED", "SELECTED_FROM", "Selection", "members_at", "read_object"},
    "envelopes": {"EnvelopeReader", "read_envelope", "write_envelope"},
    "escapes": {"percent_decode", "percent_encode", "percent_encoded_size"},
    "names": {"BagNames", "TopicCache", "check_topic_name", "decode_text", "sort_pairs", "split_bag"},
    "packets": {"Frame", "check_shortest", "publish_parts", "read_varint", "split"},
    "records": {"DELIVERY", "NO_LIMIT", "PARTS", "PLANS", "RECORD", "Batch", "Encoder", "Plan"},
}
ALLOWED = {
    *("collections.abc", "dataclasses", "re", "struct", "typing", "urllib.parse"),
    *("edgewire.errors", "edgewire.message", "msgspec", "orjson"),
    *(f"edgewire.line.{name}" for name in INTERFACE),
}
"""No clock, socket, task, chance or log; of ours the two rooms below."""


def public_names(module: str) -> set[str]:
    """What a module of the room defines for others."""
    names: set[str] = set()
    for node in ast.parse((FOLDER / f"{module}.py").read_text()).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def test_the_room_has_these_files_and_all_of_them_are_compiled() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert files == set(INTERFACE)
    assert set(compile_line.ROOM) == {f"edgewire.line.{name}" for name in files}
    assert not [module for module in compile_line.CALLERS if module.startswith("edgewire.line")]
    assert compile_line.LINE == compile_line.ROOM + compile_line.CALLERS


@pytest.mark.parametrize("module", sorted(INTERFACE))
def test_a_file_of_the_room_gives_what_the_interface_says(module: str) -> None:
    assert public_names(module) == INTERFACE[module]
    said = edgewire.line.__doc__ or ""
    unsaid = {name for name in INTERFACE[module] | {module} if f"`{name}`" not in said}
    assert not unsaid, f"edgewire.line says nothing of {unsaid}"


@pytest.mark.parametrize("module", sorted(INTERFACE))
def test_nothing_in_the_room_stands_on_other_code(module: str) -> None:
    for node in ast.walk(ast.parse((FOLDER / f"{module}.py").read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= ALLOWED
        elif isinstance(node, ast.ImportFrom):
            assert node.module in ALLOWED, f"{module} imports {node.module}"


def test_everything_of_the_room_is_used_outside_of_it() -> None:
    outside = {
        alias.name
        for path in (ROOT / "modules" / "gateway" / "src").rglob("*.py")
        if FOLDER not in path.parents
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgewire.line")
        for alias in node.names
    }
    # The sizes of what is written and kept are for tests and docs/limits.md.
    assert set().union(*INTERFACE.values()) - outside <= {"PARTS", "PLANS", "Plan", "read_envelope", "write_envelope"}
