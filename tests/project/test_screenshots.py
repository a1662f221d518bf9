"""Pictures in the docs: each that is named exists and can be looked at, each that exists is named."""

import re
from pathlib import Path

import pytest

from project_sources import ROOT
from support.browser import MAX_PICTURE_BYTES, PICTURES

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXISTING = sorted(PICTURES.glob("*"))


def named() -> dict[Path, list[str]]:
    """Every picture that a page shows or leads to, with what is said of it."""
    found: dict[Path, list[str]] = {}
    for page in PAGES:
        for words, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+\.png)\)", page.read_text(encoding="utf-8")):
            found.setdefault((page.parent / target).resolve(), []).append(words)
    return found


def test_every_picture_that_is_named_exists_and_is_described() -> None:
    pictures = named()
    assert pictures
    assert [path for path in pictures if not path.is_file()] == []
    assert [path for path, words in pictures.items() if not all(words)] == []


@pytest.mark.parametrize("path", EXISTING, ids=lambda path: path.name)
def test_every_picture_is_named_small_and_made_by_a_test(path: Path) -> None:
    assert path in named()
    assert path.suffix == ".png"
    assert path.stat().st_size <= MAX_PICTURE_BYTES
    tests = "".join(test.read_text(encoding="utf-8") for test in (ROOT / "tests/browser").glob("test_*.py"))
    assert f'"{path.stem}"' in tests
