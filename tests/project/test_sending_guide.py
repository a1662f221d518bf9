"""docs/sending.md is run: its examples by `gateway test`."""

import json
import re
from typing import Any

import pytest

from gateway.app.document import read_settings
from gateway.cli.test import run_case
from project_sources import ROOT

GUIDE = (ROOT / "docs/sending.md").read_text(encoding="utf-8")
BLOCKS: list[Any] = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)]


@pytest.mark.parametrize("example", BLOCKS, ids=lambda example: ", ".join(example["routes"]))
def test_an_example_is_good_and_passes_its_own_tests(example: Any) -> None:
    reading = read_settings(example)
    assert [found.rendered() for found in (*reading.problems, *reading.warnings)] == []
    assert reading.table is not None
    assert reading.settings is not None
    for case in reading.settings.tests:
        assert run_case(case, reading.settings, reading.table).faults == (), case.name


def test_there_are_examples_of_each_kind() -> None:
    assert len([block for block in BLOCKS if "tests" in block]) >= 3
