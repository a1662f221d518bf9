import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli import check
from gateway.cli import main as cli
from gateway.cli.main import main, parser


def test_every_command_has_its_file_and_its_place_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert f"\n    {command} " in text
    assert "exit codes:" in text


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"gateway {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["chekc"], ["check", "--no-such-option"]])
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: gateway" in capsys.readouterr().err


def test_the_exit_code_of_the_command_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "run", lambda _: 1)
    assert main(["check", "x.json"]) == 1


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "run", interrupted)
    assert main(["check", "x.json"]) == 130


@pytest.mark.parametrize(("word", "unbuffered"), [("schema", ""), ("schema", "1"), ("--help", "")])
def test_output_that_nobody_takes_ends_a_command_without_a_traceback(word: str, unbuffered: str) -> None:
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    program = [sys.executable, "-c", "from gateway.cli.main import entry; entry()", word]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environ)
    assert done.returncode == 2
    assert done.stderr.startswith("gateway")
    assert done.stderr.endswith(
        "standard output: No space left on device. Make room, or write elsewhere, and do it again\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, env=environ)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_is_not_utf_8_gets_what_it_can_show() -> None:
    program = [sys.executable, "-c", "from gateway.cli.main import entry; entry()", "check", "--route", "FROM /größe"]
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_command_loads_no_other() -> None:
    code = """
import sys
from gateway.cli.main import main
try:
    main(["run", "--help"])
finally:
    print(sorted(name for name in sys.modules if name.startswith("gateway.cli.")), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "['gateway.cli.main', 'gateway.cli.output', 'gateway.cli.run']\n"


def test_all_commands_are_wired() -> None:
    assert parser().parse_args(["store", "status"]).command == "store"


def test_the_program_ends_with_the_code_of_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "main", lambda: 1)
    monkeypatch.setattr(threading, "enumerate", lambda: [threading.current_thread()])
    with pytest.raises(SystemExit) as ended:
        cli.entry()
    assert ended.value.code == 1


def test_a_thread_that_hangs_does_not_hold_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended_at_once(code: int) -> None:
        raise InterruptedError(code)

    monkeypatch.setattr(cli, "main", lambda: 1)
    monkeypatch.setattr(threading, "enumerate", lambda: [threading.current_thread(), threading.Thread()])
    monkeypatch.setattr(os, "_exit", ended_at_once)
    with pytest.raises(InterruptedError, match="1"):
        cli.entry()
