import socket
import threading
import time
from pathlib import Path

import pytest

from gateway.app.asking import NobodyAnswersError, ask, follow
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


def test_an_answer_without_end_is_followed_until_a_time(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind(str(tmp_path / SOCKET_NAME))
        listener.listen()
        assert list(follow(tmp_path, {"ask": "tap"}, until=time.monotonic() + 0.05)) == []
        assert list(follow(tmp_path, {"ask": "tap"}, until=time.monotonic() - 1)) == []
