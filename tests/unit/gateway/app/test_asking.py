import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.app import asking
from gateway.app.asking import HangsError, NobodyAnswersError, ask, follow
from gateway.app.control import SOCKET_NAME, QuestionError


def answering(folder: Path, answer: bytes) -> threading.Thread:
    """Somebody who takes one question and says this."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / SOCKET_NAME))
    listener.listen()

    def serve() -> None:
        line, _ = listener.accept()
        line.recv(65_536)
        line.sendall(answer)
        line.close()
        listener.close()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_the_answer_comes_back(tmp_path: Path) -> None:
    thread = answering(tmp_path, b'{"answer":{"a":1}}\n')
    assert ask(tmp_path, {"ask": "x"}) == {"a": 1}
    thread.join()


def test_an_error_is_raised_with_its_status(tmp_path: Path) -> None:
    thread = answering(tmp_path, b'{"error":{"status":504,"message":"too late"}}\n')
    with pytest.raises(QuestionError, match="too late") as error:
        ask(tmp_path, {"ask": "x"})
    assert error.value.status == 504
    thread.join()


@pytest.mark.parametrize("answer", [b"", b"nonsense"])
def test_a_gateway_that_ends_meanwhile_is_told(tmp_path: Path, answer: bytes) -> None:
    thread = answering(tmp_path, answer)
    with pytest.raises(NobodyAnswersError, match="no gateway answers at"):
        ask(tmp_path, {"ask": "x"})
    thread.join()


def test_no_gateway_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NobodyAnswersError, match="--data or GATEWAY_DATA_DIR"):
        ask(tmp_path, {"ask": "x"})


def test_lines_of_an_answer_without_end_come_one_by_one(tmp_path: Path) -> None:
    thread = answering(tmp_path, b'{"following":true}\n{"message":{"n":1}}\n{"leftOut":2}\n{"cut of')
    assert list(follow(tmp_path, {"ask": "tap"})) == [{"following": True}, {"message": {"n": 1}}, {"leftOut": 2}]
    thread.join()


def test_an_answer_without_end_may_be_an_error(tmp_path: Path) -> None:
    thread = answering(tmp_path, b'{"error":{"status":429,"message":"no room"}}\n')
    with pytest.raises(QuestionError, match="no room"):
        list(follow(tmp_path, {"ask": "tap"}))
    thread.join()
    with pytest.raises(NobodyAnswersError, match="no gateway answers at"):
        list(follow(tmp_path / "elsewhere", {"ask": "tap"}))


@pytest.mark.parametrize("left_s", [0.05, -1])
def test_an_answer_without_end_is_followed_until_a_time(tmp_path: Path, left_s: float) -> None:
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind(str(tmp_path / SOCKET_NAME))
        listener.listen()
        lines = follow(tmp_path, {"ask": "tap"}, until=time.monotonic() + left_s)
        said: list[dict[str, Any]] = []
        reader = threading.Thread(target=lambda: said.extend(lines))
        reader.start()
        line, _ = listener.accept()
        with line:
            line.sendall(b'{"following":true}\n')
            reader.join()
        assert said == [{"following": True}]


def test_a_gateway_that_hangs_is_told_from_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWER_S", 0.05)
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind(str(tmp_path / SOCKET_NAME))
        listener.listen(0)  # of which the kernel makes one that may wait
        with pytest.raises(HangsError, match=r"within 0.05 s: it hangs.*GATEWAY_WATCHDOG_SECS"):
            ask(tmp_path, {"ask": "status"}, within_s=0.05)
        with pytest.raises(HangsError, match=r"within 0.05 s: it hangs"):
            list(follow(tmp_path, {"ask": "tap"}, until=time.monotonic() + 0.01))


def test_a_socket_of_another_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asking, "_asked", refused)
    with pytest.raises(NobodyAnswersError, match="Run the command as that user"):
        ask(tmp_path, {"ask": "status"})
