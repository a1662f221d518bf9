import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.app.control import QuestionError
from gateway.cli import tap
from gateway.cli.tap import line_of
from support.command_terminal import Terminal

ROW: Mapping[str, Any] = {
    "n": 1,
    "at": "2026-11-21T16:34:57.123Z",
    "device": "d1",
    "module": None,
    "properties": {"kind": "climate", "empty": None},
    "bytes": 19,
    "body": '{"temperature": 31}',
    "bodyBase64": None,
    "bodyCut": False,
    "routes": ["hot", "all"],
    "endpoints": ["$upstream"],
}


class Gateway:
    """Says these lines, then ends as it is told."""

    def __init__(self) -> None:
        self.lines: list[Mapping[str, Any]] = [{"following": True}]
        self.asked: list[Mapping[str, Any]] = []
        self.error: BaseException | None = None

    def follow(self, _folder: Path, question: Mapping[str, Any], *, until: float) -> Iterator[Mapping[str, Any]]:
        self.asked.append({**question, "until": until})
        yield from self.lines
        if self.error is not None:
            raise self.error


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    gateway = Gateway()
    monkeypatch.setattr(tap, "follow", gateway.follow)
    return gateway


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(tap, capsys)


def test_each_message_is_a_line_until_the_gateway_stops(terminal: Terminal, gateway: Gateway) -> None:
    gateway.lines += [{"message": ROW}, {"leftOut": 3}, {"message": {**ROW, "routes": [], "endpoints": []}}]
    out, error = terminal.says(code=1)
    first, left_out, second = out.splitlines()
    assert first == ('16:34:57.123 d1           [kind=climate empty] {"temperature": 31} → hot + all → $upstream')
    assert left_out.startswith("… 3 more were not shown")
    assert second.endswith("→ no route, ends here")
    assert "the gateway has stopped" in error
    assert "2 shown, 3 not shown" in error


def test_it_ends_after_so_many_and_at_ctrl_c(terminal: Terminal, gateway: Gateway) -> None:
    gateway.lines += [{"message": ROW}] * 5
    assert len(terminal.says("--count", "2")[0].splitlines()) == 2
    gateway.error = KeyboardInterrupt()
    assert "5 shown, 0 not shown" in terminal.says()[1]


def test_programs_get_json_with_or_without_bodies(terminal: Terminal, gateway: Gateway) -> None:
    gateway.lines += [{"message": ROW}, {"leftOut": 3}]
    rows = [json.loads(line) for line in terminal.says("--json", "--no-body", code=1)[0].splitlines()]
    assert rows == [{name: value for name, value in ROW.items() if not name.startswith("body")}, {"leftOut": 3}]
    assert json.loads(terminal.says("--json", "--count", "1")[0]) == ROW
    assert '"temperature"' not in terminal.says("--no-body", code=1)[0]


def test_what_is_typed_is_what_is_asked(terminal: Terminal, gateway: Gateway) -> None:
    gateway.lines += [{"message": ROW}]
    filters = ("--device", "lab-*", "--route", "hot", "--where", "kind = 'a'", "--endpoint", "up", "--seconds", "60")
    terminal.says("--count", "1", "--sample", "1/10", *filters)
    (asked,) = gateway.asked
    until = asked["until"]
    assert 50 < until - time.monotonic() <= 60
    assert asked == {
        "ask": "tap",
        "device": "lab-*",
        "route": "hot",
        "where": "kind = 'a'",
        "endpoint": "up",
        "each": 10,
        "until": until,
    }
    terminal.says("--count", "1")
    assert gateway.asked[-1]["perSecond"] == tap.DEFAULT_PER_SECOND


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (
            ("--where", "lenght(kind) > 1"),
            1,
            "the condition, column 1: unknown function 'lenght'; did you mean 'length'?",
        ),
        (("--where", "kind = "), 1, "the condition, column"),
        (("--sample", "0"), 2, "--sample is '0'"),
        (("--sample", "2/3"), 2, "1/10 for every tenth"),
        (("--count", "0"), 2, "--count must be more than 0"),
        (("--seconds", "nan"), 2, "--seconds must be more than 0"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anybody_is_asked(
    terminal: Terminal, gateway: Gateway, options: tuple[str, ...], code: int, words: str
) -> None:
    _, error = terminal.says(*options, code=code)
    assert words in error
    assert gateway.asked == []


def test_a_mark_stands_under_the_place(terminal: Terminal, gateway: Gateway) -> None:
    _, error = terminal.says("--where", "kind = 'a' AND lenght(kind) > 1", code=1)
    source, mark = error.splitlines()[1:3]
    assert source[mark.index("^") :].startswith("lenght")
    assert gateway.asked == []


def test_a_refusal_of_the_gateway_is_told(terminal: Terminal, gateway: Gateway) -> None:
    gateway.error = QuestionError(429, "16 follow already")
    assert "gateway tap: 16 follow already" in terminal.says(code=1)[1]


def test_nobody_answers(terminal: Terminal, tmp_path: Path) -> None:
    assert "no gateway answers at" in terminal.says("--data", str(tmp_path), code=2)[1]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"module": "m1"}, "d1/m1"),
        ({"body": None, "bytes": 5}, "(5 bytes that are no text)"),
        ({"body": "x" * 300, "bytes": 300}, "x" * 100 + "… (300 bytes)"),
        ({"body": "short", "bodyCut": True, "bytes": 9_000}, "short… (9000 bytes)"),
        ({"endpoints": []}, "→ held back"),
        ({"body": "\x1b[2Jevil\n"}, r"\x1b[2Jevil\n"),
        ({"body": "half \ud800"}, "half"),
    ],
)
def test_a_line_is_one_printable_line(more: Mapping[str, Any], told: str) -> None:
    line = line_of({**ROW, **more})
    assert told in line
    assert "\n" not in line
    assert "\x1b" not in line
