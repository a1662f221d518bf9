import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.app.asking import NobodyAnswersError
from gateway.cli import top
from gateway.cli.top_screen import Order
from support.command_terminal import Terminal
from support.top_state import state


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(top, capsys)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A gateway answers; what it was asked."""
    questions: list[Any] = []

    def answer(folder: Path, question: Mapping[str, Any], *, within_s: float) -> dict[str, Any]:
        questions.append((folder, question, within_s))
        return state()

    monkeypatch.setattr(top, "ask", answer)
    return questions


def test_without_a_terminal_it_is_shown_once(terminal: Terminal, asked: list[Any], tmp_path: Path) -> None:
    out, _ = terminal.says("--data", str(tmp_path))
    assert "12 connected, 40 known" in out
    assert "\x1b" not in out
    assert asked == [(tmp_path, {"ask": "top"}, top.WITHIN_S)]


@pytest.mark.usefixtures("asked")
def test_once_and_for_programs(terminal: Terminal) -> None:
    assert "12 connected" in terminal.says("--once")[0]
    assert json.loads(terminal.says("--json")[0]) == state()


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "inf", "1e9"])
def test_an_interval_that_makes_no_sense_is_refused(terminal: Terminal, interval: str) -> None:
    _, error = terminal.says("--interval", interval, code=2)
    assert "--interval must be 0.2 to 3600 seconds" in error


def test_nobody_answers(terminal: Terminal, tmp_path: Path) -> None:
    _, error = terminal.says("--data", str(tmp_path), code=2)
    assert "gateway top: no gateway answers at" in error


def test_keys_change_the_order_and_others_nothing() -> None:
    order = Order()
    assert top._reordered(order, ord("d")) == order.other_devices()
    assert top._reordered(order, ord("r")) == order.other_routes()
    assert top._reordered(order, ord("x")) == order


@pytest.mark.usefixtures("asked")
def test_a_gateway_that_has_gone_is_said_below_what_it_said_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    watch = top._Watch(tmp_path, 2.0)

    def nobody(*_: Any, **__: Any) -> dict[str, Any]:
        raise NobodyAnswersError("no gateway answers there")

    monkeypatch.setattr(top, "ask", nobody)
    watch._look()
    watch._show()
    out = capsys.readouterr().out
    assert out.startswith("\x1b[H")
    assert "12 connected" in out
    assert "no gateway answers there" in out
    assert top.KEYS not in out
