"""Debian's MicroPython for i386, run on code of the boards (tools/micropython fetches it)."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from project_sources import ROOT

INTERPRETER: Final = ROOT / "build/micropython/micropython"
FIRMWARE: Final = ROOT / "device-firmware"
SMALL_HEAP: Final = "32000"
"""On this interpreter it stands for about 37,000 of an ESP8266's 38,912 bytes: its TLS keeps its memory elsewhere."""


def run(script: str, *arguments: str | Path, heap: str = SMALL_HEAP, timeout_s: float = 60) -> list[str]:
    """The lines that a script of device-firmware/tests prints, with the boards' modules to import."""
    places = ":".join(str(FIRMWARE / name) for name in ("tests", "boot", "leaf"))
    done = subprocess.run(
        [INTERPRETER, "-X", f"heapsize={heap}", FIRMWARE / "tests" / script, *arguments],
        env={"MICROPYPATH": f".frozen:{places}"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def run_json(script: str, *arguments: str | Path, heap: str = SMALL_HEAP, timeout_s: float = 60) -> Any:
    """The JSON in the last of those lines."""
    return json.loads(run(script, *arguments, heap=heap, timeout_s=timeout_s)[-1])
