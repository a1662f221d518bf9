"""`make run`, of which the pages' tests leave out the start: how it ends when nobody looks any more."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from project_sources import ROOT

SHOW: Final = """
import sys, threading
import demo
enough = threading.Event()
demo.end_by_signals(enough)
program = demo.Program("child", ["sh", "-c", "echo READY $$; while sleep 0.1; do echo a line; done"], {})
program.wait_ready()
enough.wait(30)
demo.say("demo", "stopping")
program.stop()
demo.say("demo", "all stopped")
"""


@pytest.mark.parametrize("told", [[signal.SIGHUP], []], ids=["by a signal", "by a line that cannot be written"])
def test_a_terminal_that_is_closed_ends_all_programs_of_the_show(told: list[signal.Signals]) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", SHOW]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=ROOT / "tools") as show:
        os.close(theirs)
        said = b""
        while b"\n" not in said:
            said += os.read(ours, 1000)
        assert b"READY" in said, said
        child = int(said.split(b"\n")[0].split()[-1])
        os.close(ours)
        for number in told:
            show.send_signal(number)
        assert show.wait(20) == 0
    assert not Path(f"/proc/{child}").exists()
