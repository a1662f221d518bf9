"""What a board starts: trials, roll-backs, damage, crashes, jobs, each as a row of starts."""

import re
from typing import Final

import pytest

from support.micropython import FIRMWARE, run

HELPERS: Final = {"with_program"}
STORIES: Final = [
    name
    for name in re.findall(r"^def (\w+)\(\):", (FIRMWARE / "tests/starts.py").read_text(encoding="utf-8"), re.MULTILINE)
    if name not in HELPERS
]


@pytest.mark.parametrize("story", STORIES)
def test_a_board_starts_what_it_should(story: str) -> None:
    assert run("starts.py", story, heap="1m")[-1] == "held"
