"""The sizes and habits of style §3 and §9, as checks."""

import ast
from pathlib import Path

import pytest

from project_sources import ROOT, SOURCES, source_files

MAX_FUNCTION_LINES = 80
MAX_FILE_LINES = 600
TESTED_ELSEWHERE = {
    "standin.__main__": "a line that calls standin.cli.main",
}


@pytest.mark.parametrize("path", [path for _, path in source_files()], ids=lambda path: str(path)[-60:])
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MAX_FUNCTION_LINES, f"{path}:{node.lineno} {node.name}"


def test_nearly_all_functions_are_under_40_lines() -> None:
    sizes = [
        (node.end_lineno or 0) - node.lineno + 1
        for _, path in source_files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert sum(size <= 40 for size in sizes) >= 0.95 * len(sizes)


@pytest.mark.parametrize(
    ("module", "path"),
    [(module, path) for module, path in source_files() if path.name != "__init__.py"],
    ids=lambda value: str(value)[-60:],
)
def test_each_source_file_has_its_test_file(module: str, path: Path) -> None:
    if module in TESTED_ELSEWHERE:
        return
    *rooms, name = module.split(".")
    mirror = ROOT / "tests/unit" / "/".join(rooms) / f"test_{name}.py"
    assert mirror.exists(), f"{path} has no {mirror.relative_to(ROOT)}"


def test_there_are_sources_to_check() -> None:
    assert all(any(top.rglob("*.py")) for top in SOURCES)
