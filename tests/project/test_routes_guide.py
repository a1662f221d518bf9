"""docs/routes.md and docs/sending.md are run: their examples by `gateway test`, the traps by the compiler."""

import json
import re
from typing import Any

import pytest

from gateway.app.document import read_settings
from gateway.app.sample import read_sample
from gateway.cli.test import run_case
from gateway.routing.compile import RouteSpec, compile_routes
from gateway.routing.functions import FUNCTIONS
from project_sources import ROOT

GUIDE = (ROOT / "docs/routes.md").read_text(encoding="utf-8")
SENDING = (ROOT / "docs/sending.md").read_text(encoding="utf-8")


def blocks(page: str) -> list[Any]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]


BLOCKS = blocks(GUIDE)
EXAMPLES = [block for block in (*BLOCKS, *blocks(SENDING)) if "tests" in block]
TRAPS = re.findall(r"^\| `(.+?)` \| [^|]+ \| `(.+?)` \|$", GUIDE[GUIDE.index("## Traps") :], re.MULTILINE)


def test_there_are_examples_and_traps_enough() -> None:
    assert len(EXAMPLES) >= 11
    assert len(TRAPS) >= 25


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: ", ".join(example["routes"]))
def test_an_example_passes_its_own_tests_without_warnings(example: Any) -> None:
    reading = read_settings(example)
    assert [found.rendered() for found in (*reading.problems, *reading.warnings)] == []
    assert reading.table is not None
    assert reading.settings is not None
    for case in reading.settings.tests:
        assert run_case(case, reading.settings, reading.table).faults == (), case.name


def test_the_other_blocks_are_settings_and_messages() -> None:
    message, settings = [block for block in BLOCKS if "tests" not in block]
    assert read_sample(message).envelope.sender.device == "board-1"
    assert read_settings(settings).problems == ()
    (sends,) = [block for block in blocks(SENDING) if "tests" not in block]
    assert read_settings(sends).problems == ()


@pytest.mark.parametrize(("written", "instead"), TRAPS)
def test_a_trap_is_told_and_its_rewrite_is_clean(written: str, instead: str) -> None:
    trap, clean = (
        compile_routes({"r": RouteSpec(text=text if text.startswith("FROM") else whole(text))})
        for text in (written, instead)
    )
    assert trap.problems or trap.warnings
    assert [found.rendered() for found in (*clean.problems, *clean.warnings)] == []


def whole(condition: str) -> str:
    return f"FROM /messages/* WHERE {condition} INTO $upstream"


def test_every_function_is_in_the_guide() -> None:
    for name in FUNCTIONS:
        assert re.search(rf"`{name}[`(]", GUIDE), name
