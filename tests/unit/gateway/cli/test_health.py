from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.app.asking import NobodyAnswersError
from gateway.cli import health
from gateway.cli.main import main

FULL = {"live": True, "ready": False, "reasons": ["store_full"]}
GOOD = {"live": True, "ready": True, "reasons": []}
STUCK = {"live": False, "ready": False, "reasons": ["store_stuck"]}


@pytest.mark.parametrize(
    ("report", "options", "answer"),
    [
        (GOOD, (), (0, "the gateway lives")),
        (GOOD, ("--ready",), (0, "the gateway is ready")),
        (FULL, (), (0, "the gateway lives: store full")),
        (FULL, ("--ready",), (1, "the gateway is not ready: store full")),
        (STUCK, (), (1, "the gateway does not live: store stuck")),
        (FULL, ("--json",), (0, '{"live": true, "ready": false, "reasons": ["store_full"]}')),
    ],
)
def test_the_exit_code_is_the_answer(
    report: Mapping[str, Any],
    options: tuple[str, ...],
    answer: tuple[int, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ask(_folder: Path, question: Mapping[str, Any], *, within_s: float) -> Mapping[str, Any]:
        assert (question, within_s) == ({"ask": "health"}, 10.0)
        return report

    monkeypatch.setattr(health, "ask", ask)
    assert main(["health", *options]) == answer[0]
    assert capsys.readouterr().out == f"{answer[1]}\n"


def test_nobody_who_answers_is_not_healthy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(_folder: Path, _question: Mapping[str, Any], *, within_s: float) -> Mapping[str, Any]:
        raise NobodyAnswersError(f"no gateway answers within {within_s} s")

    monkeypatch.setattr(health, "ask", ask)
    assert main(["health"]) == 1
    assert capsys.readouterr().err == "gateway health: no gateway answers within 10.0 s\n"
