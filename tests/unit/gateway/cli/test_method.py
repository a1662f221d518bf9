import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.app.control import QuestionError
from gateway.cli import method
from gateway.cli.main import main


class Gateway:
    """What the command asks, and what it is answered."""

    def __init__(self, answer: Any) -> None:
        self.asked: list[tuple[Path, Mapping[str, Any]]] = []
        self._answer = answer

    def ask(self, folder: Path, question: Mapping[str, Any], *, within_s: float) -> Any:
        self.asked.append((folder, question))
        self.within_s = within_s
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def answering(monkeypatch: pytest.MonkeyPatch, answer: Any) -> Gateway:
    gateway = Gateway(answer)
    monkeypatch.setattr(method, "ask", gateway.ask)
    return gateway


def test_the_answer_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = answering(monkeypatch, {"status": 200, "payload": {"on": True}})
    assert main(["method", "d1", "blink", '{"n":3}', "--data", "/there", "--connect-timeout", "5"]) == 0
    assert capsys.readouterr().out == '200 {"on": true}\n'
    (folder, question) = gateway.asked[0]
    assert gateway.within_s == 30 + 5 + 10  # for the answer, for the device to connect, and for the gateway itself
    assert folder == Path("/there")
    assert question == {
        "ask": "method",
        "device": "d1",
        "module": None,
        "method": "blink",
        "payload": {"n": 3},
        "timeoutSecs": 30.0,
        "connectTimeoutSecs": 5.0,
    }


def test_a_module_is_named_behind_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = answering(monkeypatch, {"status": 200, "payload": None})
    assert main(["method", "d1/m1", "ping"]) == 0
    assert (gateway.asked[0][1]["device"], gateway.asked[0][1]["module"]) == ("d1", "m1")


def test_programs_get_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answering(monkeypatch, {"status": 200, "payload": None})
    assert main(["method", "d1", "ping", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"status": 200, "payload": None}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"status": 500, "payload": "broken"}, 1),
        (QuestionError(404, "'d1' is not connected here"), 1),
        (QuestionError(504, "'d1' did not answer"), 1),
        (QuestionError(400, "too long"), 2),
    ],
)
def test_the_exit_code_says_whether_it_was_done(monkeypatch: pytest.MonkeyPatch, answer: Any, code: int) -> None:
    answering(monkeypatch, answer)
    assert main(["method", "d1", "ping"]) == code


def test_a_payload_that_is_not_json_is_not_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = answering(monkeypatch, {"status": 200, "payload": None})
    assert main(["method", "d1", "led", "on"]) == 2
    assert "a text needs its quotes" in capsys.readouterr().err
    assert gateway.asked == []


def test_without_a_gateway_it_is_said_where_to_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["method", "d1", "led", "--data", str(tmp_path)]) == 2
    assert "no gateway answers at" in capsys.readouterr().err
