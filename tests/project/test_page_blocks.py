"""Each ```sh block of each page either runs in a test, or a list says why not."""

import re

import pytest

from project_sources import ROOT
from support.page_blocks import NOT_HERE, RUN, blocks_of

PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (
        ROOT / "README.md",
        ROOT / "certs/README.md",
        *(ROOT / "device-firmware").rglob("README.md"),
        *(ROOT / "docs").rglob("*.md"),
    )
)


@pytest.mark.parametrize("page", PAGES)
def test_each_block_runs_or_has_a_reason(page: str) -> None:
    blocks = blocks_of(page)
    assert page in RUN or [block.text for block in blocks if not block.reason] == [], "add it to RUN, or to NOT_HERE"
    assert page not in RUN or any(not block.reason for block in blocks), "no block of it runs: take it out of RUN"


@pytest.mark.parametrize("page", NOT_HERE)
def test_each_reason_is_for_a_block_that_is_there(page: str) -> None:
    for start in NOT_HERE[page]:
        assert any(block.text.startswith(start) for block in blocks_of(page)), f"{page} has no block '{start}…'"


def test_tests_that_reasons_name_are_there() -> None:
    named = {
        found for why in NOT_HERE.values() for reason in why.values() for found in re.findall(r"tests/[\w/.]+", reason)
    }
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []
