import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.app.asking import NobodyAnswersError
from gateway.app.control import QuestionError
from gateway.cli import firmware
from gateway.cli.main import main
from support.bundles import another_key, write_bundle_file, write_public_key

ROLLOUT = {
    "model": "nodemcu",
    "version": "1.1.0",
    "serial": 2,
    "stage": "canary",
    "complete": False,
    "boards": {"waiting": 9, "asked": 0, "updating": 1, "done": 0, "failed": 1, "silent": 0, "newer": 0},
    "notDone": {"nodemcu-2": "failed", "nodemcu-1": "updating"},
}


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_RELEASE_KEY", raising=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def run(data: Path, *words: str) -> int:
    return main(["firmware", *words, "--data", str(data)])


def add(data: Path, version: str = "1.1.0", serial: int = 2, **more: Any) -> int:
    return run(data, "add", str(write_bundle_file(data.parent / f"{version}.fw", version, serial, **more)))


def answering(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[Mapping[str, Any]]:
    asked: list[Mapping[str, Any]] = []

    def ask(_folder: Path, question: Mapping[str, Any]) -> Any:
        asked.append(question)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(firmware, "ask", ask)
    return asked


def test_a_bundle_is_added_listed_and_removed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "list") == 0
    assert "no firmware yet" in capsys.readouterr().out
    assert add(data) == 0
    assert "version 1.1.0 for nodemcu added, serial 2, signature not checked" in capsys.readouterr().out
    assert run(data, "list") == 0
    assert capsys.readouterr().out == "nodemcu  1.1.0  serial 2, 10000 bytes, romfs\n"
    assert run(data, "list", "--json") == 0
    [listed] = json.loads(capsys.readouterr().out)["versions"]
    assert (listed["version"], listed["size"]) == ("1.1.0", 10_000)
    assert add(data) == 1
    assert "is there already" in capsys.readouterr().err
    assert run(data, "remove", "1.1.0") == 0
    assert run(data, "remove", "1.1.0") == 1
    assert "there is no version '1.1.0'" in capsys.readouterr().err


def test_the_release_key_decides_where_it_is_set(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_RELEASE_KEY", str(write_public_key(data.parent / "key.pem")))
    assert add(data, key=another_key()) == 1
    assert "not signed by the release key" in capsys.readouterr().err
    assert add(data) == 0
    assert "signed by the release key" in capsys.readouterr().out
    monkeypatch.setenv("GATEWAY_RELEASE_KEY", str(data / "gone.pem"))
    assert add(data, "1.2.0", 3) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "what"), [(b"zip", "is no bundle"), (None, "cannot be read")])
def test_what_is_no_bundle_is_not_taken_in(
    data: Path, content: bytes | None, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data.parent / "x.fw"
    if content is not None:
        path.write_bytes(content)
    assert run(data, "add", str(path)) == 2
    assert what in capsys.readouterr().err


def test_a_file_that_is_too_large_is_not_read(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data.parent / "large.fw"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    assert run(data, "add", str(path)) == 2
    assert "larger than any bundle" in capsys.readouterr().err


def test_a_version_of_two_models_needs_its_model(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model in ("a", "b"):
        assert add(data, model=model) == 0
    assert run(data, "remove", "1.1.0") == 2
    assert "add --model" in capsys.readouterr().err
    assert run(data, "remove", "1.1.0", "--model", "b") == 0
    assert run(data, "remove", "1.1") == 1
    assert "did you mean '1.1.0'?" in capsys.readouterr().err


def test_without_a_data_folder_nothing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "none", "list") == 2
    assert "there is no directory" in capsys.readouterr().err


def test_a_rollout_is_asked_for_with_what_was_given(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answering(monkeypatch, ROLLOUT)
    assert run(data, "rollout", "1.1.0") == 0
    assert asked == [{"ask": "firmware", "do": "rollout", "version": "1.1.0", "model": None}]
    assert capsys.readouterr().out.splitlines() == [
        "roll-out  1.1.0 to nodemcu, canary: 9 waiting, 1 updating, 1 failed",
        "          nodemcu-1 updating",
        "          nodemcu-2 failed",
    ]
    words = ["--canary", "5%", "--max-failures", "2", "--at-once", "8", "--silent-after", "60", "--model", "m"]
    assert run(data, "rollout", "1.1.0", *words) == 0
    assert {"canary": "5%", "maxFailures": "2", "atOnce": 8, "silentSecs": 60.0, "model": "m"}.items() <= asked[
        1
    ].items()


@pytest.mark.parametrize("do", ["pause", "resume", "abort"])
def test_orders_are_passed_on(data: Path, monkeypatch: pytest.MonkeyPatch, do: str) -> None:
    asked = answering(monkeypatch, ROLLOUT)
    assert run(data, do, "--model", "m") == 0
    assert asked == [{"ask": "firmware", "do": do, "model": "m"}]


def test_pins_are_passed_on(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = answering(monkeypatch, {})
    assert run(data, "pin", "b1", "1.0.0") == 0
    assert run(data, "unpin", "b1") == 0
    assert asked == [
        {"ask": "firmware", "do": "pin", "device": "b1", "version": "1.0.0"},
        {"ask": "firmware", "do": "unpin", "device": "b1"},
    ]
    assert capsys.readouterr().out == "'b1' stays at 1.0.0\n'b1' follows roll-outs again\n"


def test_the_status_is_told_in_lines(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    complete = ROLLOUT | {"stage": "all", "complete": True, "notDone": {}, "boards": {"done": 2}}
    boards = {"nodemcu": {"1.1.0": 2, "unknown": 1}}
    answering(monkeypatch, {"rollouts": [complete], "boards": boards, "pins": {"b9": "1.0.0"}})
    assert run(data, "status") == 0
    assert capsys.readouterr().out.splitlines() == [
        "roll-out  1.1.0 to nodemcu, complete: 2 done",
        "boards    nodemcu: 2 with 1.1.0, 1 with unknown",
        "pinned    b9 at 1.0.0",
    ]
    answering(monkeypatch, {"rollouts": [], "boards": {}, "pins": {}})
    assert run(data, "status") == 0
    assert "no roll-out yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (QuestionError(404, "no such"), 1),
        (QuestionError(409, "abort it"), 1),
        (QuestionError(400, "no sense"), 2),
        (QuestionError(503, "disk"), 2),
        (NobodyAnswersError("no gateway answers"), 2),
    ],
)
def test_exit_codes(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    answering(monkeypatch, error)
    assert run(data, "status") == code
    assert capsys.readouterr().err == f"gateway firmware: {error}\n"


def test_what_is_rolled_out_stays(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert add(data) == 0
    book = {"version": 1, "boards": {}, "pins": {}, "released": {"nodemcu": "1.1.0"}, "rollouts": {}}
    (data / "firmware" / "rollout.json").write_text(json.dumps(book))
    assert run(data, "remove", "1.1.0") == 1
    assert "stays: new boards get it" in capsys.readouterr().err
