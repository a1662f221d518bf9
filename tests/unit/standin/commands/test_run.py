import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from standin import cli
from standin.commands.terminal import UNUSABLE


def test_a_manifest_that_cannot_be_read_stops_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--dir", str(tmp_path), "--manifest", str(tmp_path / "m.json")]) == UNUSABLE
    assert "m.json" in capsys.readouterr().err


def test_a_stand_in_of_its_own_process_says_ready_and_ends_with_0_on_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "standin", "run", "--dir", str(tmp_path / "run"), "--address", "127.0.70.21"]
    command += [
        "--mqtt-port",
        "0",
        "--amqp-port",
        "0",
        "--websocket-port",
        "-1",
        "--module",
        "m1",
        "--device",
        "leaf",
        "--page-port",
        "0",
        "--show",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            listed = subprocess.run(
                [sys.executable, "-m", "standin", "devices", "list", "--dir", str(tmp_path / "run")],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            ).stdout
            os.kill(process.pid, signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()  # does nothing to one that has ended
    assert ready.startswith("READY hub=standin-hub.test address=127.0.70.21 mqtt=")
    assert re.search(r" amqp=[1-9]\d* websocket=off ", ready)
    assert re.search(r" page=http://127.0.70.21:[1-9]\d*/$", ready.rstrip())
    assert listed.splitlines() == ["edge-1  sas, enabled", "edge-1/m1  sas, enabled", "leaf  sas, enabled"]
    assert (process.returncode, errors) == (0, "")
