"""docs/topics.md is true: its blocks are read as what they are, every reason and every key has its row."""

import json
import re
from typing import Any

import pytest

from gateway.app import document_topics
from gateway.app.document import read_settings
from gateway.app.document_rows import names
from gateway.app.topic_sample import read_topic_sample
from gateway.cli.test import run_case
from gateway.observe.topics import RefusedPublication
from gateway.topics.mapping import PLAIN
from project_sources import ROOT

GUIDE = (ROOT / "docs/topics.md").read_text(encoding="utf-8")
SETTINGS, PUBLICATION, CASE = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL))
PATTERNS = re.findall(r"^\| `(site\S*)` \| ([^|]+) \|[^|]*\|$", GUIDE, re.MULTILINE)


def test_the_settings_are_good_and_the_case_passes_with_them() -> None:
    reading = read_settings({**SETTINGS, "tests": [CASE]})
    assert [found.rendered() for found in (*reading.problems, *reading.warnings)] == []
    assert reading.settings is not None
    assert reading.table is not None
    (case,) = reading.settings.tests
    assert run_case(case, reading.settings, reading.table).faults == ()
    sample = read_topic_sample(PUBLICATION, reading.settings.topics)
    assert sample.message is not None
    assert sample.message.envelope.sender.device == "lab"


def test_there_are_patterns_enough() -> None:
    assert len(PATTERNS) == 5


@pytest.mark.parametrize(("pattern", "takes"), PATTERNS)
def test_a_pattern_takes_the_topics_beside_it(pattern: str, takes: str) -> None:
    rule: dict[str, Any] = {"match": pattern, "device": "d"}
    topics = read_settings({"routes": {}, "topics": [rule]}).settings
    assert topics is not None
    assert topics.topics is not None
    for topic in re.findall(r"`([^`]+)`", takes):
        assert topics.topics.map(PLAIN, topic) is not None, topic


def test_every_reason_and_every_key_has_its_row() -> None:
    rows = {
        name for row in re.findall(r"^\| (`[^|]+) \|", GUIDE, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    }
    assert {reason.value for reason in RefusedPublication} - rows == set()
    assert {*names(document_topics._ROWS), *names(document_topics._DEVICES_ROWS)} - rows == set()
