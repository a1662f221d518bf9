"""docs/what-can-be-lost.md: each row has the test that shows it, and that test is there."""

import re
from typing import Final

from project_sources import ROOT

PAGE: Final = ROOT / "docs/what-can-be-lost.md"
TEXT: Final = PAGE.read_text(encoding="utf-8")
LINKS: Final = re.findall(r"\]\((\.\./tests/[\w/]+\.py)#(\w+)\)", TEXT)


def rows(heading: str) -> list[str]:
    section = TEXT[TEXT.index(f"## {heading}") :].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


def test_each_row_leads_to_a_test() -> None:
    found = rows("What happens to messages on their way up") + rows("What comes down")
    assert len(found) > 20
    assert [row for row in found if "../tests/" not in row] == []


def test_each_test_that_is_named_is_there() -> None:
    assert len(LINKS) > 20
    for file, name in LINKS:
        assert f"def {name}(" in (PAGE.parent / file).resolve().read_text(encoding="utf-8"), f"{file} has no {name}"
